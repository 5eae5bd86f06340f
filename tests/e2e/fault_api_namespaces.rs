//! A Restate that is down holds up no namespace (architecture §4.7; D4, W19).

use std::time::Duration;

use restate_tests::{Fault, FaultProxy, Lab, Namespace, Restate, Result, Service, eventually, lab::Image};
use serde_json::json;

/// Deregistration is tried for a bounded time; the rest is Kubernetes' own.
const GOES: Duration = Duration::from_mins(2);

/// D4, W19: the versions are shown, the API is available, and the namespace goes, all without a word from Restate.
#[tokio::test]
async fn a_namespace_is_deleted_while_its_restate_is_down() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: pods of a cluster elsewhere cannot reach a proxy on this machine");
        return Ok(());
    }
    let kubectl = lab.kubectl()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "down").await?);
    let proxy = FaultProxy::new(&lab, &restate).await?;
    let service = Service::registered(&lab, &namespace, json!({"url": proxy.url()}));
    service.roll_out(Image::GreeterV1).await?;
    proxy.set(Fault::Refuse);
    kubectl.run(["delete", "namespace", namespace.name(), "--wait=false"]).await?;
    eventually("the namespace to go", GOES, || async {
        let get = ["get", "namespace", namespace.name(), "--ignore-not-found", "-o", "json"];
        let left = kubectl.run(get).await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
    .await
}
