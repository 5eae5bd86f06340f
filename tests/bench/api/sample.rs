//! `k8s.io/sample-apiserver`, what the Kubernetes project itself wrote as an example, with an etcd of its own.
//!
//! Its kind has no status of ours, so each object is padded to the size of ours by one annotation: the bytes are the
//! same, there are fewer fields to write.

use std::process::Stdio;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use restate_tests::{
    Beside, Lab, Result,
    beside::{Place, free_port},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use super::ask::Asker;

pub(super) const GROUP: &str = "wardle.example.com";
pub(super) const VERSION: &str = "v1alpha1";
pub(super) const PROGRAM: &str = "sample-apiserver";
const AT_A_TIME: usize = 24;

/// The server; it ends with the value.
pub(super) struct Sample {
    beside: Beside,
    _etcd: Child,
    _files: TempDir,
}

impl Sample {
    pub(super) async fn start(lab: &Lab) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let (etcd, store) = etcd(lab, &files)?;
        let address = lab.address().await?;
        let port = free_port(&address)?;
        let kubeconfig = lab.kubeconfig().display();
        let mut server = lab.program("SAMPLE_APISERVER")?;
        server
            .arg(format!("--secure-port={port}"))
            .arg(format!("--bind-address={address}"))
            .arg(format!("--etcd-servers={store}"))
            .arg(format!("--kubeconfig={kubeconfig}"))
            .arg(format!("--authentication-kubeconfig={kubeconfig}"))
            .arg(format!("--authorization-kubeconfig={kubeconfig}"))
            .arg(format!("--cert-dir={}", files.path().join("certificates").display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let place = Place { group: GROUP, version: VERSION, address: &address, port, authority: None };
        let beside = Beside::publish(lab, place, server.spawn()?).await?;
        Ok(Self { beside, _etcd: etcd, _files: files })
    }

    /// The path of its collection.
    pub(super) fn path(&self) -> String {
        format!("/apis/{GROUP}/{VERSION}/namespaces/{}/flunders", self.beside.namespace())
    }

    /// Stores an object of the name and size of each of these.
    pub(super) async fn store(&self, asker: &Asker, objects: &[Value]) -> Result {
        let path = self.path();
        stream::iter(objects)
            .map(|object| {
                let (path, copy) = (&path, copy(object));
                async move { asker.post(path, &copy).await.map(drop) }
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await
    }

    /// A change of one object.
    pub(super) async fn touch(&self, asker: &Asker, name: &str, round: usize) -> Result {
        let change = json!({"metadata": {"labels": {"round": round.to_string()}}});
        asker.patch(&format!("{}/{name}", self.path()), &change).await.map(drop)
    }
}

/// What the object would weigh without the padding, and what is missing to the size of ours.
fn copy(object: &Value) -> Value {
    let mut copy = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "Flunder",
        "metadata": {"name": object["metadata"]["name"], "annotations": {"padding": ""}},
        "spec": {},
    });
    // What the server adds: uid, time, version, the fields' manager.
    let added = 450;
    let missing = object.to_string().len().saturating_sub(copy.to_string().len() + added);
    copy["metadata"]["annotations"]["padding"] = "x".repeat(missing).into();
    copy
}

fn etcd(lab: &Lab, files: &TempDir) -> Result<(Child, String)> {
    let url = || Ok::<_, anyhow::Error>(format!("http://127.0.0.1:{}", free_port("127.0.0.1")?));
    let (clients, peers) = (url()?, url()?);
    let mut etcd = lab.program("ETCD")?;
    etcd.arg(format!("--data-dir={}", files.path().join("etcd").display()))
        .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
        .arg(format!("--initial-cluster=default={peers}"))
        .args(["--unsafe-no-fsync", "--log-level=error"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok((etcd.spawn()?, clients))
}
