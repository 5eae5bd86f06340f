//! A version as it is found: a replica set, its Service, its autoscaler, and what is recorded on them.
//!
//! Stage in the flow: gather to plan. Invariant: only what our object controls, by uid, becomes a [`Version`]; a
//! record that cannot be read is no record. Not for what Restate says about it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::Resource;
use restate_crd::{annotation, label};
use restate_model::DeploymentId;
use serde::{Deserialize, Serialize};

use super::hash::TemplateHash;
use super::target::SERVICE_PORT;
use super::{metadata, validate};
use crate::ownership::is_adopted;
use crate::step::Version as Carrier;
use crate::{ObjectRef, Uid};

/// A version as it is found.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Name of its replica set and Service.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Uid of its replica set.
    pub uid: Uid,
    /// Hash in its labels.
    pub hash: TemplateHash,
    /// Its pod template as text, if it was recorded.
    pub text: Option<String>,
    /// When its replica set was made.
    pub created_at: Option<Timestamp>,
    /// Whether its replica set is being deleted.
    pub deleting: bool,
    /// Restate's id of it, as recorded.
    pub deployment_id: Option<DeploymentId>,
    /// When Restate acknowledged its registration, as recorded.
    pub registered_at: Option<Timestamp>,
    /// With which Restate, as recorded.
    pub registered_with: Option<String>,
    /// With which other Restates it was registered before the object named this one, and by which id.
    pub former: BTreeMap<String, DeploymentId>,
    /// When it goes, as recorded.
    pub stamp: Option<Stamp>,
    /// The id that was about to be deregistered.
    pub deregistering: Option<DeploymentId>,
    /// When that was decided, as recorded.
    pub deregistering_since: Option<Timestamp>,
    /// Why Restate refused it.
    pub rejection: Option<Rejection>,
    /// Whether people gave it up.
    pub abandoned: bool,
    /// Whether all fields of it that an earlier controller owned are ours.
    pub adopted: bool,
    /// Whether it is labelled as the routed one.
    pub labelled_latest: Option<String>,
    /// Pods that it should have.
    pub desired: i32,
    /// Pods that it has.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that have been ready for long enough.
    pub available: i32,
    /// For how long a pod must be ready to count as available.
    pub min_ready_seconds: i32,
    /// The port of its pods.
    pub port: i32,
    /// Labels that select its pods.
    pub selector: BTreeMap<String, String>,
    /// Images of its containers.
    pub images: Vec<String>,
}

/// When a version goes, as recorded on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When.
    pub at: Timestamp,
    /// Whether this program wrote it: what an earlier controller wrote about a version without pods is not relied
    /// on. Ours end with `Z`, theirs with an offset.
    pub ours: bool,
}

/// Why Restate refused a version for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Restate's code: `META0006`, ….
    pub code: String,
    /// Restate's words.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Generation of the RestateDeployment that was refused: another one is tried again.
    pub generation: i64,
}

impl Version {
    /// The version that `set` stands for; `None` unless the object with uid `owner` controls it.
    pub fn observe(set: &ReplicaSet, owner: &Uid) -> Option<Self> {
        let meta = &set.metadata;
        if !metadata::is_controlled_by(meta, owner) {
            return None;
        }
        let spec = set.spec.as_ref()?;
        let status = set.status.as_ref();
        let pods = spec.template.as_ref().and_then(|template| template.spec.as_ref());
        let containers = pods.into_iter().flat_map(|pods| &pods.containers);
        let read = |key| metadata::annotation(meta, key);
        Some(Self {
            name: meta.name.clone()?,
            namespace: meta.namespace.clone()?,
            uid: Uid(meta.uid.clone()?),
            hash: TemplateHash::found(metadata::label(meta, label::POD_TEMPLATE_HASH)?),
            text: read(annotation::POD_TEMPLATE).map(str::to_owned),
            created_at: meta.creation_timestamp.as_ref().map(|time| time.0),
            deleting: meta.deletion_timestamp.is_some(),
            deployment_id: read(annotation::DEPLOYMENT_ID).map(DeploymentId::from),
            registered_at: read(annotation::REGISTERED_AT).and_then(|text| text.parse().ok()),
            registered_with: read(annotation::REGISTERED_WITH).map(str::to_owned),
            former: read(annotation::FORMERLY_REGISTERED)
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
            stamp: read(annotation::REMOVE_VERSION_AT).and_then(Stamp::read),
            deregistering: read(annotation::DEREGISTERING).map(DeploymentId::from),
            deregistering_since: read(annotation::DEREGISTERING_SINCE).and_then(|text| text.parse().ok()),
            rejection: read(annotation::REJECTED).and_then(|text| serde_json::from_str(text).ok()),
            abandoned: read(annotation::ABANDON) == Some("true"),
            adopted: is_adopted(meta),
            labelled_latest: metadata::label(meta, label::LATEST).map(str::to_owned),
            desired: spec.replicas.unwrap_or(1),
            replicas: status.map_or(0, |status| status.replicas),
            ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
            available: status.and_then(|status| status.available_replicas).unwrap_or(0),
            min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
            port: pods.map_or(SERVICE_PORT, validate::port),
            selector: spec.selector.match_labels.clone().unwrap_or_default(),
            images: containers.filter_map(|container| container.image.clone()).collect(),
        })
    }

    /// What is recorded of it concerns the Restate of this address: what another one was told is remembered apart.
    pub(super) fn seen_from(&mut self, restate: &str) {
        let with = self.registered_with.clone().filter(|with| with != restate);
        if let Some((with, id)) = with.zip(self.deployment_id.clone()) {
            self.former.insert(with, id);
            (self.deployment_id, self.registered_at, self.deregistering) = (None, None, None);
        }
        self.former.remove(restate);
    }

    /// Its replica set.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::of::<ReplicaSet>(Some(&self.namespace), &self.name)
    }

    /// Its replica set, for steps that record something on it.
    pub fn carrier(&self) -> Carrier {
        Carrier { object: self.reference(), uid: self.uid.clone() }
    }

    /// Its Service, if there is one that its replica set controls.
    pub fn service<'a>(&self, services: &'a [std::sync::Arc<Service>]) -> Option<&'a Service> {
        found(services, &self.name).filter(|service| metadata::is_controlled_by(&service.metadata, &self.uid))
    }

    /// Its autoscaler, if there is one that the object with uid `owner` controls.
    pub fn autoscaler<'a>(
        &self,
        autoscalers: &'a [std::sync::Arc<HorizontalPodAutoscaler>],
        owner: &Uid,
    ) -> Option<&'a HorizontalPodAutoscaler> {
        found(autoscalers, &self.name)
            .filter(|autoscaler| metadata::is_controlled_by(&autoscaler.metadata, owner))
    }

    /// Whether it neither runs nor is registered as far as we know: kept as history.
    pub fn is_retired(&self) -> bool {
        self.deployment_id.is_none() && self.former.is_empty() && self.desired == 0
    }
}

impl Stamp {
    fn read(text: &str) -> Option<Self> {
        Some(Self { at: text.parse().ok()?, ours: text.ends_with('Z') })
    }
}

/// The object of this name.
pub(super) fn found<'a, K>(objects: &'a [std::sync::Arc<K>], name: &str) -> Option<&'a K>
where
    K: Resource,
{
    let named = |meta: &ObjectMeta| meta.name.as_deref() == Some(name);
    objects.iter().find(|object| named(object.meta())).map(AsRef::as_ref)
}
