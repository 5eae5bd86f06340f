//! A watch that breaks is taken up again, and what changed meanwhile is not missed.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;

fn set(name: &str, replicas: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1"},
           "spec": {"replicas": replicas, "selector": {}}})
}

/// Each list shows one replica more; the first watch is ended by the server, the second one is cut, the third hangs.
fn server(lists: Arc<AtomicUsize>, watches: Arc<AtomicUsize>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (lists, watches) = (lists.clone(), watches.clone());
        async move {
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            if is_watch {
                let expired = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1",
                    "status": "Failure", "reason": "Expired", "message": "too old", "code": 410}});
                return Ok::<_, tower::BoxError>(match watches.fetch_add(1, Ordering::SeqCst) {
                    0 => Response::new(Body::from(format!("{expired}\n").into_bytes())),
                    1 => Response::builder().status(500).body(Body::empty())?,
                    _ => std::future::pending().await,
                });
            }
            let count = lists.fetch_add(1, Ordering::SeqCst) + 1;
            let items = [set("a", &json!(count)), set("b", &json!("many"))];
            let list = json!({"apiVersion": "apps/v1", "kind": "ReplicaSetList", "items": items,
                              "metadata": {"resourceVersion": count.to_string()}});
            Ok(Response::new(Body::from(serde_json::to_vec(&list)?)))
        }
    });
    Client::new(service, "default")
}

/// users.md 1a (op#114): nothing waits for a restart of the process. And one object that cannot be read does not stop
/// the others.
#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_is_taken_up_again_and_one_bad_object_stops_no_other() {
    let (lists, watches) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let cache: Arc<Cache<ReplicaSet>> = Arc::default();
    let feed = Feed {
        api: Api::all(server(lists.clone(), watches.clone())),
        selector: String::new(),
        cache: cache.clone(),
        wakers: Arc::default(),
        metrics: Arc::default(),
        filled: (Readiness::default(), "replicasets".to_owned()),
    };
    // It runs for ever.
    drop(timeout(Duration::from_mins(2), feed.run()).await);
    assert!(watches.load(Ordering::SeqCst) >= 3, "{watches:?}");
    let seen = cache.get(Some("shop"), "a").unwrap().spec.clone().unwrap().replicas;
    assert_eq!(seen, Some(i32::try_from(lists.load(Ordering::SeqCst)).unwrap()));
    assert!(lists.load(Ordering::SeqCst) > 1 && cache.get(Some("shop"), "b").is_none());
    assert!(cache.has(Some("shop"), "b"), "it is there");
}
