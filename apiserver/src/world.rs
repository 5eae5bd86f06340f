//! What is stored, as of the API server's last word: the objects from which the virtual kinds are computed.
//!
//! Stage in the flow: before any resource. Invariants: one object that cannot be read does not hide the others;
//! nothing here ever waits for a Restate. Not for asking Restate: that is [`crate::restates`].

mod feed;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use restate_crd::label::OWNED_BY;
use restate_crd::{RestateCluster, RestateDeployment};
use restate_model::Snapshot;
use restate_plan::Admin;
use restate_plan::deployment::{self, ClusterSeen, Seen, View};
use tokio::sync::watch;

/// The stored objects.
#[derive(Clone)]
pub(crate) struct World {
    deployments: Store<RestateDeployment>,
    clusters: Store<RestateCluster>,
    namespaces: Store<Namespace>,
    replica_sets: Store<ReplicaSet>,
    services: Store<Service>,
    autoscalers: Store<HorizontalPodAutoscaler>,
    changed: watch::Sender<u64>,
    dns_suffix: Arc<str>,
}

impl World {
    /// Opens every watch; they run until the process ends.
    pub(crate) fn open(client: &Client, dns_suffix: &str) -> Self {
        let changed = watch::Sender::new(0);
        let everything = "";
        Self {
            deployments: feed::open(client, everything, &changed),
            clusters: feed::open(client, everything, &changed),
            namespaces: feed::open(client, everything, &changed),
            replica_sets: feed::open(client, OWNED_BY, &changed),
            services: feed::open(client, OWNED_BY, &changed),
            autoscalers: feed::open(client, OWNED_BY, &changed),
            changed,
            dns_suffix: dns_suffix.into(),
        }
    }

    /// Waits until every watch has told everything once.
    pub(crate) async fn filled(&self) {
        let _ = self.deployments.wait_until_ready().await;
        let _ = self.clusters.wait_until_ready().await;
        let _ = self.namespaces.wait_until_ready().await;
        let _ = self.replica_sets.wait_until_ready().await;
        let _ = self.services.wait_until_ready().await;
        let _ = self.autoscalers.wait_until_ready().await;
    }

    /// Rings whenever an object changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// All deployments.
    pub(crate) fn deployments(&self) -> Vec<Arc<RestateDeployment>> {
        self.deployments.state()
    }

    /// One deployment.
    pub(crate) fn deployment(&self, namespace: &str, name: &str) -> Option<Arc<RestateDeployment>> {
        self.deployments.get(&ObjectRef::new(name).within(namespace))
    }

    /// One cluster.
    pub(crate) fn cluster(&self, name: &str) -> Option<Arc<RestateCluster>> {
        self.clusters.get(&ObjectRef::new(name))
    }

    /// One namespace.
    pub(crate) fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.namespaces.get(&ObjectRef::new(name))
    }

    /// DNS suffix of this Kubernetes cluster.
    pub(crate) fn dns_suffix(&self) -> &str {
        &self.dns_suffix
    }

    /// Which Restate a deployment registers with.
    pub(crate) fn admin(&self, object: &RestateDeployment) -> Option<Admin> {
        deployment::admin(object, &self.dns_suffix)
    }

    /// The versions of a deployment, by the very function that the controller decides with.
    pub(crate) fn views(
        &self,
        object: &Arc<RestateDeployment>,
        snapshot: Option<Arc<Snapshot>>,
        now: Timestamp,
    ) -> Vec<View> {
        deployment::views(&self.seen(object, snapshot), now)
    }

    fn seen(&self, object: &Arc<RestateDeployment>, snapshot: Option<Arc<Snapshot>>) -> Seen {
        let namespace = object.namespace().unwrap_or_default();
        let prefix = format!("{}-", object.name_any());
        let terminating =
            self.namespace(&namespace).is_some_and(|found| found.metadata.deletion_timestamp.is_some());
        Seen {
            replica_sets: named(&self.replica_sets, &namespace, &prefix),
            services: named(&self.services, &namespace, &prefix),
            autoscalers: named(&self.autoscalers, &namespace, &prefix),
            cluster: self.cluster_seen(object),
            namespace_terminating: terminating,
            snapshot,
            dns_suffix: self.dns_suffix.to_string(),
            object: object.clone(),
        }
    }

    fn cluster_seen(&self, object: &RestateDeployment) -> ClusterSeen {
        match cluster_name(object) {
            None => ClusterSeen::NotNamed,
            Some(name) if self.cluster(name).is_some() => ClusterSeen::Present,
            Some(_) => ClusterSeen::Absent,
        }
    }
}

/// The RestateCluster that a deployment names.
pub(crate) fn cluster_name(object: &RestateDeployment) -> Option<&str> {
    object.spec.restate.register.cluster()
}

fn named<K>(store: &Store<K>, namespace: &str, prefix: &str) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let ours = |object: &Arc<K>| {
        object.meta().namespace.as_deref() == Some(namespace) && object.name_any().starts_with(prefix)
    };
    store.state().into_iter().filter(ours).collect()
}
