//! The aggregated API server of `control.restate.dev`: assembles, serves, stops. No logic.

mod args;
mod atlas;
mod nodes;
mod questions;
mod refusal;
mod resources;
mod restates;
mod serving;
mod targets;
mod turnstile;
mod world;

use anyhow::Context as _;
use apiserver_machinery::api::Api;
use apiserver_machinery::version::Clock;
use clap::Parser;
use restate_apiservice::{GROUP, RestateClusterMirror, RestateDeploymentMirror, VERSION};
use restate_client::transport::{Options, Passage};
use restate_client::{Policy, Transport};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use args::{Args, LogFormat, Place};
use atlas::Atlas;
use questions::Questions;
use resources::clusters::Clusters;
use resources::deployments::{Deployments, VersionsOf};
use resources::health::Health;
use resources::invocation;
use resources::invocations::Invocations;
use resources::provision::{ProvisionOf, Provisioner, Provisions};
use resources::proxy::Proxy;
use resources::query::Queries;
use resources::recover::{Recoverer, Recoveries, RecoveryOf};
use resources::registered::RegisteredWith;
use resources::services::Services;
use resources::snapshots::{Archivist, Snapshots, SnapshotsOf};
use resources::versions::Versions;
use restates::Restates;
use turnstile::Turnstiles;
use world::World;

/// Much that is small is read and dropped at once; the system's keeps a heap for each thread unless it is told not to.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    log(&args.report)?;
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = kube::Client::try_default().await.context("no way to the Kubernetes API server")?;
    let shutdown = until_told()?;
    let world = World::open(&client, &args.place.cluster_dns);
    let questions = Questions::new();
    let Place { admin_allowed_hosts, cluster_dns, .. } = &args.place;
    let policy = Policy::default().allow_beside_own(admin_allowed_hosts, cluster_dns);
    let restates = Restates::new(&shutdown, &questions, policy)?;
    let foundation = serving::Foundation::new(&client, &args, &world);
    foundation.registered(|registry| questions.register(registry));
    let api = api(&client, &args, &world, &restates, &foundation)?;
    foundation.registered(|registry| api.register(registry));
    foundation.serve(&api, shutdown).await
}

fn log(report: &args::Report) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&report.log_filter).context("RUST_LOG is no log filter")?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    match report.log_format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

/// Cancelled at SIGTERM or SIGINT.
fn until_told() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let told = token.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(token)
}

/// The kinds and what serves them.
fn api(
    client: &kube::Client,
    args: &Args,
    world: &World,
    restates: &Restates,
    foundation: &serving::Foundation,
) -> anyhow::Result<Api> {
    let clock = Arc::new(Clock::new());
    let versions = Versions::new(world.clone(), restates.clone(), &clock);
    tokio::spawn(versions.clone().follow());
    let provisioner = Provisioner {
        world: world.clone(),
        client: client.clone(),
        nodes: nodes::Nodes,
        identity: args.place.pod.clone(),
    };
    let (archivist, recoverer) = (Archivist::new(world), Recoverer { world: world.clone() });
    let of = VersionsOf { world: world.clone(), restates: restates.clone(), versions: versions.clone() };
    let invocations = Invocations { world: world.clone(), restates: restates.clone() };
    let transport = Transport::new(&Options::default())?;
    let (atlas, turnstiles) = (Atlas::new(world.clone(), restates.clone()), Turnstiles::default());
    let health =
        Health { world: world.clone(), transport: transport.clone(), turnstiles: turnstiles.clone() };
    let registered = RegisteredWith { world: world.clone(), transport, turnstiles: turnstiles.clone() };
    let proxy = Proxy::new(world.clone(), Passage::new(&Options::default())?);
    let services = Services::new(atlas.clone(), &clock);
    tokio::spawn(services.clone().follow());
    let queries =
        Queries { world: world.clone(), restates: restates.clone(), turnstiles: turnstiles.clone() };
    invocation::Invocations::new(&atlas, &turnstiles)
        .mounted(Api::builder(GROUP, VERSION).clock(&clock))
        .readable(services)
        .creatable(queries)
        .access(foundation.authorizer())
        .readable(versions)
        .computed(Deployments(world.clone()))
        .readable_subresource::<RestateDeploymentMirror, _>("versions", of)
        .readable_subresource::<RestateDeploymentMirror, _>("invocations", invocations)
        .computed(Clusters(world.clone()))
        .creatable_subresource::<RestateClusterMirror, _>("provision", ProvisionOf(provisioner.clone()))
        .creatable_subresource::<RestateClusterMirror, _>("snapshots", SnapshotsOf(archivist.clone()))
        .creatable_subresource::<RestateClusterMirror, _>("recover", RecoveryOf(recoverer.clone()))
        .readable_subresource::<RestateClusterMirror, _>("health", health)
        .readable_subresource::<RestateClusterMirror, _>("deployments", registered)
        .connection::<RestateClusterMirror, _>("proxy", proxy)
        .creatable(Provisions(provisioner))
        .creatable(Snapshots(archivist))
        .creatable(Recoveries(recoverer))
        .build()
        .map_err(|errors| anyhow::anyhow!("the API does not fit together: {errors:?}"))
}
