//! What is stored, as of the API server's last word: the objects from which the virtual kinds are computed.
//!
//! Stage in the flow: before any resource. Invariants: one object that cannot be read does not hide the others;
//! nothing here ever waits for a Restate. Not for asking Restate: that is [`crate::restates`].

mod admins;
mod feed;
mod kept;
mod trim;

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use restate_crd::label::OWNED_BY;
use restate_crd::{RestateCluster, RestateDeployment};
use restate_model::Snapshot;
use restate_plan::Admin;
use restate_plan::deployment::{self, ClusterSeen, Seen, View};
use tokio::sync::watch;

use admins::Admins;
use kept::Kept;

/// What was computed, and from which generation of the stored objects.
type AsOf<T> = (u64, Arc<T>);

/// The stored objects.
#[derive(Clone)]
pub(crate) struct World {
    deployments: Store<RestateDeployment>,
    clusters: Store<RestateCluster>,
    namespaces: Store<Namespace>,
    replica_sets: Kept<ReplicaSet>,
    services: Kept<Service>,
    autoscalers: Kept<HorizontalPodAutoscaler>,
    changed: watch::Sender<u64>,
    admins: Arc<Mutex<Option<AsOf<Admins>>>>,
    dns_suffix: Arc<str>,
}

impl World {
    /// Opens every watch; they run until the process ends.
    pub(crate) fn open(client: &Client, dns_suffix: &str) -> Self {
        let changed = watch::Sender::new(0);
        Self {
            deployments: feed::open(client, &changed),
            clusters: feed::open(client, &changed),
            namespaces: feed::open(client, &changed),
            replica_sets: feed::keep(client, OWNED_BY, (&changed, trim::replica_set)),
            services: feed::keep(client, OWNED_BY, (&changed, trim::service)),
            autoscalers: feed::keep(client, OWNED_BY, (&changed, trim::autoscaler)),
            changed,
            admins: Arc::default(),
            dns_suffix: dns_suffix.into(),
        }
    }

    /// Waits until every watch has told everything once.
    pub(crate) async fn filled(&self) {
        let _ = self.deployments.wait_until_ready().await;
        let _ = self.clusters.wait_until_ready().await;
        let _ = self.namespaces.wait_until_ready().await;
        self.replica_sets.filled().await;
        self.services.filled().await;
        self.autoscalers.filled().await;
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

    /// The Restates of all deployments, or of those of a namespace, or of the one that has a version of this name: it
    /// begins with the deployment's.
    pub(crate) fn admins(&self, namespace: Option<&str>, version: Option<&str>) -> Vec<Admin> {
        let (Some(namespace), Some(version)) = (namespace, version) else {
            return self.all_admins().within(namespace).to_vec();
        };
        let dashes = version.match_indices('-').map(|(at, _)| &version[..at]);
        let mut admins: Vec<_> =
            dashes.filter_map(|name| self.admin(&*self.deployment(namespace, name)?)).collect();
        admins.sort_by(|one, other| one.key.cmp(&other.key));
        admins.dedup();
        admins
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
            replica_sets: self.replica_sets.named(&namespace, &prefix),
            services: self.services.named(&namespace, &prefix),
            autoscalers: self.autoscalers.named(&namespace, &prefix),
            cluster: self.cluster_seen(object),
            namespace_terminating: terminating,
            snapshot,
            dns_suffix: self.dns_suffix.to_string(),
            object: object.clone(),
        }
    }

    /// How often anything has changed: what is computed from the stored objects holds for as long as this stays.
    pub(crate) fn generation(&self) -> u64 {
        *self.changed.borrow()
    }

    /// Which Restates there are, found anew by the first who asks after a change.
    fn all_admins(&self) -> Arc<Admins> {
        let mut kept = self.admins.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before the stores are: what comes in between makes them old.
        let generation = self.generation();
        if let Some((_, admins)) = kept.as_ref().filter(|(of, _)| *of == generation) {
            return Arc::clone(admins);
        }
        let admins = Arc::new(Admins::of(&self.deployments.state(), |object| self.admin(object)));
        *kept = Some((generation, Arc::clone(&admins)));
        admins
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
