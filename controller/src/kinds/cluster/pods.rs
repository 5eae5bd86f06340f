//! Where the pods of a cluster are: looked at one by one, as pods are many, change all the time and are not watched.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt};
use restate_plan::cluster::{Located, NodeLabels, Topology};
use restate_plan::{ObjectRef, Uid};

use crate::engine::{Context, Error, look};

/// Those of these pods that exist, each with its node's labels where its own do not say enough.
pub(super) async fn located(
    namespace: &str,
    names: Vec<String>,
    context: &Context,
) -> Result<Vec<Located>, Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let mut placed = Vec::new();
    for name in names {
        let what = ObjectRef::of::<Pod>(Some(namespace), &name);
        match look(&what, api.get_opt(&name)).await {
            Ok(found) => placed.extend(found_at(found, context).await),
            // Where the pods are is no reason to leave everything else undone.
            Err(error) => {
                let why = error.chain();
                let node_labels = NodeLabels::Unknown { why };
                let (uid, labels) = (Uid(String::new()), Topology::default());
                placed.push(Located { name, uid, node: None, labels, node_labels });
            }
        }
    }
    Ok(placed)
}

async fn found_at(pod: Option<Pod>, context: &Context) -> Option<Located> {
    let pod = pod?;
    let labels = Topology::of(pod.metadata.labels.as_ref());
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let node_labels = match &node {
        Some(node) if !labels.is_complete() => labels_of(node, context).await,
        Some(_) | None => NodeLabels::NotAsked,
    };
    Some(Located { name: pod.name_any(), uid: Uid(pod.uid()?), node, labels, node_labels })
}

async fn labels_of(node: &str, context: &Context) -> NodeLabels {
    let api: Api<Node> = Api::all(context.client.clone());
    match look(&ObjectRef::of::<Node>(None, node), api.get_metadata(node)).await {
        Ok(found) => NodeLabels::Known(Topology::of(found.metadata.labels.as_ref())),
        Err(error) => NodeLabels::Unknown { why: error.chain() },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Kubernetes, context};

    const PATH: &str = "/api/v1/namespaces/prod/pods/restate-0";

    fn pod(labels: &Value, node: Option<&str>) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod",
               "metadata": {"name": "restate-0", "namespace": "prod", "uid": "u", "labels": labels},
               "spec": {"containers": [], "nodeName": node}})
    }

    async fn look_at(kubernetes: Kubernetes) -> (Option<Located>, usize) {
        let found = located("prod", vec!["restate-0".to_owned()], &context(&kubernetes)).await;
        (found.unwrap().pop(), kubernetes.asked().len())
    }

    /// A node is looked at only where its pod's labels do not say enough.
    #[tokio::test]
    async fn a_node_is_asked_for_what_its_pod_lacks() {
        let node = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                          "metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}}});
        let both = json!({"topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r"});
        let kubernetes = |labels: &Value, bound| Kubernetes::default().with(PATH, pod(labels, bound));
        let (found, asked) = look_at(kubernetes(&both, Some("n"))).await;
        assert_eq!((found.unwrap().node_labels, asked), (NodeLabels::NotAsked, 1));
        let (found, asked) = look_at(kubernetes(&json!({}), None)).await;
        assert_eq!((found.unwrap().node, asked), (None, 1));
        let (found, asked) = look_at(kubernetes(&json!({}), Some("n")).with("/api/v1/nodes/n", node)).await;
        let zone = Topology { region: None, zone: Some("z".to_owned()) };
        assert_eq!((found.unwrap().node_labels, asked), (NodeLabels::Known(zone), 2));
        assert_eq!(look_at(Kubernetes::default()).await, (None, 1), "no pod yet");
    }

    /// Without the right to look nothing is concluded, and the rest of the pass goes on.
    #[tokio::test]
    async fn who_may_not_look_says_so() {
        let refusing = Kubernetes::refusing(|_, _| Some(Kubernetes::no(403, "no right")));
        let (found, _) = look_at(refusing).await;
        let said = found.unwrap().node_labels;
        assert!(matches!(&said, NodeLabels::Unknown { why } if why.contains("no right")), "{said:?}");
    }
}
