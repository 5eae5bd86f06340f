//! What a stored object is kept without: thousands of them are in memory, and few of their fields are read.
//!
//! Invariant: the views of [`restate_plan::deployment`] are the same with and without.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Container, PodSpec, Service};

/// Of the pods, their images and ports.
pub(super) fn replica_set(object: &mut ReplicaSet) {
    if let Some(status) = &mut object.status {
        status.conditions = None;
    }
    let Some(template) = object.spec.as_mut().and_then(|spec| spec.template.as_mut()) else { return };
    template.metadata = None;
    template.spec = template.spec.take().map(pods);
}

fn pods(spec: PodSpec) -> PodSpec {
    let containers = spec.containers.into_iter().map(|Container { name, image, ports, .. }| Container {
        name,
        image,
        ports,
        ..Container::default()
    });
    PodSpec { containers: containers.collect(), ..PodSpec::default() }
}

/// Who owns it.
pub(super) fn service(object: &mut Service) {
    (object.spec, object.status) = (None, None);
}

/// Who owns it.
pub(super) fn autoscaler(object: &mut HorizontalPodAutoscaler) {
    (object.spec, object.status) = (None, None);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use restate_crd::RestateDeployment;
    use restate_plan::deployment::{self, ClusterSeen, Seen};
    use serde_json::json;

    use super::*;

    fn parent() -> RestateDeployment {
        let object = json!({
            "apiVersion": "restate.dev/v1beta1",
            "kind": "RestateDeployment",
            "metadata": {"name": "greeter", "namespace": "shop", "uid": "u1", "generation": 1},
            "spec": {
                "selector": {"matchLabels": {"app": "greeter"}},
                "restate": {"register": {"cluster": "prod"}},
                "template": {
                    "metadata": {"labels": {"app": "greeter"}},
                    "spec": {"containers": [{"name": "service", "image": "shop/greeter:2"}]},
                },
            },
        });
        serde_json::from_value(object).unwrap()
    }

    fn set() -> ReplicaSet {
        let owner = json!({
            "apiVersion": "restate.dev/v1beta1", "kind": "RestateDeployment", "name": "greeter", "uid": "u1",
            "controller": true,
        });
        let object = json!({
            "metadata": {
                "name": "greeter-1", "namespace": "shop", "uid": "u2", "ownerReferences": [owner],
                "labels": {"pod-template-hash": "1", "restate.dev/owned-by": "greeter"},
                "annotations": {"restate.dev/deployment-id": "dp_1"},
            },
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "greeter"}},
                "template": {
                    "metadata": {"labels": {"app": "greeter"}},
                    "spec": {
                        "nodeSelector": {"a": "b"},
                        "containers": [{
                            "name": "service", "image": "shop/greeter:1", "args": ["-v"],
                            "ports": [{"name": "restate", "containerPort": 9081}],
                        }],
                    },
                },
            },
            "status": {"replicas": 2, "readyReplicas": 1, "availableReplicas": 1},
        });
        serde_json::from_value(object).unwrap()
    }

    fn seen(set: ReplicaSet) -> Seen {
        Seen {
            object: Arc::new(parent()),
            replica_sets: vec![Arc::new(set)],
            services: Vec::new(),
            autoscalers: Vec::new(),
            cluster: ClusterSeen::Present,
            namespace_terminating: false,
            snapshot: None,
            dns_suffix: "cluster.local".to_owned(),
        }
    }

    #[test]
    fn views_need_no_more_than_what_is_kept() {
        let mut trimmed = set();
        replica_set(&mut trimmed);
        assert_ne!(trimmed, set(), "something is left out");
        let now = Timestamp::UNIX_EPOCH;
        let views = deployment::views(&seen(trimmed), now);
        assert_eq!(views, deployment::views(&seen(set()), now));
        assert_eq!(views[0].images, ["shop/greeter:1"]);
    }
}
