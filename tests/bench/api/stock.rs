//! What the servers show: RestateDeployments with their versions, in a namespace that goes with the run.
//!
//! The versions are replica sets without pods, each registered with the stand-in. The controller is away meanwhile,
//! so that nothing acts on them, and one replica of the aggregated API serves, so that one process bears it all.
//! `leftovers` takes everything away again.

use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use restate_tests::{Lab, Result, eventually};
use serde_json::{Value, json};

use super::{
    admin::{Registered, StandIn},
    ask::Asker,
    programs::{self, APISERVER, CONTROLLER},
};

/// Versions of one RestateDeployment: nine are superseded, with an invocation each.
pub(super) const VERSIONS: usize = 10;
/// Objects that are made at a time.
const AT_A_TIME: usize = 24;
const QUIET: Duration = Duration::from_mins(10);

/// The namespace with everything in it.
pub(super) struct Stock<'a> {
    asker: &'a Asker,
    admin: &'a StandIn,
    namespace: String,
    deployments: usize,
}

impl<'a> Stock<'a> {
    pub(super) async fn open(
        lab: &Lab,
        asker: &'a Asker,
        admin: &'a StandIn,
        namespace: &str,
    ) -> Result<Self> {
        let kubectl = lab.kubectl()?;
        let metadata = json!({"name": namespace, "labels": {"restate-tests": "true"}});
        kubectl.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await?;
        programs::scale(&kubectl, CONTROLLER, 0).await?;
        programs::scale(&kubectl, APISERVER, 1).await?;
        programs::restart(&kubectl).await?;
        Ok(Self { asker, admin, namespace: namespace.to_owned(), deployments: 0 })
    }

    /// Has so many versions.
    pub(super) async fn grow(&mut self, versions: usize) -> Result {
        let wanted = versions.div_ceil(VERSIONS);
        let made: Vec<Vec<Registered>> = stream::iter(self.deployments..wanted)
            .map(|index| self.deployment(index))
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        self.admin.register(made.into_iter().flatten().collect());
        self.deployments = wanted;
        self.quiet(wanted * VERSIONS).await
    }

    async fn deployment(&self, index: usize) -> Result<Vec<Registered>> {
        let name = format!("service-{index:04}");
        let path = format!("/apis/restate.dev/v1beta1/namespaces/{}/restatedeployments", self.namespace);
        let parent = self.asker.post(&path, &parent(&name, &self.admin.url())).await?.json()?;
        let uid = parent["metadata"]["uid"].as_str().context("a stored object has a uid")?;
        let mut registered = Vec::with_capacity(VERSIONS);
        for version in 0..VERSIONS {
            let hash = format!("{:010x}", 0x5d_fcdd_0000_u64 + (index * VERSIONS + version) as u64);
            let id = format!("dp_{hash}Kr3Nu8fzYWXvyj");
            let path = format!("/apis/apps/v1/namespaces/{}/replicasets", self.namespace);
            self.asker.post(&path, &replica_set((&name, uid), &hash, &id)).await?;
            registered.push(Registered {
                id,
                endpoint: format!("http://{name}-{hash}.{}.svc.cluster.local:9080/", self.namespace),
                service: name.clone(),
                revision: version + 1,
                latest: version + 1 == VERSIONS,
            });
        }
        Ok(registered)
    }

    /// Kubernetes' own controllers have looked at everything, and ours shows it as it will stay.
    async fn quiet(&self, versions: usize) -> Result {
        let path = format!(
            "/apis/control.restate.dev/v1alpha1/namespaces/{}/restatedeploymentversions",
            self.namespace
        );
        eventually("all versions to be shown", QUIET, || async {
            let list = self.asker.get(&path, super::ask::JSON).await?.json()?;
            let known =
                |item: &&Value| item["status"]["state"] == "Draining" || item["status"]["state"] == "Current";
            let items = list["items"].as_array().context("no list")?;
            let seen = items.iter().filter(known).count();
            Ok(if seen == versions { Ok(()) } else { Err(format!("{seen} of {versions}")) })
        })
        .await?;
        let sets = format!("/apis/apps/v1/namespaces/{}/replicasets", self.namespace);
        eventually("the replica sets to be looked at", QUIET, || async {
            let list = self.asker.get(&sets, super::ask::JSON).await?.json()?;
            let items = list["items"].as_array().context("no list")?;
            let left = items.iter().filter(|item| item["status"]["observedGeneration"].is_null()).count();
            Ok(if left == 0 { Ok(()) } else { Err(format!("{left} are left")) })
        })
        .await
    }
}

fn parent(name: &str, admin: &str) -> Value {
    json!({
        "apiVersion": "restate.dev/v1beta1",
        "kind": "RestateDeployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "restate": {"register": {"url": admin}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "service", "image": format!("shop/{name}:1.4.2")}]},
            },
        },
    })
}

fn replica_set((parent, uid): (&str, &str), hash: &str, id: &str) -> Value {
    let labels = json!({"app": parent, "pod-template-hash": hash});
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{parent}-{hash}"),
            "labels": {"app": parent, "pod-template-hash": hash, "restate.dev/owned-by": parent},
            "annotations": {"restate.dev/deployment-id": id},
            "ownerReferences": [{
                "apiVersion": "restate.dev/v1beta1", "kind": "RestateDeployment", "name": parent, "uid": uid,
                "controller": true,
            }],
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{
                    "name": "service", "image": format!("shop/{parent}:1.4.2"),
                    "ports": [{"name": "restate", "containerPort": 9080}],
                }]},
            },
        },
    })
}
