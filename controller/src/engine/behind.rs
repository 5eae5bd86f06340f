//! How many objects of a kind have a status that is older than their spec, for longer than a pass may take.
//!
//! Invariant: it looks at the store alone and asks nobody. Zero while somebody else acts. It sees objects that are
//! known and not passed over; that a watch is stuck is seen by who counts at the API server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio::time::{Instant, interval};

use super::{Context, Kind};
use crate::runtime::metrics::Metrics;
use crate::watches::Cache;

/// A status may be this old: pods, Restate and the API server take their time, a pass does not.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(15);

/// Counts until it is dropped; then there is nothing to be told.
pub(super) async fn count<K: Kind>(context: &Context, cache: &Cache<K>) {
    let _nobody = Nobody::<K>(&context.metrics, std::marker::PhantomData);
    let mut since = Since::default();
    let mut looks = interval(PAUSE);
    loop {
        looks.tick().await;
        context.metrics.behind(K::CONTROLLER, since.look(cache.all(), Instant::now()));
    }
}

/// Who does not act does not know.
struct Nobody<'m, K: Kind>(&'m Metrics, std::marker::PhantomData<K>);

impl<K: Kind> Drop for Nobody<'_, K> {
    fn drop(&mut self) {
        self.0.behind(K::CONTROLLER, 0);
    }
}

/// Since when each object is behind: by uid, with the generation that nothing was said about.
#[derive(Debug, Default)]
struct Since(HashMap<String, (i64, Instant)>);

impl Since {
    /// How many have been behind for too long.
    fn look<K: Kind>(&mut self, objects: impl Iterator<Item = Arc<K>>, now: Instant) -> usize {
        let behind = objects.filter_map(|object| Some((object.uid()?, missed(object.as_ref())?)));
        let known = |uid: String, generation: i64| {
            let since = self.0.get(&uid).filter(|(of, _)| *of == generation).map_or(now, |(_, at)| *at);
            (uid, (generation, since))
        };
        self.0 = behind.map(|(uid, generation)| known(uid, generation)).collect();
        self.0.values().filter(|(_, since)| now.duration_since(*since) >= PATIENCE).count()
    }
}

/// The generation about which the status says nothing. What is frozen says so in a condition of the generation.
fn missed<K: Kind>(object: &K) -> Option<i64> {
    let generation = object.meta().generation?;
    let mut status = object.status().cloned().unwrap_or_default();
    let said = K::conditions(&mut status).iter().filter_map(|condition| condition.observed_generation).max();
    said.is_none_or(|said| said < generation).then_some(generation)
}

#[cfg(test)]
mod tests {
    use restate_crd::RestateDeployment;
    use serde_json::json;

    use super::*;

    fn greeter(generation: i64, said: Option<i64>) -> Vec<Arc<RestateDeployment>> {
        let conditions = said.map(|said| {
            json!([{"type": "Ready", "status": "True", "observedGeneration": 1},
                   {"type": "Stalled", "status": "True", "reason": "Paused", "observedGeneration": said}])
        });
        let object = json!({
            "metadata": {"name": "greeter", "namespace": "shop", "uid": "u1", "generation": generation},
            "spec": {"selector": {"matchLabels": {"app": "greeter"}}, "restate": {"register": {"cluster": "prod"}},
                     "template": {"spec": {"containers": [{"name": "greeter"}]}}},
            "status": {"replicas": 0, "conditions": conditions},
        });
        vec![Arc::new(serde_json::from_value(object).unwrap())]
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_stays_behind_is_counted() {
        let (mut since, begin) = (Since::default(), Instant::now());
        let mut look = |objects: &[Arc<RestateDeployment>], second: u64| {
            since.look(objects.iter().cloned(), begin + Duration::from_secs(second))
        };
        assert_eq!(look(&greeter(1, None), 0), 0, "it was not looked at yet");
        assert_eq!(look(&greeter(1, None), 59), 0);
        assert_eq!(look(&greeter(1, None), 60), 1);
        assert_eq!(look(&greeter(1, Some(1)), 61), 0, "told");
        assert_eq!(look(&greeter(2, Some(1)), 62), 0, "each generation has a minute of its own");
        assert_eq!(look(&greeter(3, Some(1)), 122), 0);
        assert_eq!(look(&greeter(3, Some(1)), 182), 1);
        assert_eq!(look(&greeter(3, Some(3)), 183), 0, "one condition of this generation is enough");
        assert_eq!(look(&[], 300), 0, "gone");
    }
}
