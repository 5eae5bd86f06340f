//! What `helm uninstall` runs before the release goes: deletions that are under way get their time, then the
//! controller is stopped, then our finalizers are taken off what stays. Otherwise nothing that carries one could
//! ever be deleted again. Invariant: the stored objects, their versions and clusters stay as they are.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args as Group;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use restate_crd::{RestateCloudEnvironment, RestateCluster, RestateDeployment};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::engine::Kind;

/// How often to look whether something has come to its end.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long the controller's pods may take to go.
const STOP: Duration = Duration::from_secs(75);

/// What goes.
#[derive(Clone, Debug, Group)]
pub(crate) struct Uninstall {
    /// Name of the controller's Deployment.
    #[arg(long, default_value = "restate-operator")]
    pub(crate) deployment: String,
    /// For how long deletions that are under way are waited for, in seconds.
    #[arg(long, default_value_t = 90)]
    pub(crate) patience_seconds: u64,
}

/// Releases what the controller holds.
pub(crate) async fn run(
    args: &Args,
    what: &Uninstall,
    config: kube::Config,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let namespace = args.place.operator_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = crate::acting::client(config)?;
    let work = async {
        wait_for_deletions(&client, Duration::from_secs(what.patience_seconds)).await?;
        stop_controller(&client, &namespace, what, &args.place).await?;
        release::<RestateDeployment>(&client).await?;
        release::<RestateCluster>(&client).await?;
        release::<RestateCloudEnvironment>(&client).await
    };
    tokio::select! {
        done = work => done,
        () = stop.cancelled() => anyhow::bail!("stopped before everything was released"),
    }
}

async fn wait_for_deletions(client: &Client, patience: Duration) -> anyhow::Result<()> {
    let overdue = Instant::now() + patience;
    loop {
        let mut left = going::<RestateDeployment>(client).await?;
        left.extend(going::<RestateCluster>(client).await?);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > overdue {
            tracing::warn!(objects = left.join(", "), "these deletions did not come to their end in time");
            return Ok(());
        }
        tracing::info!(objects = left.join(", "), "waits for deletions that are under way");
        sleep(LOOK_AGAIN).await;
    }
}

async fn going<K: Kind>(client: &Client) -> anyhow::Result<Vec<String>> {
    let held = held::<K>(client).await?;
    let going = held.iter().filter(|object| object.meta().deletion_timestamp.is_some());
    Ok(going.map(|object| format!("{} {}", K::kind(&()), object.name_any())).collect())
}

async fn stop_controller(
    client: &Client,
    namespace: &str,
    what: &Uninstall,
    place: &crate::args::Place,
) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    match deployments.patch_scale(&what.deployment, &PatchParams::default(), &none).await {
        Ok(_) => tracing::info!(deployment = what.deployment, "the controller is stopped"),
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(error).context("failed to stop the controller"),
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selector = format!("{}={}", place.operator_label_name, what.deployment);
    // Pods that were evicted or have ended stay as objects, and do nothing any more.
    let running =
        ListParams::default().labels(&selector).fields("status.phase!=Succeeded,status.phase!=Failed");
    let overdue = Instant::now() + STOP;
    while Instant::now() < overdue {
        let left = pods.list_metadata(&running).await;
        if left.context("failed to list the controller's pods")?.items.is_empty() {
            return Ok(());
        }
        sleep(LOOK_AGAIN).await;
    }
    anyhow::bail!("the controller did not stop in time")
}

async fn release<K: Kind>(client: &Client) -> anyhow::Result<()> {
    for object in held::<K>(client).await? {
        let rest: Vec<_> = object.finalizers().iter().filter(|name| *name != K::FINALIZER).collect();
        // With the version: whoever changed the finalizers in between must not lose theirs.
        let version = object.resource_version();
        let patch = Patch::Merge(json!({"metadata": {"finalizers": rest, "resourceVersion": version}}));
        let name = object.name_any();
        match object.api(client).patch_metadata(&name, &PatchParams::default(), &patch).await {
            Ok(_) => tracing::info!(kind = %K::kind(&()), name, "released"),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                return Err(error).with_context(|| format!("failed to release {} {name}", K::kind(&())));
            }
        }
    }
    Ok(())
}

/// Every object with our finalizer; none where the kind does not exist.
async fn held<K: Kind + Resource<DynamicType = ()> + DeserializeOwned + Debug>(
    client: &Client,
) -> anyhow::Result<Vec<K>> {
    let all: Api<K> = Api::all(client.clone());
    let found = match all.list(&ListParams::default()).await {
        Ok(found) => found.items,
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("failed to list {}", K::plural(&()))),
    };
    Ok(found
        .into_iter()
        .filter(|object| object.finalizers().iter().any(|name| name == K::FINALIZER))
        .collect())
}
