//! One watch into one store, taken up again after every failure.

use std::fmt::Debug;

use futures::StreamExt;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{Store, store::Writer};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// Opens a watch of all objects of a kind that carry a label, and gives the store that it fills.
pub(super) fn open<K>(client: &Client, selector: &str, changed: &watch::Sender<u64>) -> Store<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let writer = Writer::<K>::default();
    let store = writer.as_reader();
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    let config = Config::default().labels(selector);
    tokio::spawn(fill(api, config, writer, changed.clone()));
    store
}

async fn fill<K>(
    api: Api<DeserializeGuard<K>>,
    config: Config,
    mut writer: Writer<K>,
    changed: watch::Sender<u64>,
) where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let events = watcher(api, config).default_backoff();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let Some(event) = decoded(event) else { continue };
                let rings = !matches!(event, Event::Init | Event::InitApply(_));
                writer.apply_watcher_event(&event);
                if rings {
                    changed.send_modify(|count| *count = count.wrapping_add(1));
                }
            }
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), error = &error as &dyn std::error::Error, "a watch is taken up again");
            }
        }
    }
}

/// The event with its object, without what nobody reads; none where it cannot be read.
fn decoded<K>(event: Event<DeserializeGuard<K>>) -> Option<Event<K>>
where
    K: Resource<DynamicType = ()> + Clone,
{
    let (guard, wrap): (_, fn(K) -> Event<K>) = match event {
        Event::Init => return Some(Event::Init),
        Event::InitDone => return Some(Event::InitDone),
        Event::Apply(guard) => (guard, Event::Apply),
        Event::Delete(guard) => (guard, Event::Delete),
        Event::InitApply(guard) => (guard, Event::InitApply),
    };
    let name = format!("{}/{}", guard.namespace().unwrap_or_default(), guard.name_any());
    match guard.0 {
        Ok(mut object) => {
            object.managed_fields_mut().clear();
            Some(wrap(object))
        }
        Err(invalid) => {
            tracing::error!(kind = %K::kind(&()), object = name, error = invalid.error, "an object cannot be read");
            None
        }
    }
}
