//! What is asked of a cluster, as clients meet it; nobody answers for the cluster.

use apiserver_machinery::api::Api;
use apiserver_machinery::status::Status;
use axum::body::Body;
use http::Request;
use kube::Client;
use restate_apiservice::{GROUP, RestateClusterMirror, VERSION};
use restate_client::admin::Error;
use restate_client::transport::{Options, Passage};
use restate_client::{Admin, Endpoint, Policy, Transport};
use rstest::rstest;
use serde_json::json;
use tower::ServiceExt;

use super::clusters::Clusters;
use super::health::Health;
use super::provision::{ProvisionOf, Provisioner};
use super::proxy::Proxy;
use super::recover::{Recoverer, RecoveryOf};
use super::registered::RegisteredWith;
use super::snapshots::{Archivist, SnapshotsOf};
use crate::nodes::Nodes;
use crate::turnstile::Turnstiles;
use crate::world::World;

/// When a client that is refused so sends the request again by itself; 0 for never.
pub(crate) fn retry_after(status: &Status) -> u32 {
    status.details.as_ref().map_or(0, |details| details.retry_after_seconds)
}

/// What is said of a Restate that nobody can connect to.
pub(crate) async fn unreachable() -> Error {
    rustls::crypto::ring::default_provider().install_default().ok();
    let policy = Policy::default().with_loopback();
    let endpoint = Endpoint::new("http://127.0.0.1:1", &policy).unwrap();
    let transport = Transport::new(&Options { policy, extra_ca: Vec::new() }).unwrap();
    Admin::new(&transport, &endpoint).version().await.unwrap_err()
}

/// An API server that stores one RestateCluster, and nothing ever changes.
fn storing_one_cluster() -> Client {
    let answer = |request: Request<kube::client::Body>| async move {
        if request.uri().query().is_some_and(|query| query.contains("watch=")) {
            std::future::pending::<()>().await;
        }
        let cluster = json!({
            "apiVersion": "restate.dev/v1", "kind": "RestateCluster",
            "metadata": {"name": "prod", "uid": "1c4c9a1e-0000-0000-0000-000000000000"},
            "spec": {"storage": {"storageRequestBytes": 1_073_741_824}, "compute": {"image": "restate:1"}},
        });
        let items =
            if request.uri().path().ends_with("restateclusters") { vec![cluster] } else { Vec::new() };
        let list =
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "7"}, "items": items});
        http::Response::builder()
            .header("content-type", "application/json")
            .body(kube::client::Body::from(list.to_string().into_bytes()))
    };
    Client::new(tower::service_fn(answer), "default")
}

async fn api(turnstiles: Turnstiles) -> Api {
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = storing_one_cluster();
    let world = World::open(&client, "cluster.local");
    world.filled().await;
    let transport = Transport::new(&Options::default()).unwrap();
    let health =
        Health { world: world.clone(), transport: transport.clone(), turnstiles: turnstiles.clone() };
    let registered = RegisteredWith { world: world.clone(), transport, turnstiles };
    let proxy = Proxy::new(world.clone(), Passage::new(&Options::default()).unwrap());
    let provisioner = Provisioner { world: world.clone(), client, nodes: Nodes, identity: "test".to_owned() };
    let (archivist, recoverer) = (Archivist::new(&world), Recoverer { world: world.clone() });
    Api::builder(GROUP, VERSION)
        .computed(Clusters(world))
        .creatable_subresource::<RestateClusterMirror, _>("snapshots", SnapshotsOf(archivist))
        .creatable_subresource::<RestateClusterMirror, _>("recover", RecoveryOf(recoverer))
        .creatable_subresource::<RestateClusterMirror, _>("provision", ProvisionOf(provisioner))
        .readable_subresource::<RestateClusterMirror, _>("health", health)
        .readable_subresource::<RestateClusterMirror, _>("deployments", registered)
        .connection::<RestateClusterMirror, _>("proxy", proxy)
        .build()
        .unwrap()
}

/// T5: where there is no turn, nothing is asked.
#[rstest]
#[case::without("", 200)]
#[case::registered("/deployments", 429)]
#[case::health("/health", 429)]
#[tokio::test(start_paused = true)]
async fn t5_whoever_asks_a_restate_waits_for_a_turn(#[case] below: &str, #[case] code: u16) {
    let uri = format!("/apis/{GROUP}/{VERSION}/restateclusters/prod{below}");
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let answer = api(Turnstiles::of(0)).await.router().oneshot(request).await.unwrap();
    assert_eq!(answer.status().as_u16(), code);
}
