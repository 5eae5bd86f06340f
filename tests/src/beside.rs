//! Another API server, run on this machine and put behind the aggregation layer beside ours.
//!
//! A group that does not answer is a fault of the whole cluster. So the server answers before its APIService is made,
//! and the APIService goes before the server does: only in tests that run alone.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tokio::process::Child;

use crate::{Lab, Namespace, Result, eventually};

/// A Go server that makes certificates, connects to etcd and waits for informers.
const STARTED: Duration = Duration::from_mins(1);

/// kube-apiserver may be on its way up again.
const TRIES: usize = 15;

/// The server. It goes with the test.
#[derive(Debug)]
pub struct Beside {
    registration: Registration,
    _server: Child,
}

/// Where a server is to be found.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The API group.
    pub group: &'a str,
    /// Its version.
    pub version: &'a str,
    /// An address of this machine that the cluster reaches.
    pub address: &'a str,
    /// The port.
    pub port: u16,
    /// Who signed its certificate; nobody is asked without.
    pub authority: Option<&'a str>,
}

#[derive(Debug)]
struct Registration {
    lab: Lab,
    name: String,
    namespace: Namespace,
}

impl Beside {
    /// Publishes a server that has been started, and waits until the aggregation layer reaches it.
    pub async fn publish(lab: &Lab, place: Place<'_>, server: Child) -> Result<Self> {
        let Place { group, version, address, port, .. } = place;
        answers(address, port).await?;
        let namespace = Namespace::new(lab, "beside").await?;
        let name = format!("{version}.{group}");
        let registration = Registration { lab: lab.clone(), name, namespace };
        registration.route(address, port).await?;
        registration.register(place).await?;
        let kubectl = lab.kubectl()?;
        let discovery = format!("/apis/{group}/{version}");
        eventually(&format!("{discovery} through the aggregation layer"), STARTED, || async {
            let answer = kubectl.ask(["get", "--raw", &discovery], None).await?;
            Ok(if answer.successful { Ok(()) } else { Err(answer.words) })
        })
        .await?;
        Ok(Self { registration, _server: server })
    }

    /// A namespace for what is made in it.
    pub fn namespace(&self) -> &str {
        self.registration.namespace.name()
    }
}

impl Registration {
    /// A Service without pods: its endpoint is this machine.
    async fn route(&self, address: &str, port: u16) -> Result {
        let namespace = self.namespace.name();
        let kubectl = self.lab.kubectl()?;
        let ports = json!([{"name": "https", "port": 443, "targetPort": port, "protocol": "TCP"}]);
        kubectl
            .apply(&json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "server", "namespace": namespace},
                "spec": {"ports": ports},
            }))
            .await?;
        kubectl
            .apply(&json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": "server", "namespace": namespace,
                    "labels": {"kubernetes.io/service-name": "server"},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }))
            .await
    }

    async fn register(&self, place: Place<'_>) -> Result {
        let mut spec = json!({
            "group": place.group, "version": place.version,
            "groupPriorityMinimum": 10, "versionPriority": 10,
            "service": {"name": "server", "namespace": self.namespace.name()},
        });
        match place.authority {
            Some(pem) => spec["caBundle"] = STANDARD.encode(pem).into(),
            None => spec["insecureSkipTLSVerify"] = true.into(),
        }
        let object = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": self.name}, "spec": spec,
        });
        self.lab.kubectl()?.apply(&object).await
    }
}

/// Before the server goes; what cannot be removed here holds up every deletion of a namespace, so it is waited for.
impl Drop for Registration {
    fn drop(&mut self) {
        let Some(program) = std::env::var_os("LAB_KUBECTL") else { return };
        for _ in 0..TRIES {
            let mut kubectl = Command::new(&program);
            kubectl.args(["delete", "apiservice", &self.name, "--ignore-not-found"]);
            kubectl.env("KUBECONFIG", self.lab.kubeconfig()).stdout(Stdio::null()).stderr(Stdio::null());
            if kubectl.status().is_ok_and(|ended| ended.success()) {
                return;
            }
            std::thread::sleep(Duration::from_secs(2));
        }
        eprintln!("the APIService {} is still there: it holds up deletions of namespaces", self.name);
    }
}

/// A port of this address that nobody uses.
pub fn free_port(address: &str) -> Result<u16> {
    let listener = std::net::TcpListener::bind((address, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

async fn answers(address: &str, port: u16) -> Result {
    ensure!(!address.is_empty(), "the server has no address");
    eventually(&format!("{address}:{port} to take connections"), STARTED, || async {
        let connected =
            tokio::time::timeout(Duration::from_secs(2), tokio::net::TcpStream::connect((address, port)))
                .await?;
        Ok(connected.map(drop).map_err(|error| error.to_string()))
    })
    .await
}
