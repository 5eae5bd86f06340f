//! What a RestateDeployment asks for, in types that cannot be wrong.
//!
//! Stage in the flow: validate. Invariant: code after it neither checks nor defaults. An object that cannot be acted
//! on gives an [`Error`] that names the field, what was wrong and what is allowed; one in a mode that comes later is
//! [`Held`]. Not for what depends on the world: whether a cluster exists, whether a name is taken.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerSpec;
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use restate_crd::deployment::{
    DeletePolicy, DeploymentMode, OnTimeout, RestateDeploymentSpec, RestateSettings, TunnelMode,
};
use restate_crd::{RestateDeployment, label};
use serde_json::Value;

mod error;

pub use error::Error;

use super::hash::{Identity, TemplateHash};
use super::{selector, target};
use crate::{Admin, Uid};

/// Where a manifest says nothing: how long a version stays after its work has ended.
const DRAIN_DELAY: i64 = 300;
/// Where a manifest says nothing: after how long the drain of a deletion is overdue.
const DRAIN_TIMEOUT: i64 = 3600;
/// A year: longer delays are a mistake, and would overflow clocks.
const LONGEST: i64 = 366 * 24 * 3600;

/// A mode that is read, shown and never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Pods run by Knative.
    Knative,
    /// Registration with Restate Cloud, with or without tunnels.
    Cloud,
}

impl Held {
    /// What to tell people.
    pub fn message(self) -> &'static str {
        match self {
            Self::Knative => {
                "deploymentMode knative is not supported yet: this object is shown and never changed"
            }
            Self::Cloud => "register.cloud is not supported yet: this object is shown and never changed",
        }
    }
}

/// What validation makes of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Valid {
    /// It can be acted on.
    Spec(Box<Spec>),
    /// It is in a mode that comes later.
    Held(Held),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Name of the RestateDeployment.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: Uid,
    /// What makes a version of it.
    pub identity: Identity,
    /// How many pods the current version has.
    pub replicas: i32,
    /// How many retired versions are kept.
    pub history_limit: usize,
    /// For how long a pod must be ready to count as available.
    pub min_ready_seconds: Option<i32>,
    /// Which pods belong to it.
    pub selector: LabelSelector,
    /// The pods.
    pub template: Template,
    /// Which Restate.
    pub admin: Admin,
    /// Whether changes that break callers may be registered.
    pub breaking: bool,
    /// How long a version stays after its work has ended.
    pub drain_delay: SignedDuration,
    /// How draining versions scale.
    pub autoscaling: Option<Autoscaling>,
    /// Name of the Service that follows the routed version.
    pub stable_service: Option<String>,
    /// What cluster-internal names end with.
    pub dns_suffix: String,
}

/// The pods of a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Labels as written.
    pub labels: BTreeMap<String, String>,
    /// Annotations as written.
    pub annotations: BTreeMap<String, String>,
    /// Spec as written: what this program does not know is passed on too.
    pub spec: Value,
    /// The port at which the pods serve.
    pub port: i32,
}

/// How draining versions scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaling {
    /// As Kubernetes understands it; its target is still empty.
    pub spec: HorizontalPodAutoscalerSpec,
}

/// What a deletion does about unfinished work. Readable from any object, also an invalid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletionTerms {
    /// Wait or abandon.
    pub policy: DeletePolicy,
    /// When waiting is overdue.
    pub timeout: SignedDuration,
    /// What happens then.
    pub on_timeout: OnTimeout,
}

impl DeletionTerms {
    /// The terms of `settings`.
    pub fn of(settings: &RestateSettings) -> Self {
        let drain = settings.drain.unwrap_or_default();
        let timeout = drain.timeout_seconds.unwrap_or(DRAIN_TIMEOUT).clamp(0, LONGEST);
        Self {
            policy: settings.delete_policy.unwrap_or_default(),
            timeout: SignedDuration::from_secs(timeout),
            on_timeout: drain.on_timeout.unwrap_or_default(),
        }
    }
}

/// Reads the stored object.
pub fn validate(object: &RestateDeployment, dns_suffix: &str) -> Result<Valid, Error> {
    // A new field must say here what it does.
    let RestateDeploymentSpec {
        replicas,
        revision_history_limit,
        min_ready_seconds,
        selector,
        template: _, // read by `identity` and `template`
        restate,
        deployment_mode,
        knative: _, // held
        autoscaling,
        stable_service,
    } = &object.spec;
    if deployment_mode.unwrap_or_default() == DeploymentMode::Knative {
        return if autoscaling.is_some() {
            Err(Error::AutoscalingKnative)
        } else {
            Ok(Valid::Held(Held::Knative))
        };
    }
    let Some(admin) = target::admin(&restate.register, dns_suffix)? else {
        return Ok(Valid::Held(Held::Cloud));
    };
    if restate.tunnel_mode == Some(TunnelMode::InProcess) {
        return Err(Error::TunnelWithoutCloud);
    }
    let identity = identity(object)?;
    let name = name(object, &identity)?;
    let stable_service = stable_service.as_ref().map(|service| stable_name(&service.name)).transpose()?;
    Ok(Valid::Spec(Box::new(Spec {
        namespace: object.metadata.namespace.clone().ok_or(Error::Unstored { field: "namespace" })?,
        uid: Uid(object.metadata.uid.clone().ok_or(Error::Unstored { field: "uid" })?),
        name,
        replicas: at_least_zero("spec.replicas", *replicas)?,
        history_limit: usize::try_from(at_least_zero("spec.revisionHistoryLimit", *revision_history_limit)?)
            .unwrap_or_default(),
        min_ready_seconds: min_ready_seconds
            .map(|value| at_least_zero("spec.minReadySeconds", value))
            .transpose()?,
        selector: selector_of(selector.as_ref(), object)?,
        template: template(object)?,
        identity,
        admin,
        breaking: restate.breaking.unwrap_or(false),
        drain_delay: drain_delay(restate)?,
        autoscaling: autoscaling.as_ref().map(autoscaler).transpose()?,
        stable_service,
        dns_suffix: dns_suffix.to_owned(),
    })))
}

fn identity(object: &RestateDeployment) -> Result<Identity, Error> {
    let settings = &object.spec.restate;
    let path = settings.service_path.as_deref().unwrap_or_default();
    if !target::is_path(path) {
        return Err(Error::Path { field: "spec.restate.servicePath", path: path.to_owned() });
    }
    Ok(Identity {
        text: object.spec.template.text().map_err(|source| Error::TemplateSpec { source })?,
        cluster: settings.register.cluster().map(str::to_owned),
        service_path: settings.service_path.clone(),
        http11: settings.use_http11.unwrap_or(false),
    })
}

fn name(object: &RestateDeployment, identity: &Identity) -> Result<String, Error> {
    let name = object.metadata.name.clone().ok_or(Error::Unstored { field: "name" })?;
    let collisions = object.status.as_ref().and_then(|status| status.collision_count);
    let version = format!("{name}-{}", TemplateHash::of(identity, collisions));
    let fits = target::is_label(&version) && version.starts_with(|first: char| first.is_ascii_lowercase());
    if fits { Ok(name) } else { Err(Error::Name { name }) }
}

fn stable_name(name: &str) -> Result<String, Error> {
    let fits = target::is_label(name) && name.starts_with(|first: char| first.is_ascii_lowercase());
    if fits { Ok(name.to_owned()) } else { Err(Error::StableName { name: name.to_owned() }) }
}

fn at_least_zero(field: &'static str, value: i32) -> Result<i32, Error> {
    if value >= 0 {
        return Ok(value);
    }
    Err(Error::Range { field, value: i64::from(value), most: i64::from(i32::MAX) })
}

/// The same for any stored object: what is out of range is cut.
pub(super) fn drain_delay_of(settings: &RestateSettings) -> SignedDuration {
    SignedDuration::from_secs(settings.drain_delay_seconds.unwrap_or(DRAIN_DELAY).clamp(0, LONGEST))
}

fn drain_delay(settings: &RestateSettings) -> Result<SignedDuration, Error> {
    let seconds = settings.drain_delay_seconds.unwrap_or(DRAIN_DELAY);
    if (0..=LONGEST).contains(&seconds) {
        return Ok(SignedDuration::from_secs(seconds));
    }
    Err(Error::Range { field: "spec.restate.drainDelaySeconds", value: seconds, most: LONGEST })
}

fn selector_of(wanted: Option<&LabelSelector>, object: &RestateDeployment) -> Result<LabelSelector, Error> {
    let wanted = wanted.ok_or(Error::SelectorMissing)?;
    if selector::is_empty(wanted) {
        return Err(Error::SelectorEmpty);
    }
    let labels = object.spec.template.labels().cloned().unwrap_or_default();
    let matches = selector::matches(wanted, &labels).map_err(|problem| Error::SelectorInvalid { problem })?;
    if matches {
        return Ok(wanted.clone());
    }
    let labels = labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
    Err(Error::SelectorMismatch { selector: selector::text(wanted), labels })
}

fn template(object: &RestateDeployment) -> Result<Template, Error> {
    let pods = object.spec.template.pod_spec().map_err(|source| Error::TemplateSpec { source })?;
    if pods.containers.is_empty() {
        return Err(Error::NoContainers);
    }
    if let Some(policy) = pods.restart_policy.as_deref().filter(|policy| *policy != "Always") {
        return Err(Error::RestartPolicy { policy: policy.to_owned() });
    }
    let mut labels = object.spec.template.labels().cloned().unwrap_or_default();
    labels.remove(label::POD_TEMPLATE_HASH); // ours alone
    Ok(Template {
        labels,
        annotations: object.spec.template.annotations().cloned().unwrap_or_default(),
        spec: object.spec.template.spec.clone().unwrap_or_default(),
        port: port(&pods),
    })
}

/// The port named `restate`, else the first one, else that of the SDKs.
pub(super) fn port(pods: &PodSpec) -> i32 {
    let ports = || pods.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let named = ports().find(|port| port.name.as_deref() == Some("restate"));
    named.or_else(|| ports().next()).map_or(target::SERVICE_PORT, |port| port.container_port)
}

fn autoscaler(wanted: &Value) -> Result<Autoscaling, Error> {
    if wanted.get("scaleTargetRef").is_some_and(|target| !target.is_null()) {
        return Err(Error::AutoscalingTarget);
    }
    let mut whole = wanted.clone();
    if let Some(fields) = whole.as_object_mut() {
        fields.insert("scaleTargetRef".to_owned(), serde_json::json!({"kind": "ReplicaSet", "name": ""}));
    }
    let mut spec: HorizontalPodAutoscalerSpec =
        serde_json::from_value(whole).map_err(|source| Error::Autoscaling { source })?;
    // No metrics are those that Kubernetes takes where none are named, and what is stored then is no difference.
    spec.metrics.take_if(|metrics| metrics.is_empty());
    if spec.max_replicas < spec.min_replicas.unwrap_or(1).max(1) {
        return Err(Error::AutoscalingBounds { most: spec.max_replicas });
    }
    Ok(Autoscaling { spec })
}
