//! The same objects as a CRD, stored in etcd and served by kube-apiserver itself.

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use restate_tests::{Kubectl, Result, eventually};
use serde_json::{Value, json};

use super::ask::Asker;

pub(super) const GROUP: &str = "stored.bench.restate.dev";
pub(super) const PLURAL: &str = "storedversions";
const KIND: &str = "StoredVersion";
const AT_A_TIME: usize = 24;

/// Makes the kind, with the columns of ours.
pub(super) async fn define(kubectl: &Kubectl) -> Result {
    kubectl.apply(&definition()).await?;
    eventually("the kind to be served", std::time::Duration::from_mins(1), || async {
        let name = format!("{PLURAL}.{GROUP}");
        let seen = kubectl.run(["get", &name, "-A", "-o", "name"]).await;
        Ok(seen.map_err(|error| error.to_string()))
    })
    .await
    .map(drop)
}

/// Stores copies of these objects of ours; those that are there already stay.
pub(super) async fn store(asker: &Asker, namespace: &str, objects: &[Value]) -> Result {
    let path = format!("/apis/{GROUP}/v1/namespaces/{namespace}/{PLURAL}");
    stream::iter(objects)
        .map(|object| {
            let copy = copy(object);
            let path = &path;
            async move { asker.post(path, &copy).await.map(drop) }
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await
}

/// The object as somebody would store it: its own kind, its own metadata, the same status.
pub(super) fn copy(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": KIND,
        "metadata": {
            "name": metadata["name"], "labels": metadata["labels"], "ownerReferences": metadata["ownerReferences"],
        },
        "status": object["status"],
    })
}

/// A change of one object.
pub(super) async fn touch(asker: &Asker, namespace: &str, name: &str, round: usize) -> Result {
    let path = format!("/apis/{GROUP}/v1/namespaces/{namespace}/{PLURAL}/{name}");
    asker
        .patch(&path, &json!({"status": {"hash": format!("{round:010x}")}}))
        .await
        .map(drop)
        .context("a change")
}

fn definition() -> Value {
    let column = |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let columns = [
        column("Deployment", "string", ".status.deployment"),
        column("State", "string", ".status.state"),
        column("Latest", "boolean", ".status.latest"),
        column("In-Flight", "integer", ".status.invocations.pinned"),
        column("Replicas", "integer", ".status.replicas.desired"),
        column("Age", "date", ".metadata.creationTimestamp"),
        column("Deployment-Id", "string", ".status.deploymentId"),
        column("Cluster", "string", ".status.cluster"),
        column("Services", "string", ".status.services[*].name"),
        column("Kept-Because", "string", ".status.keptBecause[*].reason"),
        column("Images", "string", ".status.images[*]"),
        column("Endpoint", "string", ".status.endpoint"),
        column("Observed", "date", ".status.observedAt"),
    ];
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{PLURAL}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": PLURAL, "singular": "storedversion", "kind": KIND, "listKind": "StoredVersionList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}
