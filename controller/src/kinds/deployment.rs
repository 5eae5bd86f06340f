//! RestateDeployment: looks at its versions, its cluster, and what its Restate said; decides in `restate-plan`.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client, ResourceExt};
use restate_crd::{Conditions, RestateDeployment, RestateDeploymentStatus, finalizer};
use restate_plan::deployment::{self, ClusterSeen, Seen};
use restate_plan::{ObjectRef, Registration, Step};

use crate::engine::{Context, Decision, Error, Kind, look};
use crate::execute::Rejection;
use crate::restates::Wanting;
use crate::runtime::metrics::Controller;
use crate::watches::{Cache, Change, Kept, Stores};

impl Kind for RestateDeployment {
    const CONTROLLER: Controller = Controller::Deployment;
    const FINALIZER: &'static str = finalizer::DEPLOYMENT;
    type Seen = Seen;

    fn api(&self, client: &Client) -> Api<Self> {
        Api::namespaced(client.clone(), self.metadata.namespace.as_deref().unwrap_or_default())
    }

    async fn gather(object: &Arc<Self>, context: &Context) -> Result<Seen, Error> {
        let stores = &context.stores;
        let namespace = object.namespace().unwrap_or_default();
        let dns_suffix = context.operator.dns_suffix.clone();
        let mut services = named_after(&stores.services, object);
        services.extend(stable_service(object, &services, context).await?);
        let admin = deployment::admin(object, &dns_suffix);
        Ok(Seen {
            replica_sets: named_after(&stores.replica_sets, object),
            services,
            autoscalers: named_after(&stores.autoscalers, object),
            cluster: cluster(object, stores),
            namespace_terminating: is_terminating(stores, &namespace),
            snapshot: admin.and_then(|admin| context.restates.snapshot(&admin)),
            dns_suffix,
            object: object.clone(),
        })
    }

    fn decide(_: &Self, seen: &Seen, now: Timestamp) -> Decision<RestateDeploymentStatus> {
        let deployment::Decision { plan, status, demand, finalizer } = deployment::decide(seen, now);
        Decision { plan, status, finalizer, demand: Some(demand), known: seen.snapshot.clone() }
    }

    fn keep(stores: &Stores, object: Self) -> Option<Change<Self>> {
        stores.deployments.absorb(object)
    }

    fn conditions(status: &mut RestateDeploymentStatus) -> &mut Conditions {
        &mut status.conditions
    }

    fn wanted_by(object: &Self) -> Option<Wanting> {
        Some(Wanting::from_obj(object))
    }

    fn remember(
        object: &Self,
        registration: &Registration,
        rejection: &Rejection,
        now: Timestamp,
    ) -> Vec<Step> {
        let words = (rejection.code.as_str(), rejection.message.as_str());
        vec![deployment::record_rejection(object, registration, words, now)]
    }
}

/// Those that the object owns, and those that only carry a name that it could give.
fn named_after<K: Kept>(cache: &Cache<K>, object: &RestateDeployment) -> Vec<Arc<K>> {
    cache.named_after(object.metadata.namespace.as_deref().unwrap_or_default(), &object.name_any())
}

/// The service that follows the routed version, by whomever it was made.
async fn stable_service(
    object: &RestateDeployment,
    known: &[Arc<Service>],
    context: &Context,
) -> Result<Option<Arc<Service>>, Error> {
    let Some(wanted) = &object.spec.stable_service else { return Ok(None) };
    if known.iter().any(|service| service.name_any() == wanted.name) {
        return Ok(None);
    }
    let namespace = object.metadata.namespace.as_deref();
    let found = context.stores.services.get(namespace, &wanted.name);
    if found.is_some() {
        return Ok(found);
    }
    // All services are watched, but a name that seems to be free is about to be taken.
    let reference = ObjectRef::of::<Service>(namespace, &wanted.name);
    let api: Api<Service> = Api::namespaced(context.client.clone(), namespace.unwrap_or_default());
    look(&reference, api.get_opt(&wanted.name)).await.map(|found| found.map(Arc::new))
}

fn cluster(object: &RestateDeployment, stores: &Stores) -> ClusterSeen {
    match object.spec.restate.register.cluster() {
        None => ClusterSeen::NotNamed,
        Some(name) if stores.clusters.has(None, name) => ClusterSeen::Present,
        Some(_) => ClusterSeen::Absent,
    }
}

fn is_terminating(stores: &Stores, namespace: &str) -> bool {
    stores.namespaces.get(None, namespace).is_some_and(|found| found.metadata.deletion_timestamp.is_some())
}
