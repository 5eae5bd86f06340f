//! From the start of the process to its end: watches are opened at once, so that whoever gets the Lease can act at
//! once; passes run only while the Lease is held and no controller of another make is there.
//!
//! Invariant: losing the Lease drops every pass where it stands; SIGTERM lets what has begun come to its end, then
//! gives the Lease back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use kube::Client;
use kube::client::ClientBuilder;
use restate_client::Policy;
use restate_client::transport::{Options, Transport};
use restate_crd::Conditions;
use restate_plan::cluster::{Operator, Peer};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::limit::ConcurrencyLimitLayer;

use crate::args::{Args, Place, Platform};
use crate::engine::{self, Context, Said};
use crate::execute::{Addresses, Attempts, Executor, Notices};
use crate::restates::Restates;
use crate::runtime::health::{self, Readiness};
use crate::runtime::leader::{Campaign, Candidacy, Lease};
use crate::runtime::metrics::Metrics;
use crate::runtime::predecessor::{self, Marks};
use crate::runtime::traffic::Counted;
use crate::runtime::waiting;
use crate::watches::{self, Stores, Wakers, Watching};

/// How long passes that have begun may take to come to their end.
const FAREWELL: Duration = Duration::from_secs(25);
/// Image that joins bundles of certificate authorities, unless another is named: it has a shell and a bundle.
const CA_IMAGE: &str = "alpine:3.21";

/// How the API server knows us.
const USER_AGENT: &str = concat!("restate-operator/", env!("CARGO_PKG_VERSION"));

/// How many requests to the API server are under way at the same time; watches that have begun do not count.
const REQUESTS: usize = 32;

/// Runs until `stop`.
pub(crate) async fn run(args: Args, mut config: kube::Config, stop: CancellationToken) -> anyhow::Result<()> {
    // Patches that name no field manager are known by the program's name.
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT)));
    // Passes and watches are taken up again by pauses of their own, which are short, told and counted. kube's add up
    // to minutes in silence.
    config.default_retry = false;
    let (metrics, readiness, tasks) =
        (Arc::new(Metrics::default()), Readiness::default(), TaskTracker::new());
    // Until everything else has ended: whoever waits for the end of passes must not be ended by the end of this.
    let over = CancellationToken::new();
    let health = health::serve(args.report.metrics_address, readiness.clone(), metrics.clone(), over.clone());
    let (health, _over) = (tasks.spawn(health), over.drop_guard());
    let client = ClientBuilder::try_from(config.clone())?
        .with_layer(&Counted(metrics.clone()))
        .with_layer(&ConcurrencyLimitLayer::new(REQUESTS))
        .build();
    let namespace = args.place.operator_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let wakers = Arc::new(Wakers::default());
    let watching = Watching {
        client: client.clone(),
        readiness: readiness.clone(),
        metrics: metrics.clone(),
        stop: stop.clone(),
        tasks: tasks.clone(),
        network_policies: args.platform.manage_network_policies,
    };
    let stores = watches::open(&watching, &wakers);
    metrics.know_clusters(clusters(&stores));
    let notices = Notices::new(client.clone(), args.place.operator_pod_name.clone());
    let telling =
        waiting::tell(readiness.clone(), notices.clone(), waiting::own_pod(&args.place, &namespace));
    let telling = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(telling));

    let candidacy = candidacy(&args, &namespace);
    let Some(campaign) = campaign(&config, &candidacy, &stop).await else { return Ok(()) };
    let restates = restates(&args.platform, &metrics, &wakers)?;
    let lease = campaign.lease.clone();
    let executor = Executor {
        client: client.clone(),
        stores: stores.clone(),
        lease: lease.clone(),
        restates: restates.clone(),
        addresses: Addresses::default(),
        attempts: Attempts::default(),
        notices,
        metrics: metrics.clone(),
    };
    let operator = Arc::new(operator(&args, &namespace, &candidacy.identity));
    let said = Said::default();
    let clock = Timestamp::now;
    let context = Context {
        client,
        stores,
        wakers: wakers.clone(),
        restates,
        executor,
        said,
        metrics,
        clock,
        operator,
    };
    let marks = marks(&args.place, &namespace);
    let acting = Acting { context, wakers, lease, marks, readiness, stop: stop.clone() };
    let at_rest = tokio::select! {
        at_rest = acting.run() => at_rest,
        ended = health => {
            ended.context("health checks ended")?.context("health checks cannot be served")?;
            false
        }
    };
    drop(telling);
    depart(campaign, at_rest).await;
    Ok(())
}

/// The next holder need not wait for the end of the Lease, unless it could act beside calls of ours.
async fn depart(campaign: Campaign, at_rest: bool) {
    if at_rest {
        campaign.give_back().await;
    } else {
        tracing::warn!("calls may be under way: the Lease is left to run out");
    }
}

struct Acting {
    context: Context,
    wakers: Arc<Wakers>,
    lease: Lease,
    marks: Marks,
    readiness: Readiness,
    stop: CancellationToken,
}

impl Acting {
    /// Acts whenever that is allowed, until `stop`. Says whether everything has come to its end.
    async fn run(&self) -> bool {
        let mut at_rest = true;
        while !self.stop.is_cancelled() {
            tokio::select! {
                () = self.allowed() => {}
                () = self.stop.cancelled() => return at_rest,
            }
            tracing::info!("acts from now on");
            self.context.metrics.leads(true);
            at_rest = tokio::select! {
                () = self.act() => true,
                () = self.lease.lost() => {
                    tracing::warn!("the Lease is lost: stops acting");
                    false
                }
                () = self.overdue() => {
                    tracing::warn!("passes did not come to their end in time");
                    false
                }
            };
            self.context.metrics.leads(false);
        }
        at_rest
    }

    /// Waits until acting is ours.
    async fn allowed(&self) {
        loop {
            self.lease.gained().await;
            predecessor::gone(&self.context.client, &self.marks).await;
            self.readiness.complete().await;
            if self.lease.is_held() {
                return;
            }
        }
    }

    /// Ends when `stop` is told and every pass has come to its end.
    async fn act(&self) {
        let (context, stores, wakers) = (&self.context, &self.context.stores, &self.wakers);
        let stop = || self.stop.clone();
        tokio::join!(
            engine::run(context.clone(), stores.clusters.clone(), &wakers.clusters, stop()),
            engine::run(context.clone(), stores.deployments.clone(), &wakers.deployments, stop()),
            engine::run(context.clone(), stores.environments.clone(), &wakers.environments, stop()),
        );
    }

    async fn overdue(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    }
}

/// Runs for the Lease, as soon as the API server lets us; none where the process ends before.
async fn campaign(
    config: &kube::Config,
    candidacy: &Candidacy,
    stop: &CancellationToken,
) -> Option<Campaign> {
    let pauses = ExponentialBuilder::default().with_max_delay(Duration::from_secs(10)).without_max_times();
    let start = || Campaign::start(config.clone(), candidacy);
    let started = start.retry(pauses.with_jitter()).notify(|error, pause| {
        tracing::warn!(error = format!("{error:#}"), ?pause, "cannot run for the Lease yet");
    });
    tokio::select! {
        started = started => started.ok(),
        () = stop.cancelled() => None,
    }
}

fn candidacy(args: &Args, namespace: &str) -> Candidacy {
    let Place { operator_pod_name, operator_pod_uid, .. } = &args.place;
    // A container that is started anew in the same pod is the same candidate: the one before has ended.
    let identity = match (operator_pod_name, operator_pod_uid) {
        (Some(name), Some(uid)) => format!("{name}_{uid}"),
        (name, _) => format!("{}_{}", name.as_deref().unwrap_or("restate-controller"), uuid::Uuid::new_v4()),
    };
    Candidacy {
        namespace: namespace.to_owned(),
        name: args.lease.lease_name.clone(),
        identity,
        duration: args.lease.duration(),
    }
}

fn restates(
    platform: &Platform,
    metrics: &Arc<Metrics>,
    wakers: &Arc<Wakers>,
) -> anyhow::Result<Arc<Restates>> {
    let mut policy = Policy::default().allow_beside_own(&platform.admin_allowed_hosts, &platform.cluster_dns);
    if platform.admin_allow_loopback {
        policy = policy.with_loopback();
    }
    let options = Options { policy: policy.clone(), extra_ca: Vec::new() };
    let transport = Transport::new(&options).context("failed to set up the HTTP client")?;
    Ok(Arc::new(Restates::new(transport, policy, metrics.clone(), wakers.clone())))
}

fn operator(args: &Args, namespace: &str, identity: &str) -> Operator {
    let Place { operator_label_name: label, operator_label_value, apiserver_label_value, .. } = &args.place;
    let values = std::iter::once(operator_label_value).chain(apiserver_label_value);
    Operator {
        namespace: namespace.to_owned(),
        peers: values.map(|value| Peer { label: label.clone(), value: value.clone() }).collect(),
        dns_suffix: args.platform.cluster_dns.clone(),
        ca_image: args.platform.canary_image.clone().unwrap_or_else(|| CA_IMAGE.to_owned()),
        identity: identity.to_owned(),
        aws_cluster: args.platform.aws_pod_identity_association_cluster.clone(),
        has_gcp_identities: args.platform.gcp_workload_identity,
        manages_policies: args.platform.manage_network_policies,
        manages_provider_classes: args.platform.manage_secret_provider_classes,
    }
}

/// What all clusters say of themselves.
fn clusters(stores: &Stores) -> impl Fn() -> Vec<Conditions> + Send + Sync + use<> {
    let clusters = stores.clusters.clone();
    move || clusters.all().filter_map(|cluster| Some(cluster.status.as_ref()?.conditions.clone())).collect()
}

fn marks(place: &Place, namespace: &str) -> Marks {
    Marks {
        namespace: namespace.to_owned(),
        selector: format!("{}={}", place.operator_label_name, place.operator_label_value),
        peers: place.peer_label.clone(),
        own: place.operator_pod_name.clone(),
    }
}

/// The client of this process, for those who need no more than that.
pub(crate) fn client(config: kube::Config) -> anyhow::Result<Client> {
    Ok(Client::try_from(config)?)
}
