//! The private key with which a cluster signs its requests: from a Secret or from a provider of the CSI secrets
//! store. Either way the server gets a file and its path.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, EnvVar, KeyToPath, SecretVolumeSource, Volume, VolumeMount,
};
use kube_core::DynamicObject;
use restate_crd::cluster::{SigningKeyProvider, SigningKeySecret};
use serde_json::json;

use super::{Valid, metadata};
use crate::{Object, ObjectRef};

/// Where the key is mounted.
pub(super) const MOUNT_PATH: &str = "/signing-key";
/// Volume of a key that comes from a Secret.
pub(super) const SECRET_VOLUME: &str = "request-signing-private-key-secret";
/// Volume of a key that comes from a provider.
pub(super) const PROVIDER_VOLUME: &str = "request-signing-private-key-provider";
/// Name of the secret provider class.
pub(super) const PROVIDER_CLASS: &str = "restate-request-signing-private-key";

/// Where the key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SigningKey {
    Secret(SigningKeySecret),
    Provider(SigningKeyProvider),
}

impl SigningKey {
    /// The server's variable with the path of the key's file.
    pub(super) fn variable(&self) -> EnvVar {
        let file = match self {
            Self::Secret(secret) => &secret.key,
            Self::Provider(provider) => &provider.path,
        };
        EnvVar {
            name: "RESTATE_REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE".to_owned(),
            value: Some(format!("{MOUNT_PATH}/{}", file.trim_start_matches('/'))),
            value_from: None,
        }
    }

    /// Mount of the key in the Restate container.
    pub(super) fn mount(&self) -> VolumeMount {
        VolumeMount {
            name: self.volume_name().to_owned(),
            mount_path: MOUNT_PATH.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }
    }

    /// The volume behind the mount.
    pub(super) fn volume(&self) -> Volume {
        let name = self.volume_name().to_owned();
        match self {
            Self::Secret(secret) => Volume { name, secret: Some(secret_source(secret)), ..Volume::default() },
            Self::Provider(_) => Volume { name, csi: Some(provider_source()), ..Volume::default() },
        }
    }

    fn volume_name(&self) -> &'static str {
        match self {
            Self::Secret(_) => SECRET_VOLUME,
            Self::Provider(_) => PROVIDER_VOLUME,
        }
    }
}

fn secret_source(secret: &SigningKeySecret) -> SecretVolumeSource {
    let item = KeyToPath { key: secret.key.clone(), path: secret.key.clone(), mode: Some(0o400) };
    SecretVolumeSource {
        secret_name: Some(secret.secret_name.clone()),
        items: Some(vec![item]),
        ..SecretVolumeSource::default()
    }
}

fn provider_source() -> CSIVolumeSource {
    CSIVolumeSource {
        driver: "secrets-store.csi.k8s.io".to_owned(),
        read_only: Some(true),
        volume_attributes: Some([("secretProviderClass".to_owned(), PROVIDER_CLASS.to_owned())].into()),
        ..CSIVolumeSource::default()
    }
}

/// Reference to the secret provider class of a cluster.
pub fn provider_class_ref(cluster: &str) -> ObjectRef {
    ObjectRef {
        api_version: "secrets-store.csi.x-k8s.io/v1".to_owned(),
        kind: "SecretProviderClass".to_owned(),
        plural: "secretproviderclasses".to_owned(),
        namespace: Some(cluster.to_owned()),
        name: PROVIDER_CLASS.to_owned(),
    }
}

/// The secret provider class, where the key comes from a provider.
pub(super) fn provider_class(valid: &Valid) -> Option<Object> {
    let Some(SigningKey::Provider(provider)) = &valid.signing_key else { return None };
    let reference = provider_class_ref(&valid.name);
    let object = json!({
        "apiVersion": reference.api_version,
        "kind": reference.kind,
        "metadata": metadata::child(valid, PROVIDER_CLASS),
        "spec": {"provider": provider.provider, "parameters": provider.parameters},
    });
    let object: DynamicObject = serde_json::from_value(object).ok()?;
    Some(Object::Foreign(reference, object))
}
