//! From the stored object to a spec that cannot be wrong. What is wrong is said with the field's path, what was
//! found and what is allowed; nothing is changed then.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube_core::ResourceExt;
use restate_crd::RestateCluster;
use restate_crd::cluster::{
    Compute, DeletionPolicy, NodeLocation, Provisioning, RequestSigningPrivateKey, Security, Storage,
};
use restate_crd::condition::{Condition, ConditionStatus, ConditionType};
use toml::Table;

use super::settings::{self, Setting};
use super::signing::{self, SigningKey};
use super::{location, replication::Replication, trusted_ca};
use crate::Uid;

/// Volumes that the pods have anyway, with their mount paths.
const OWN_VOLUMES: [(&str, &str); 3] = [("storage", "/restate-data"), ("tmp", "/tmp"), ("config", "/config")];

/// A spec that can be acted on.
#[derive(Clone, Debug, PartialEq)]
pub struct Valid {
    /// Name of the cluster, and of its namespace.
    pub name: String,
    /// Of the stored object.
    pub uid: Uid,
    /// Of the stored object.
    pub generation: Option<i64>,
    /// Of the stored object: what a claim compares with.
    pub resource_version: String,
    /// How many nodes.
    pub replicas: i32,
    /// Who provisions.
    pub provisioned_by: Provisioning,
    /// Whether the status says that it is provisioned.
    pub provisioned: bool,
    /// How many copies of everything the controller is to keep.
    pub replication: Option<u8>,
    /// The same, with how far they are apart.
    pub(super) wished: Option<Replication>,
    /// Where the nodes' locations come from.
    pub node_location: Option<NodeLocation>,
    /// What the status says.
    pub said: Said,
    /// Who claimed the provisioning last, and when.
    pub claim: Option<super::Claimed>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
    pub(super) cluster_name: String,
    pub(super) compute: Compute,
    pub(super) storage: Storage,
    pub(super) security: Security,
    pub(super) signing_key: Option<SigningKey>,
    pub(super) config: Option<String>,
    pub(super) settings: Table,
}

/// What the status says, where a decision rests on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a condition of its own that was said")]
pub struct Said {
    /// Of this very spec, that the cluster's configuration is as wanted.
    pub configuration_settled: bool,
    /// Of this very spec, that logs and partitions have followed the replication.
    pub replication_followed: bool,
    /// Something about identities: then there may be some to remove.
    pub had_identities: bool,
    /// That a node lost its disk.
    pub has_data_loss: bool,
}

/// Why a spec cannot be acted on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The object is not one that was stored.
    #[error("the object has no {0}")]
    NotStored(&'static str),
    /// The name cannot be a namespace's.
    #[error(
        "metadata.name: {0:?} cannot be the name of a namespace: lower-case letters, digits and '-', no '.'"
    )]
    Name(String),
    /// No image.
    #[error("spec.compute.image: is empty; allowed is the name of an image")]
    NoImage,
    /// Fewer than no nodes.
    #[error("spec.compute.replicas: {0} is negative; allowed is 0 or more")]
    NegativeReplicas(i32),
    /// Not a number of copies.
    #[error(
        "spec.cluster.replication: {0} is not allowed; allowed is 1 to 9, or how far copies are apart, the nearer never \
         fewer, as \"{{zone: 2, node: 3}}\""
    )]
    Replication(String),
    /// The location is said twice.
    #[error(
        "spec.cluster.nodeLocation: is set, and so is the location in spec.config or RESTATE_LOCATION; leave one of them \
         out"
    )]
    LocationTwice,
    /// The configuration is not TOML.
    #[error("spec.config: is not TOML: {0}")]
    Config(String),
    /// The nodes would each provision a cluster of their own.
    #[error(
        "spec.config: auto-provision is true (in the configuration or in RESTATE_AUTO_PROVISION) with {0} nodes that \
         hold their metadata themselves, so each may make a cluster of its own; leave it out and set \
         spec.cluster.provisioning to Auto"
    )]
    ProvisionsItself(i32),
    /// A volume of this name exists.
    #[error("spec.compute.{field}: volume {name:?} is one of the pod's own; choose another name")]
    VolumeTaken {
        /// Which list.
        field: &'static str,
        /// Which name.
        name: String,
    },
    /// Something is mounted there.
    #[error("spec.compute.extraVolumeMounts: mountPath {0:?} is used already; choose another path")]
    MountTaken(String),
    /// No such volume.
    #[error("spec.compute.extraVolumeMounts: there is no volume {0:?}; add it to spec.compute.extraVolumes")]
    NoSuchVolume(String),
    /// A container of this name exists.
    #[error(
        "spec.compute.sidecars: container {0:?} is one of the pod's own or there twice; choose another name"
    )]
    ContainerTaken(String),
    /// Not a pull policy.
    #[error("spec.compute.imagePullPolicy: {0:?} is unknown; allowed are Always, IfNotPresent and Never")]
    PullPolicy(String),
    /// Not a version of request signing.
    #[error("spec.security.requestSigningPrivateKey.version: {0:?} is unknown; allowed is \"v1\"")]
    SigningVersion(String),
    /// No key, or two.
    #[error("spec.security.requestSigningPrivateKey: exactly one of secret and secretProvider must be set")]
    SigningSource,
    /// A field is empty that must not be.
    #[error("{0}: is empty")]
    Empty(&'static str),
}

/// Turns the stored object into one that can be acted on.
pub fn validate(object: &RestateCluster) -> Result<Valid, Invalid> {
    let spec = &object.spec;
    let config = spec.config.clone();
    let settings = settings_of(config.as_deref())?;
    let security = spec.security.clone().unwrap_or_default();
    let wished = replication(object)?;
    let valid = Valid {
        name: name(object)?,
        uid: Uid(object.uid().ok_or(Invalid::NotStored("uid"))?),
        generation: object.metadata.generation,
        resource_version: object.resource_version().ok_or(Invalid::NotStored("resourceVersion"))?,
        replicas: replicas(&spec.compute)?,
        provisioned_by: spec
            .cluster
            .as_ref()
            .map_or(Provisioning::Manual, restate_crd::cluster::ClusterSettings::provisioned_by),
        provisioned: object.status.as_ref().and_then(|status| status.provisioned) == Some(true),
        replication: wished.as_ref().map(Replication::copies),
        wished,
        node_location: spec.cluster.as_ref().and_then(|cluster| cluster.node_location),
        said: said(object),
        claim: super::Claimed::of(object),
        labels: object.metadata.labels.clone(),
        annotations: object.metadata.annotations.clone(),
        cluster_name: spec.cluster_name.clone().unwrap_or_else(|| object.name_any()),
        signing_key: signing_key(security.request_signing_private_key.as_ref())?,
        compute: spec.compute.clone(),
        storage: spec.storage.clone(),
        security,
        config,
        settings,
    };
    refuse_self_provisioning(&valid)?;
    if location::is_said_twice(&valid) {
        return Err(Invalid::LocationTwice);
    }
    refuse_collisions(&valid)?;
    refuse_containers(&valid.compute)?;
    Ok(valid)
}

impl Valid {
    /// What the stored object notes under this key.
    pub(super) fn annotation(&self, key: &str) -> Option<&String> {
        self.annotations.as_ref()?.get(key)
    }

    /// Whether the server is told to provision itself; `Unreadable` may be.
    pub(super) fn server_provisions(&self) -> Setting<bool> {
        settings::auto_provision(&self.settings, self.compute.env.as_deref().unwrap_or_default())
    }
}

fn name(object: &RestateCluster) -> Result<String, Invalid> {
    let name = object.name_any();
    let label = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if label && (1..=63).contains(&name.len()) { Ok(name) } else { Err(Invalid::Name(name)) }
}

fn replicas(compute: &Compute) -> Result<i32, Invalid> {
    if compute.image.trim().is_empty() {
        return Err(Invalid::NoImage);
    }
    let replicas = compute.replicas.unwrap_or(1);
    if replicas < 0 { Err(Invalid::NegativeReplicas(replicas)) } else { Ok(replicas) }
}

fn replication(object: &RestateCluster) -> Result<Option<Replication>, Invalid> {
    let Some(wanted) = object.spec.cluster.as_ref().and_then(|cluster| cluster.replication.as_ref()) else {
        return Ok(None);
    };
    let text = match wanted {
        IntOrString::Int(copies) => copies.to_string(),
        IntOrString::String(text) => text.clone(),
    };
    let parsed = text.parse::<Replication>().ok().filter(Replication::makes_sense);
    parsed.map(Some).ok_or(Invalid::Replication(text))
}

fn condition(object: &RestateCluster, kind: ConditionType) -> Option<&Condition> {
    object.status.as_ref()?.conditions.get(kind)
}

fn said(object: &RestateCluster) -> Said {
    Said {
        configuration_settled: says(object, ConditionType::ClusterConfigDrift, ConditionStatus::False),
        replication_followed: says(object, ConditionType::ReplicationFollows, ConditionStatus::True),
        had_identities: condition(object, ConditionType::IdentityReady).is_some(),
        has_data_loss: condition(object, ConditionType::NodeDataLoss).is_some(),
    }
}

/// Whether the status says so of this very spec.
fn says(object: &RestateCluster, kind: ConditionType, status: ConditionStatus) -> bool {
    condition(object, kind).is_some_and(|said| {
        said.status == status.as_ref() && said.observed_generation == object.metadata.generation
    })
}

fn settings_of(config: Option<&str>) -> Result<Table, Invalid> {
    config.unwrap_or_default().parse().map_err(|error: toml::de::Error| Invalid::Config(error.to_string()))
}

fn signing_key(key: Option<&RequestSigningPrivateKey>) -> Result<Option<SigningKey>, Invalid> {
    let Some(RequestSigningPrivateKey { version, secret, secret_provider }) = key else { return Ok(None) };
    if version != "v1" {
        return Err(Invalid::SigningVersion(version.clone()));
    }
    match (secret, secret_provider) {
        (Some(secret), None) if secret.secret_name.is_empty() || secret.key.is_empty() => {
            Err(Invalid::Empty("spec.security.requestSigningPrivateKey.secret"))
        }
        (Some(secret), None) => Ok(Some(SigningKey::Secret(secret.clone()))),
        (None, Some(provider)) => Ok(Some(SigningKey::Provider(provider.clone()))),
        (None, None) | (Some(_), Some(_)) => Err(Invalid::SigningSource),
    }
}

fn refuse_self_provisioning(valid: &Valid) -> Result<(), Invalid> {
    let env = valid.compute.env.as_deref().unwrap_or_default();
    let replicated = settings::has_replicated_metadata(&valid.settings, env);
    if valid.replicas > 1 && replicated && valid.server_provisions() == Setting::Set(true) {
        return Err(Invalid::ProvisionsItself(valid.replicas));
    }
    Ok(())
}

fn refuse_collisions(valid: &Valid) -> Result<(), Invalid> {
    let authorities = valid.security.trusted_ca_certs.as_ref().map_or(0, Vec::len);
    let sources: Vec<String> = (0..authorities).map(trusted_ca::source_volume).collect();
    let mut volumes: Vec<&str> = OWN_VOLUMES.iter().map(|(name, _)| *name).collect();
    volumes.extend([signing::SECRET_VOLUME, signing::PROVIDER_VOLUME, trusted_ca::VOLUME]);
    volumes.extend(sources.iter().map(String::as_str));
    for volume in valid.compute.extra_volumes.iter().flatten() {
        if volumes.contains(&volume.name.as_str()) {
            return Err(Invalid::VolumeTaken { field: "extraVolumes", name: volume.name.clone() });
        }
        volumes.push(&volume.name);
    }
    let mut paths: Vec<&str> = OWN_VOLUMES.iter().map(|(_, path)| *path).collect();
    paths.extend([signing::MOUNT_PATH, trusted_ca::MOUNT_PATH]);
    paths.extend(location::mount(valid).map(|_| location::MOUNT_PATH));
    let sources: Vec<String> = sources.iter().map(|name| format!("/{name}")).collect();
    paths.extend(sources.iter().map(String::as_str));
    for mount in valid.compute.extra_volume_mounts.iter().flatten() {
        if !volumes.contains(&mount.name.as_str()) {
            return Err(Invalid::NoSuchVolume(mount.name.clone()));
        }
        let path = mount.mount_path.trim_end_matches('/');
        if paths.contains(&path) {
            return Err(Invalid::MountTaken(mount.mount_path.clone()));
        }
        paths.push(path);
    }
    Ok(())
}

fn refuse_containers(compute: &Compute) -> Result<(), Invalid> {
    let mut names = vec![super::NAME, trusted_ca::CONTAINER];
    for sidecar in compute.sidecars.iter().flatten() {
        if names.contains(&sidecar.name.as_str()) {
            return Err(Invalid::ContainerTaken(sidecar.name.clone()));
        }
        names.push(&sidecar.name);
    }
    match compute.image_pull_policy.as_deref() {
        None | Some("Always" | "IfNotPresent" | "Never") => Ok(()),
        Some(other) => Err(Invalid::PullPolicy(other.to_owned())),
    }
}

/// Whether a deleted cluster's volumes stay.
pub(super) fn retains_volumes(object: &RestateCluster) -> bool {
    object.spec.storage.deletion_policy == Some(DeletionPolicy::Retain)
}
