//! One watch, for as long as the process runs: it is taken up again after every failure, also when its kind does
//! not exist yet or was taken away for a while.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::Api;
use kube::runtime::watcher::{self as watch, Event, watcher};
use restate_plan::received::{Received, Unreadable};

use super::{Cache, Concerns, Kept, Wakers};
use crate::runtime::health::Readiness;
use crate::runtime::metrics::Metrics;

/// The pause after the first failure of a watch.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause: a CRD that arrives late is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long the API server keeps a watch open. One whose connection is dead without a word is noticed after this
/// time and a margin of kube's.
const LIFE_SECONDS: u32 = 60;

/// One watch and where its news go.
pub(super) struct Feed<K: Kept> {
    pub(super) api: Api<Received<K>>,
    pub(super) selector: String,
    pub(super) cache: Arc<Cache<K>>,
    pub(super) wakers: Arc<Wakers>,
    pub(super) metrics: Arc<Metrics>,
    /// Where to say that the store is filled, and by what name.
    pub(super) filled: (Readiness, String),
}

impl<K> Feed<K>
where
    K: Concerns + Clone,
{
    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        let config = watch::Config::default().labels(&self.selector).timeout(LIFE_SECONDS);
        let mut events = pin!(watcher(self.api.clone(), config));
        let mut pauses = pauses();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    // The beginning of a list is no success yet.
                    if !matches!(event, Event::Init) {
                        pauses = self::pauses();
                    }
                    self.take(event);
                }
                Err(error) => {
                    self.failed(&error);
                    tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
                }
            }
        }
    }

    fn take(&self, event: Event<Received<K>>) {
        let complete = matches!(event, Event::InitDone);
        let changes = match decoded(event) {
            Ok(event) => self.cache.take(event),
            Err(event) => self.cache.take_unreadable(event),
        };
        self.metrics.undecodable(kind::<K>(), self.cache.unreadable().len());
        for change in changes {
            self.wakers.wake(&change);
        }
        if complete {
            self.filled.0.arrived(&self.filled.1);
        }
    }

    fn failed(&self, error: &watch::Error) {
        self.metrics.watch_failed(kind::<K>());
        if is_absent(error) {
            self.filled.0.awaits(&self.filled.1);
            tracing::info!(kind = kind::<K>(), "the kind does not exist yet");
        } else {
            tracing::warn!(kind = kind::<K>(), %error, "the watch failed and is taken up again");
        }
    }
}

/// The event with its object; with its metadata alone, where the object cannot be read.
fn decoded<K: Resource<DynamicType = ()>>(
    event: Event<Received<K>>,
) -> Result<Event<K>, Event<Box<ObjectMeta>>> {
    match event {
        Event::Init => Ok(Event::Init),
        Event::InitDone => Ok(Event::InitDone),
        Event::Apply(received) => read(received).map(Event::Apply).map_err(Event::Apply),
        Event::Delete(received) => read(received).map(Event::Delete).map_err(Event::Delete),
        Event::InitApply(received) => read(received).map(Event::InitApply).map_err(Event::InitApply),
    }
}

fn read<K: Resource<DynamicType = ()>>(received: Received<K>) -> Result<K, Box<ObjectMeta>> {
    received.0.map_err(|Unreadable { error, metadata }| {
        let (namespace, name) = (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref());
        tracing::error!(
            kind = kind::<K>(),
            object = format!("{namespace}/{}", name.unwrap_or_default()),
            error,
            "cannot be read"
        );
        metadata
    })
}

fn pauses() -> ExponentialBackoff {
    let growing = ExponentialBuilder::default().with_min_delay(SHORTEST_PAUSE).with_max_delay(LONGEST_PAUSE);
    growing.with_jitter().without_max_times().build()
}

fn is_absent(error: &watch::Error) -> bool {
    let (watch::Error::InitialListFailed(error) | watch::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn kind<K: Resource<DynamicType = ()>>() -> &'static str {
    // The names of the static kinds are static.
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(kind) => kind,
        std::borrow::Cow::Owned(_) => "Other",
    }
}

#[cfg(test)]
mod tests;
