//! Certificate authorities that a cluster trusts beside those of its image. An init container joins the bundles,
//! because the server reads one file.

use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EnvVar, KeyToPath, SecretVolumeSource, Volume, VolumeMount,
};
use restate_crd::cluster::TrustedCaCert;

use super::pod;

/// Where the joined bundle is mounted.
pub(super) const MOUNT_PATH: &str = "/combined-certs";
/// Volume of the joined bundle.
pub(super) const VOLUME: &str = "combined-ca-certs";
/// The init container that joins the bundles.
pub(super) const CONTAINER: &str = "combine-ca-certs";
const BUNDLE: &str = "/combined-certs/ca-certificates.crt";
const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Name of the volume with one authority; its mount path is the same with a slash.
pub(super) fn source_volume(index: usize) -> String {
    format!("trusted-ca-{index}")
}

/// Tells the server where the joined bundle is.
pub(super) fn variable() -> EnvVar {
    EnvVar { name: "SSL_CERT_FILE".to_owned(), value: Some(BUNDLE.to_owned()), value_from: None }
}

/// Mount of the joined bundle in the Restate container.
pub(super) fn mount() -> VolumeMount {
    VolumeMount { read_only: Some(true), ..writable_mount() }
}

fn writable_mount() -> VolumeMount {
    VolumeMount { name: VOLUME.to_owned(), mount_path: MOUNT_PATH.to_owned(), ..VolumeMount::default() }
}

/// Volumes of the authorities and of the joined bundle.
pub(super) fn volumes(authorities: &[TrustedCaCert]) -> Vec<Volume> {
    let sources = authorities.iter().enumerate().map(|(index, authority)| Volume {
        name: source_volume(index),
        secret: Some(source(authority)),
        ..Volume::default()
    });
    let joined = Volume {
        name: VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    sources.chain([joined]).collect()
}

fn source(authority: &TrustedCaCert) -> SecretVolumeSource {
    let item = KeyToPath { key: authority.key.clone(), path: "ca.pem".to_owned(), mode: Some(0o444) };
    SecretVolumeSource {
        secret_name: Some(authority.secret_name.clone()),
        items: Some(vec![item]),
        ..SecretVolumeSource::default()
    }
}

/// The init container that joins the bundles.
pub(super) fn init_container(authorities: &[TrustedCaCert], image: &str) -> Container {
    let names = (0..authorities.len()).map(source_volume);
    let files = names.clone().map(|name| format!("/{name}/ca.pem")).collect::<Vec<_>>().join(" ");
    let sources = names.map(|name| VolumeMount {
        mount_path: format!("/{name}"),
        name,
        read_only: Some(true),
        ..VolumeMount::default()
    });
    let script = format!("cat {SYSTEM_BUNDLE} {files} > {BUNDLE}");
    Container {
        name: CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        command: Some(["sh", "-c", &script].map(str::to_owned).to_vec()),
        security_context: Some(pod::closed_container()),
        volume_mounts: Some(sources.chain([writable_mount()]).collect()),
        ..Container::default()
    }
}
