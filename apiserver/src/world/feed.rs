//! One watch into one store, taken up again after every failure.
//!
//! Invariant: where the definition of a kind is missing, there are no objects of it, and nobody waits for them: an
//! aggregated API that is not available holds up the deletion of every namespace (D4). What was seen before stays.

use std::fmt::Debug;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{Store, store::Writer};
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use restate_plan::received::Received;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::kept::Kept;

/// Who takes what a watch tells.
pub(super) trait Sink<K> {
    fn take(&mut self, event: &Event<K>);
}

impl<K: Resource<DynamicType = ()> + Clone> Sink<K> for Writer<K> {
    fn take(&mut self, event: &Event<K>) {
        self.apply_watcher_event(event);
    }
}

/// Opens a watch of all objects of a kind, and gives the store that it fills.
pub(super) fn open<K>(client: &Client, changed: &watch::Sender<u64>) -> Store<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let writer = Writer::<K>::default();
    let store = writer.as_reader();
    let everything = "";
    follow(client, everything, writer, (changed, |_| ()));
    store
}

/// Opens a watch of all objects of a kind that carry a label, and gives the texts of what `trim` leaves of them.
pub(super) fn keep<K>(
    client: &Client,
    label: &str,
    (changed, trim): (&watch::Sender<u64>, fn(&mut K)),
) -> Kept<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Serialize + Clone + Debug + Send + Sync + 'static,
{
    let kept = Kept::default();
    follow(client, label, kept.clone(), (changed, trim));
    kept
}

fn follow<K>(
    client: &Client,
    selector: &str,
    sink: impl Sink<K> + Send + 'static,
    (changed, trim): (&watch::Sender<u64>, fn(&mut K)),
) where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let api: Api<Received<K>> = Api::all(client.clone());
    let config = Config::default().labels(selector);
    tokio::spawn(fill(api, config, sink, (changed.clone(), trim)));
}

async fn fill<K>(
    api: Api<Received<K>>,
    config: Config,
    mut sink: impl Sink<K>,
    (changed, trim): (watch::Sender<u64>, fn(&mut K)),
) where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let events = watcher(api, config).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut told = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let Some(event) = decoded(event, trim) else { continue };
                told |= matches!(event, Event::InitDone);
                let rings = !matches!(event, Event::Init | Event::InitApply(_));
                sink.take(&event);
                if rings {
                    changed.send_modify(|count| *count = count.wrapping_add(1));
                }
            }
            Err(error) => {
                if !told && is_undefined(&error) {
                    told = true;
                    sink.take(&Event::Init);
                    sink.take(&Event::InitDone);
                    changed.send_modify(|count| *count = count.wrapping_add(1));
                }
                tracing::warn!(kind = %K::kind(&()), error = &error as &dyn std::error::Error, "a watch is taken up again");
            }
        }
    }
}

/// kube-apiserver knows no such kind. While it still reads definitions it answers 503 instead.
fn is_undefined(error: &watcher::Error) -> bool {
    let watcher::Error::InitialListFailed(kube::Error::Api(status)) = error else { return false };
    status.code == 404
}

/// The event with its object, without what nobody reads; none where it cannot be read.
fn decoded<K>(event: Event<Received<K>>, trim: fn(&mut K)) -> Option<Event<K>>
where
    K: Resource<DynamicType = ()> + Clone,
{
    let (received, wrap): (_, fn(K) -> Event<K>) = match event {
        Event::Init => return Some(Event::Init),
        Event::InitDone => return Some(Event::InitDone),
        Event::Apply(received) => (received, Event::Apply),
        Event::Delete(received) => (received, Event::Delete),
        Event::InitApply(received) => (received, Event::InitApply),
    };
    let name = format!("{}/{}", received.namespace().unwrap_or_default(), received.name_any());
    match received.0 {
        Ok(mut object) => {
            object.managed_fields_mut().clear();
            trim(&mut object);
            Some(wrap(object))
        }
        Err(unreadable) => {
            tracing::error!(kind = %K::kind(&()), object = name, error = unreadable.error, "an object cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Request, Response};
    use kube::client::Body;
    use restate_crd::RestateDeployment;
    use serde_json::json;

    use super::*;

    /// Answers every list with nothing, or refuses it with this code.
    fn client(code: u16) -> Client {
        let answer = move |_: Request<Body>| async move {
            let text = if code == 200 {
                json!({
                    "apiVersion": "restate.dev/v1beta1", "kind": "RestateDeploymentList",
                    "metadata": {"resourceVersion": "7"}, "items": [],
                })
            } else {
                json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "no", "code": code})
            };
            let body = Body::from(text.to_string().into_bytes());
            let response = Response::builder().status(code).header("content-type", "application/json");
            response.body(body)
        };
        Client::new(tower::service_fn(answer), "default")
    }

    async fn is_ready(code: u16) -> bool {
        let changed = watch::Sender::new(0);
        let store = open::<RestateDeployment>(&client(code), &changed);
        tokio::time::timeout(Duration::from_secs(2), store.wait_until_ready()).await.is_ok()
    }

    /// P6, D4: readiness waits for what can come, and for nothing else.
    #[tokio::test]
    async fn p6_a_kind_without_definition_is_waited_for_by_nobody() {
        assert!(is_ready(200).await);
        assert!(is_ready(404).await, "no definition, no objects");
        assert!(!is_ready(403).await, "there may be objects");
        assert!(!is_ready(503).await, "definitions may not have been read yet");
    }
}
