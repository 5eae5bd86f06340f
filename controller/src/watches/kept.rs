//! What of each kind is kept: everything that a plan looks at. The rest would cost memory and wake objects for
//! nothing.

use std::fmt::Debug;

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, Namespace, PersistentVolumeClaim, PodSpec, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use restate_crd::label::OWNED_BY;
use restate_crd::{RestateCloudEnvironment, RestateCluster, RestateDeployment};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A copy of the whole object that kubectl keeps.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// A label that every object of a cluster carries.
const PART_OF_CLUSTER: &str = "app.kubernetes.io/name";

/// A kind that is kept in a store.
pub(crate) trait Kept:
    Resource<DynamicType = ()> + PartialEq + Serialize + DeserializeOwned + Debug + Send + Sync + 'static
{
    /// What is asked of all objects of the kind at once, and known without reading any.
    type Mark: Clone + Send + Sync;

    /// Drops what nobody looks at. The record of owners was not even read.
    fn trim(&mut self) {}

    /// Its mark.
    fn mark(&self) -> Self::Mark;
}

macro_rules! whole {
    ($($kind:ident),+) => {
        $(impl Kept for $kind {
            type Mark = ();

            fn mark(&self) {}
        })+
    };
}

whole!(
    RestateCluster,
    RestateCloudEnvironment,
    NetworkPolicy,
    ServiceAccount,
    ConfigMap,
    StatefulSet,
    PersistentVolumeClaim
);

/// Whom a deployment depends on.
#[derive(Clone, Debug)]
pub(crate) struct Reliance {
    /// The cluster that it registers with.
    pub(crate) cluster: Option<Box<str>>,
    /// The service that follows its routed version.
    pub(crate) stable_service: Option<Box<str>>,
}

impl Kept for RestateDeployment {
    type Mark = Reliance;

    fn mark(&self) -> Reliance {
        Reliance {
            cluster: self.spec.restate.register.cluster().map(Into::into),
            stable_service: self.spec.stable_service.as_ref().map(|service| service.name.as_str().into()),
        }
    }

    fn trim(&mut self) {
        if let Some(annotations) = &mut self.metadata.annotations {
            annotations.remove(LAST_APPLIED);
        }
    }
}

impl Kept for Service {
    type Mark = ();

    fn mark(&self) {}

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
    type Mark = ();

    fn mark(&self) {}

    fn trim(&mut self) {
        // A namespace that terminates tells its progress by conditions; that it terminates is in its metadata.
        if let Some(status) = &mut self.status {
            status.conditions = None;
        }
    }
}

impl Kept for ReplicaSet {
    type Mark = ();

    fn mark(&self) {}

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

impl Kept for HorizontalPodAutoscaler {
    type Mark = ();

    fn mark(&self) {}

    fn trim(&mut self) {
        // Its status beats every 15 seconds, and nothing is decided by it.
        self.status = None;
    }
}

impl Kept for PodDisruptionBudget {
    type Mark = ();

    fn mark(&self) {}

    fn trim(&mut self) {
        self.status = None;
    }
}
