//! Kubeconfigs: one per user that has a certificate. They are written as JSON, which every reader of YAML reads.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    pki::USERS,
    site::{Site, text},
};
use crate::Result;

/// Writes all kubeconfigs; the administrator's also where users look for it.
pub(super) fn write_all(site: &Site) -> Result<()> {
    for user in USERS {
        write(&site.kubeconfig(user), &kubeconfig(site, user)?)?;
    }
    write(&site.state.kubeconfig(), &kubeconfig(site, "admin")?)
}

fn write(path: &Path, value: &Value) -> Result<()> {
    fs::write(path, serde_json::to_string_pretty(value)?)
        .with_context(|| format!("failed to write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

/// Certificates are embedded, so that the file can be copied elsewhere.
fn kubeconfig(site: &Site, user: &str) -> Result<Value> {
    let encoded = |file: String| -> Result<String> {
        let path = PathBuf::from(site.pki(&file));
        let bytes = fs::read(&path).with_context(|| format!("failed to read {}", text(&path)))?;
        Ok(serde_json::to_value(k8s_openapi::ByteString(bytes))?.as_str().unwrap_or_default().to_owned())
    };
    let cluster = json!({
        "server": format!("https://127.0.0.1:{}", site.ports.api_port),
        "certificate-authority-data": encoded("ca.crt".to_owned())?,
    });
    let certificate = json!({
        "client-certificate-data": encoded(format!("{user}.crt"))?,
        "client-key-data": encoded(format!("{user}.key"))?,
    });
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "restate-lab", "cluster": cluster }],
        "users": [{ "name": user, "user": certificate }],
        "contexts": [{ "name": "restate-lab", "context": { "cluster": "restate-lab", "user": user } }],
        "current-context": "restate-lab",
    }))
}

#[cfg(test)]
mod tests {
    use kube::config::Kubeconfig;

    use super::*;
    use crate::{
        node::{pki, tests::site},
        places::StateDir,
    };

    #[test]
    fn every_user_has_one_that_a_client_reads() {
        let place = tempfile::tempdir().expect("a directory");
        let site = Site { state: StateDir::at(place.path().to_owned()), ..site() };
        fs::create_dir_all(site.state.config()).expect("made");
        pki::ensure(&site.state).expect("certificates");
        write_all(&site).expect("written");
        for path in USERS.map(|user| site.kubeconfig(user)).into_iter().chain([site.state.kubeconfig()]) {
            let read = Kubeconfig::read_from(&path).expect("a kubeconfig");
            let server = read.clusters[0].cluster.as_ref().and_then(|cluster| cluster.server.clone());
            assert_eq!(server.as_deref(), Some("https://127.0.0.1:6443"));
            assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o077, 0);
        }
    }
}
