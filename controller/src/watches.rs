//! Every watch of the process is opened here, once, and fills the [`Stores`] that everybody reads.
//!
//! Stage in the flow: before gather. Invariants: what wakes nobody is not kept (heartbeats, managed fields); one
//! object that cannot be read does not stop the others; what we wrote ourselves is in the store at once, so that
//! the next pass rests on it. Not for asking the API server about single objects.

mod cache;
mod feed;
mod kept;
mod route;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::{Api, Client, Resource};
use restate_crd::label::OWNED_BY;
use restate_crd::{RestateCloudEnvironment, RestateCluster, RestateDeployment};
use restate_plan::ObjectRef;
use restate_plan::received::Received;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use cache::{Cache, Change};
pub(crate) use kept::Kept;
#[cfg(test)]
pub(crate) use route::Wish;
pub(crate) use route::{Concerns, Queue, Stored, Wakers};

use crate::runtime::health::Readiness;
use crate::runtime::metrics::Metrics;

/// The label that every object of a cluster carries; its pods are selected by it.
const OF_CLUSTERS: &str = "app.kubernetes.io/name=restate";

macro_rules! stores {
    ($($(#[$doc:meta])* $field:ident: $kind:ident),+ $(,)?) => {
        /// What the API server has, as of its last word.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Stores {
            $($(#[$doc])* pub(crate) $field: Arc<Cache<$kind>>,)+
        }

        impl Stores {
            /// Takes over an object that the API server has just answered with, where its kind is kept.
            pub(crate) fn absorb(&self, reference: &ObjectRef, answer: &str) {
                $(if reference.kind == $kind::kind(&()) && reference.api_version == $kind::api_version(&()) {
                    if let Some(object) = told(reference, answer) {
                        // The pass that wrote it looks again at once.
                        drop(self.$field.absorb(object));
                    }
                    return;
                })+
            }
        }
    };
}

stores!(
    /// All clusters.
    clusters: RestateCluster,
    /// All deployments.
    deployments: RestateDeployment,
    /// All cloud environments.
    environments: RestateCloudEnvironment,
    /// The versions' replica sets.
    replica_sets: ReplicaSet,
    /// All services; of those that are not ours only their identity.
    services: Service,
    /// The autoscalers of draining versions.
    autoscalers: HorizontalPodAutoscaler,
    /// The clusters' stateful sets.
    stateful_sets: StatefulSet,
    /// All namespaces.
    namespaces: Namespace,
    /// The clusters' configurations.
    config_maps: ConfigMap,
    /// The clusters' service accounts.
    service_accounts: ServiceAccount,
    /// The clusters' network policies.
    network_policies: NetworkPolicy,
    /// The clusters' disruption budgets.
    disruption_budgets: PodDisruptionBudget,
    /// The claims of the clusters' volumes.
    claims: PersistentVolumeClaim,
);

/// The object in an answer about it, where it can be read.
pub(crate) fn told<K: Resource + DeserializeOwned>(reference: &ObjectRef, answer: &str) -> Option<K> {
    let Received(object) = serde_json::from_str(answer).ok()?;
    object.ok().filter(|object: &K| object.meta().name.as_ref() == Some(&reference.name))
}

/// What a watch needs to run.
#[derive(Clone)]
pub(crate) struct Watching {
    /// How to reach the API server.
    pub(crate) client: Client,
    /// Where to say that a store is filled.
    pub(crate) readiness: Readiness,
    /// Where to count.
    pub(crate) metrics: Arc<Metrics>,
    /// When to stop.
    pub(crate) stop: CancellationToken,
    /// Where the tasks live.
    pub(crate) tasks: TaskTracker,
    /// Whether network policies are looked at.
    pub(crate) network_policies: bool,
}

/// Opens every watch. What changes is told to `wakers`.
pub(crate) fn open(watching: &Watching, wakers: &Arc<Wakers>) -> Stores {
    let stores = Stores::default();
    wakers.know(&stores);
    let everything = "";
    start(watching, wakers, &stores.clusters, everything);
    start(watching, wakers, &stores.deployments, everything);
    start(watching, wakers, &stores.environments, everything);
    start(watching, wakers, &stores.namespaces, everything);
    start(watching, wakers, &stores.services, everything);
    start(watching, wakers, &stores.replica_sets, OWNED_BY);
    start(watching, wakers, &stores.autoscalers, OWNED_BY);
    start(watching, wakers, &stores.stateful_sets, OF_CLUSTERS);
    start(watching, wakers, &stores.config_maps, OF_CLUSTERS);
    start(watching, wakers, &stores.service_accounts, OF_CLUSTERS);
    if watching.network_policies {
        start(watching, wakers, &stores.network_policies, OF_CLUSTERS);
    }
    start(watching, wakers, &stores.disruption_budgets, OF_CLUSTERS);
    start(watching, wakers, &stores.claims, OF_CLUSTERS);
    stores
}

fn start<K>(watching: &Watching, wakers: &Arc<Wakers>, cache: &Arc<Cache<K>>, selector: &str)
where
    K: Concerns + Clone,
{
    let awaited = format!("{}.{}", K::plural(&()), K::group(&()));
    watching.readiness.awaits(&awaited);
    let feed = feed::Feed {
        api: Api::all(watching.client.clone()),
        selector: selector.to_owned(),
        cache: cache.clone(),
        wakers: wakers.clone(),
        metrics: watching.metrics.clone(),
        filled: (watching.readiness.clone(), awaited),
    };
    let stop = watching.stop.clone();
    watching.tasks.spawn(async move {
        tokio::select! {
            () = feed.run() => {}
            () = stop.cancelled() => {}
        }
    });
}
