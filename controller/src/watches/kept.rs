//! What of each kind is kept: everything that a plan looks at. The rest would cost memory and wake objects for
//! nothing.

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, Namespace, PersistentVolumeClaim, PodSpec, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use restate_crd::label::OWNED_BY;
use restate_crd::{RestateCloudEnvironment, RestateCluster, RestateDeployment};

/// A copy of the whole object that kubectl keeps.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// A label that every object of a cluster carries.
const PART_OF_CLUSTER: &str = "app.kubernetes.io/name";

/// A kind that is kept in a store.
pub(crate) trait Kept: PartialEq {
    /// Drops what nobody looks at. The record of owners is dropped already.
    fn trim(&mut self) {}
}

impl Kept for RestateCluster {}

impl Kept for RestateDeployment {
    fn trim(&mut self) {
        if let Some(annotations) = &mut self.metadata.annotations {
            annotations.remove(LAST_APPLIED);
        }
    }
}

impl Kept for RestateCloudEnvironment {}
impl Kept for NetworkPolicy {}
impl Kept for ServiceAccount {}
impl Kept for ConfigMap {}

impl Kept for Service {
    fn trim(&mut self) {
        // Nothing is decided by the address that a load balancer gave it.
        self.status = None;
        let ours =
            |label: &str| self.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(label));
        if !ours(OWNED_BY) && !ours(PART_OF_CLUSTER) {
            // Only that the name is taken, and by whom.
            self.spec = None;
            self.metadata.annotations = None;
        }
    }
}

impl Kept for Namespace {
    fn trim(&mut self) {
        // A namespace that terminates tells its progress by conditions; that it terminates is in its metadata.
        if let Some(status) = &mut self.status {
            status.conditions = None;
        }
    }
}

impl Kept for ReplicaSet {
    fn trim(&mut self) {
        if let Some(status) = &mut self.status {
            status.terminating_replicas = None;
        }
        // Of its pods, what people are shown and where they listen; their template as it was written is an annotation.
        if let Some(template) = self.spec.as_mut().and_then(|spec| spec.template.as_mut()) {
            template.metadata = None;
            template.spec = template.spec.take().map(|pods| PodSpec {
                containers: pods.containers.into_iter().map(shown).collect(),
                ..PodSpec::default()
            });
        }
    }
}

fn shown(container: Container) -> Container {
    let Container { name, image, ports, .. } = container;
    Container { name, image, ports, ..Container::default() }
}

impl Kept for StatefulSet {}
impl Kept for PersistentVolumeClaim {}

impl Kept for HorizontalPodAutoscaler {
    fn trim(&mut self) {
        // Its status beats every 15 seconds, and nothing is decided by it.
        self.status = None;
    }
}

impl Kept for PodDisruptionBudget {
    fn trim(&mut self) {
        self.status = None;
    }
}
