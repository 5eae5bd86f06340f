//! The server's configuration file, in a config map whose name follows its text: another text is another name, and
//! so a rolling restart.

use k8s_openapi::api::core::v1::ConfigMap;
use sha2::{Digest, Sha256};

use super::{Valid, metadata};

/// Key of the configuration file.
pub(super) const FILE: &str = "config.toml";

/// Prefix of every config map's name.
pub(super) const PREFIX: &str = "restate-config-";

/// The config map, where the spec has a configuration.
pub(super) fn config_map(valid: &Valid) -> Option<ConfigMap> {
    let text = valid.config.as_ref()?;
    let data = [(FILE.to_owned(), text.clone())].into();
    Some(ConfigMap {
        metadata: metadata::child(valid, &name(text)),
        data: Some(data),
        ..ConfigMap::default()
    })
}

/// The first four bytes of the text's SHA-256, read as little-endian, in hexadecimal without padding. For ever:
/// another name would restart every cluster.
pub(super) fn name(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let hash = digest.iter().take(4).rev().fold(0_u32, |hash, byte| hash << 8 | u32::from(*byte));
    format!("{PREFIX}{hash:x}")
}
