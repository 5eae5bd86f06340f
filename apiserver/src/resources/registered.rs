//! `restateclusters/deployments`: everything that is registered with a Restate, also what nobody here has registered.
//!
//! Asked when somebody looks: what is shown is what Restate says now.

use std::collections::BTreeMap;
use std::sync::Arc;

use apiserver_machinery::resource::{Call, Given, ReadableSubresource};
use apiserver_machinery::status::Status;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;
use restate_apiservice::{
    RestateClusterDeployment, RestateClusterDeploymentStatus, ServedService, VersionReference,
};
use restate_client::{Admin, Transport};
use restate_model::{DeploymentId, EndpointKey, Reading, Registered, Registry, Snapshot};
use uuid::Uuid;

use crate::refusal::unanswered;
use crate::targets::{Targets, polled};
use crate::turnstile::Turnstiles;
use crate::world::World;

/// What is registered.
pub(crate) struct RegisteredWith {
    pub(crate) world: World,
    pub(crate) transport: Transport,
    pub(crate) turnstiles: Turnstiles,
}

type Versions = BTreeMap<DeploymentId, VersionReference>;

impl ReadableSubresource for RegisteredWith {
    type Object = RestateClusterDeployment;

    async fn get(&self, call: &Call) -> Result<Given<Self::Object>, Status> {
        let stored = self.world.cluster(call.name()).ok_or_else(|| call.not_found())?;
        let endpoint = self.world.admin_api(call.name()).ok_or_else(|| call.not_found())?;
        let endpoint = endpoint.map_err(|error| Status::unavailable(error.to_string()))?;
        let answer = {
            let _turn = self.turnstiles.turn(&polled(&endpoint).key).await?;
            Admin::new(&self.transport, &endpoint).registry().await
        };
        let registry = answer.map_err(|error| unanswered(&polled(&endpoint).key, &error))?;
        let versions = self.versions(&polled(&endpoint).key, &registry);
        let parent = stored.metadata.uid.as_deref().and_then(|uid| uid.parse().ok());
        Ok(Given::Many(objects((call.name(), parent), &registry, &versions)))
    }
}

impl RegisteredWith {
    /// The versions that register with this Restate, by Restate's id.
    fn versions(&self, key: &EndpointKey, registry: &Reading<Arc<Registry>>) -> Versions {
        let snapshot = Arc::new(Snapshot { registry: Some(registry.clone()), ..Snapshot::default() });
        let deployments = self.world.deployments();
        let here = deployments
            .iter()
            .filter(|object| self.world.admin(object).is_some_and(|admin| admin.key == *key));
        let of = |object: &Arc<restate_crd::RestateDeployment>| {
            let deployment = object.name_any();
            let views = self.world.views(object, Some(Arc::clone(&snapshot)), Timestamp::now());
            views.into_iter().filter_map(move |view| {
                let deployment = deployment.clone();
                let version = VersionReference { namespace: view.namespace, name: view.name, deployment };
                Some((view.deployment_id?, version))
            })
        };
        here.flat_map(of).collect()
    }
}

fn objects(
    (cluster, parent): (&str, Option<Uuid>),
    registry: &Reading<Arc<Registry>>,
    versions: &Versions,
) -> Vec<RestateClusterDeployment> {
    let all = registry.value.deployments.iter();
    all.map(|(id, found)| {
        let services = services(id, found, &registry.value);
        let status = RestateClusterDeploymentStatus {
            cluster: cluster.to_owned(),
            endpoint: found.endpoint.clone(),
            http11: found.http11,
            latest: services.iter().any(|service| service.latest),
            services,
            version: versions.get(id).cloned(),
            observed_at: Some(registry.asked_at),
        };
        RestateClusterDeployment { metadata: metadata(id, found, parent), status }
    })
    .collect()
}

fn services(id: &DeploymentId, found: &Registered, registry: &Registry) -> Vec<ServedService> {
    let latest = |name| registry.services.get(name).is_some_and(|service| service.deployment == *id);
    let served = found.services.iter().map(|service| ServedService {
        name: service.name.to_string(),
        revision: service.revision,
        latest: latest(&service.name),
    });
    served.collect()
}

fn metadata(id: &DeploymentId, found: &Registered, parent: Option<Uuid>) -> ObjectMeta {
    let namespace = parent.unwrap_or(Uuid::NAMESPACE_OID);
    ObjectMeta {
        name: Some(id.to_string()),
        uid: Some(Uuid::new_v5(&namespace, id.as_str().as_bytes()).to_string()),
        creation_timestamp: found.created_at.map(Time),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use restate_model::{Service, ServiceKind, ServiceName, ServiceRevision};

    use super::*;

    fn registered(endpoint: &str, services: &[(&str, u32)]) -> Registered {
        let service =
            |(name, revision): &(&str, u32)| ServiceRevision { name: (*name).into(), revision: *revision };
        Registered {
            endpoint: endpoint.to_owned(),
            created_at: "2026-11-22T12:00:00Z".parse().ok(),
            services: services.iter().map(service).collect(),
            http11: false,
        }
    }

    fn registry() -> Reading<Arc<Registry>> {
        let service = |name: &str, id: &str| Service {
            name: name.into(),
            revision: 2,
            deployment: id.into(),
            kind: ServiceKind::Service,
            public: true,
            handlers: vec![],
            idempotency_retention: None,
            workflow_retention: None,
        };
        let deployments = [
            ("dp_A", registered("http://greeter-1/", &[("greeter", 1)])),
            ("dp_B", registered("http://greeter-2/", &[("greeter", 2)])),
            ("dp_c", registered("http://elsewhere/", &[("other", 2), ("gone", 1)])),
        ];
        let services = [service("greeter", "dp_B"), service("other", "dp_c")];
        let services = services.into_iter().map(|service| (service.name.clone(), service.into()));
        Reading {
            asked_at: "2026-11-22T12:00:01Z".parse().unwrap(),
            value: Arc::new(Registry {
                deployments: deployments.into_iter().map(|(id, found)| (id.into(), found.into())).collect(),
                services: services.collect::<BTreeMap<ServiceName, _>>(),
            }),
        }
    }

    fn versions() -> Versions {
        let version = |name: &str| VersionReference {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            deployment: "greeter".to_owned(),
        };
        [("dp_A", "greeter-1"), ("dp_B", "greeter-2")].map(|(id, name)| (id.into(), version(name))).into()
    }

    #[test]
    fn what_nobody_here_has_registered_is_shown_too() {
        let objects = objects(("prod", None), &registry(), &versions());
        let rows: Vec<_> = objects
            .iter()
            .map(|object| {
                let version = object.status.version.as_ref().map(|version| version.name.as_str());
                (object.metadata.name.as_deref().unwrap(), object.status.latest, version)
            })
            .collect();
        assert_eq!(
            rows,
            [("dp_A", false, Some("greeter-1")), ("dp_B", true, Some("greeter-2")), ("dp_c", true, None)]
        );
        let latest: Vec<_> = objects[2].status.services.iter().map(|service| service.latest).collect();
        assert_eq!(latest, [true, false], "a service that Restate routes nowhere is the latest nowhere");
    }

    /// R8: the same thing has the same uid, and no other has it.
    #[test]
    fn r8_uids_are_stable_and_of_their_cluster() {
        let uids = |parent| -> Vec<_> {
            let objects = objects(("prod", parent), &registry(), &Versions::new());
            objects.into_iter().map(|object| object.metadata.uid.unwrap()).collect()
        };
        let (one, other) = (Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
        assert_eq!(uids(one), uids(one));
        assert!(uids(one).iter().all(|uid| !uids(other).contains(uid)));
    }
}
