//! One watch, for as long as the process runs: it is taken up again after every failure, also when its kind does
//! not exist yet or was taken away for a while.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::StreamExt;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event, ExponentialBackoff};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::{Cache, Concerns, Kept, Wakers};
use crate::runtime::metrics::Metrics;

/// The pause after the first failure of a watch.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause: a CRD that arrives late is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// One watch and where its news go.
pub(super) struct Feed<K: Resource<DynamicType = ()> + Clone + Debug + 'static> {
    pub(super) api: Api<DeserializeGuard<K>>,
    pub(super) selector: String,
    pub(super) cache: Arc<Cache<K>>,
    pub(super) wakers: Arc<Wakers>,
    pub(super) metrics: Arc<Metrics>,
}

impl<K> Feed<K>
where
    K: Resource<DynamicType = ()> + Kept + Concerns + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(SHORTEST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_jitter()
            .without_max_times();
        let config = watch::Config::default().labels(&self.selector);
        let events = watch(self.api.clone(), config).backoff(ExponentialBackoff::from(pauses));
        let mut events = pin!(events);
        let mut undecodable = std::collections::HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event, &mut undecodable),
                Err(error) => self.failed(&error),
            }
        }
    }

    fn take(&self, event: Event<DeserializeGuard<K>>, undecodable: &mut std::collections::HashSet<String>) {
        if matches!(event, Event::Init) {
            undecodable.clear();
        }
        let Some(event) = self.decoded(event, undecodable) else { return };
        self.metrics.undecodable(kind::<K>(), undecodable.len());
        for change in self.cache.take(event) {
            self.wakers.wake(&change);
        }
    }

    /// The event with its object; none where that cannot be read, which leaves what was known before.
    fn decoded(
        &self,
        event: Event<DeserializeGuard<K>>,
        undecodable: &mut std::collections::HashSet<String>,
    ) -> Option<Event<K>> {
        let (guard, wrap): (_, fn(K) -> Event<K>) = match event {
            Event::Init => return Some(Event::Init),
            Event::InitDone => return Some(Event::InitDone),
            Event::Apply(guard) => (guard, Event::Apply),
            Event::Delete(guard) => (guard, Event::Delete),
            Event::InitApply(guard) => (guard, Event::InitApply),
        };
        let name = format!("{}/{}", guard.namespace().unwrap_or_default(), guard.name_any());
        match guard.0 {
            Ok(object) => {
                undecodable.remove(&name);
                Some(wrap(object))
            }
            Err(invalid) => {
                tracing::error!(kind = kind::<K>(), object = name, error = invalid.error, "cannot be read");
                undecodable.insert(name);
                None
            }
        }
    }

    fn failed(&self, error: &watcher::Error) {
        self.metrics.watch_failed(kind::<K>());
        tracing::warn!(kind = kind::<K>(), error = chain(error), "the watch failed and is taken up again");
    }
}

fn kind<K: Resource<DynamicType = ()>>() -> &'static str {
    // The names of the static kinds are static.
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(kind) => kind,
        std::borrow::Cow::Owned(_) => "Other",
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
