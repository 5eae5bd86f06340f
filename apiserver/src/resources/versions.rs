//! `restatedeploymentversions`: every version of every deployment, from a store that is filled when somebody looks.
//!
//! Invariant: one Restate that does not answer hides nothing: its versions are shown as last known, or as unknown.

use std::sync::Arc;

use apiserver_machinery::resource::{Readable, Wanted};
use apiserver_machinery::status::Status;
use apiserver_machinery::store::Store;
use apiserver_machinery::version::Clock;
use jiff::{SignedDuration, Timestamp};
use restate_apiservice::RestateDeploymentVersion;
use restate_crd::RestateDeployment;
use restate_model::{Reading, Snapshot};
use tokio::sync::Mutex;

use super::version;
use crate::restates::Restates;
use crate::world::World;

/// All versions.
#[derive(Clone)]
pub(crate) struct Versions {
    world: World,
    restates: Restates,
    store: Store<RestateDeploymentVersion>,
    published: Arc<Mutex<Option<Published>>>,
}

/// From what the store was filled, and when.
struct Published {
    at: Timestamp,
    from: Origin,
}

/// Everything but the clock that versions are computed from.
struct Origin {
    generation: u64,
    snapshots: Vec<Arc<Snapshot>>,
}

impl Versions {
    pub(crate) fn new(world: World, restates: Restates, clock: &Arc<Clock>) -> Self {
        Self { world, restates, store: Store::new(clock), published: Arc::default() }
    }

    /// The versions of one deployment, as of the newest answers.
    pub(crate) fn of(
        &self,
        parent: &Arc<RestateDeployment>,
        now: Timestamp,
    ) -> Vec<RestateDeploymentVersion> {
        let admin = self.world.admin(parent);
        let snapshot = admin.as_ref().and_then(|admin| self.restates.snapshot(admin));
        let views = self.world.views(parent, snapshot, now);
        views.into_iter().map(|view| version::object(parent, admin.as_ref(), view)).collect()
    }

    /// Publishes what is known now, and says which Restates did not answer. Readers that come together share one
    /// publication.
    pub(crate) async fn publish(&self) -> Result<(), Status> {
        let mut published = self.published.lock().await;
        let (at, from) = (Timestamp::now(), self.origin());
        self.store.set_warning(self.restates.warning());
        if let Some(last) = published.as_mut().filter(|last| last.serves(&from, at)) {
            // Answers that say the same are compared once, and from then on by where they are.
            last.from = from;
            return Ok(());
        }
        // Thousands of versions take a while: whoever reads what is there goes on meanwhile.
        let own = self.clone();
        let computed = tokio::task::spawn_blocking(move || own.compute(at)).await;
        computed.map_err(|_| Status::internal("versions could not be computed"))??;
        *published = Some(Published { at, from });
        Ok(())
    }

    fn compute(&self, now: Timestamp) -> Result<(), Status> {
        let deployments = self.world.deployments();
        let objects = deployments.iter().flat_map(|parent| self.of(parent, now));
        self.store.publish_each(objects).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "versions could not be encoded");
            Status::internal("versions could not be encoded")
        })
    }

    fn origin(&self) -> Origin {
        Origin { generation: self.world.generation(), snapshots: self.restates.snapshots() }
    }

    /// Publishes as things change, for as long as anybody watches. Runs for ever.
    pub(crate) async fn follow(self) {
        let mut stored = self.world.changes();
        let mut answered = self.restates.changes();
        let mut tidied = None;
        loop {
            let generation = self.world.generation();
            if tidied != Some(generation) {
                self.restates.keep_only(&self.world.admins(None, None));
                tidied = Some(generation);
            }
            let watched = self.store.watchers() > 0;
            let asked = if watched { self.world.admins(None, None) } else { Vec::new() };
            self.restates.keep_asking(&asked);
            if watched && self.publish().await.is_err() {
                tracing::warn!("watches stay behind until versions can be published again");
            }
            tokio::time::sleep(SETTLE).await;
            tokio::select! {
                _ = stored.changed() => {}
                _ = answered.changed() => {}
                () = tokio::time::sleep(LOOK_FOR_WATCHERS) => {}
            }
        }
    }
}

/// What was computed this long ago, from the same, is what would be computed now: delays are longer, and stamps are
/// written by the controller. Only the time of observation may be later; it is so soon enough.
const SAME: SignedDuration = SignedDuration::from_secs(5);

impl Published {
    fn serves(&self, from: &Origin, now: Timestamp) -> bool {
        self.from.is(from) && (SignedDuration::ZERO..SAME).contains(&now.duration_since(self.at))
    }
}

impl Origin {
    fn is(&self, other: &Self) -> bool {
        let pairs = self.snapshots.iter().zip(&other.snapshots);
        self.generation == other.generation
            && self.snapshots.len() == other.snapshots.len()
            && pairs.into_iter().all(|(one, other)| says_the_same(one, other))
    }
}

/// Whether two answers differ in their age at most.
fn says_the_same(one: &Arc<Snapshot>, other: &Arc<Snapshot>) -> bool {
    let same = || {
        let Snapshot { registry, usage, failure } = &**one;
        value(registry.as_ref()) == value(other.registry.as_ref())
            && value(usage.as_ref()) == value(other.usage.as_ref())
            && failure.is_some() == other.failure.is_some()
    };
    Arc::ptr_eq(one, other) || same()
}

fn value<T>(reading: Option<&Reading<T>>) -> Option<&T> {
    reading.map(|reading| &reading.value)
}

/// Changes that come together are published together.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(100);

/// How soon a new watch is noticed.
const LOOK_FOR_WATCHERS: std::time::Duration = std::time::Duration::from_secs(1);

impl Readable for Versions {
    type Object = RestateDeploymentVersion;

    // There are two replicas, and kube-apiserver may ask either for the next portion.
    const IN_PORTIONS: bool = false;

    fn store(&self) -> &Store<Self::Object> {
        &self.store
    }

    async fn fresh(&self, wanted: &Wanted) -> Result<(), Status> {
        let Wanted { namespace, name } = wanted;
        self.restates.recent(&self.world.admins(namespace.as_deref(), name.as_deref())).await;
        self.publish().await
    }
}

#[cfg(test)]
mod tests {
    use restate_model::UsageReport;

    use super::*;

    fn answered(second: i64, usage: UsageReport) -> Arc<Snapshot> {
        let asked_at = Timestamp::from_second(second).unwrap();
        Arc::new(Snapshot {
            registry: Some(Reading { asked_at, value: Arc::default() }),
            usage: Some(Reading { asked_at, value: usage }),
            failure: None,
        })
    }

    fn origin(generation: u64, snapshot: Arc<Snapshot>) -> Origin {
        Origin { generation, snapshots: vec![snapshot] }
    }

    #[test]
    fn what_came_from_the_same_serves_for_a_while() {
        let at = Timestamp::UNIX_EPOCH;
        let published = Published { at, from: origin(1, answered(1, UsageReport::default())) };
        let later = origin(1, answered(3, UsageReport::default()));
        assert!(published.serves(&later, at + SignedDuration::from_secs(4)));
        assert!(!published.serves(&later, at + SAME), "decisions depend on the clock as well");
        assert!(!published.serves(&later, at - SAME), "a clock that went back tells nothing");
    }

    #[test]
    fn any_change_is_published_at_once() {
        let at = Timestamp::UNIX_EPOCH;
        let published = Published { at, from: origin(1, answered(1, UsageReport::default())) };
        let busy = UsageReport { known: ["dp_1".into()].into(), ..UsageReport::default() };
        let other_usage = origin(1, answered(1, busy));
        let other_objects = origin(2, answered(1, UsageReport::default()));
        let silent = origin(1, Arc::new(Snapshot::default()));
        for other in [other_usage, other_objects, silent, Origin { generation: 1, snapshots: Vec::new() }] {
            assert!(!published.serves(&other, at));
        }
    }
}
