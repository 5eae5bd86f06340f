//! `k8s.io/sample-apiserver`, with an etcd of its own.

use std::process::Stdio;
use std::time::Duration;

use restate_tests::beside::{Place, free_port};
use restate_tests::{Beside, Lab, Result, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use super::Side;

const GROUP: &str = "wardle.example.com";
const VERSION: &str = "v1alpha1";

/// The server, with one object.
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
            // It waits for policies that an older Kubernetes does not serve, and takes nothing until it has them.
            .arg("--disable-admission-plugins=MutatingAdmissionPolicy")
            .arg(format!("--cert-dir={}", files.path().join("certificates").display()))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(files.path().join("log"))?);
        let place = Place { group: GROUP, version: VERSION, address: &address, port, authority: None };
        let beside = Beside::publish(lab, place, server.spawn()?).await?;
        let sample = Self { beside, _etcd: etcd, _files: files };
        // It is available before its admission has read what it asks, and refuses whoever is as early.
        let kubectl = lab.kubectl()?;
        eventually("the sample to take an object", Duration::from_mins(1), || async {
            let created = kubectl.create(&sample.flunder()).await;
            Ok(created.map(drop).map_err(|error| format!("{error:#}")))
        })
        .await?;
        Ok(sample)
    }

    pub(super) fn side(&self) -> Side {
        Side {
            group: GROUP,
            version: VERSION,
            readable: ("flunders", "Flunder"),
            creatable: ("fischers", "Fischer"),
            namespace: self.beside.namespace().to_owned(),
            name: "golden-0123456789".to_owned(),
        }
    }

    fn flunder(&self) -> Value {
        json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "Flunder",
            "metadata": {"name": self.side().name, "namespace": self.beside.namespace()},
            "spec": {},
        })
    }
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
