//! Puts the stages in their order (T6) and serves them over TLS until told to stop (T9).
//!
//! ```text
//! accept ─► handshake ─► audit id ─► request info ─► metrics ─► gate ─► cache headers ─► deadline ─► warnings
//!        ─► authn ─► span ─► audit ─► impersonation ─► in-flight ─► authz ─► body limit ─► seal ─► handler
//! ```
//!
//! Invariant: a handler sees no request without a `User` who may make it, and nothing leaves that is not what a client
//! of kube-apiserver understands. Not for answers: those are the router's.

mod accept;
pub mod body;
mod connection;
mod listen;
mod operations;
mod seal;
mod stages;
mod streams;
mod verbs;
pub mod warnings;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use k8s_openapi::apimachinery::pkg::version::Info;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use listen::listen;
pub use seal::Verbatim;
pub use verbs::KnownResource;

use crate::audit;
use crate::authn::Authenticator;
use crate::authz::Authorizer;
use crate::health::{Gate, Health};
use crate::metrics::Metrics;
use crate::shutdown::{Draining, Grace};
use crate::tls::Tls;
use accept::Acceptor;
use stages::Stages;

/// An extension API server, ready to run.
pub struct Server {
    /// The API: discovery, OpenAPI, resources; with a fallback for unknown paths.
    pub router: Router,
    /// What the router serves, for the labels of metrics.
    pub resources: Vec<KnownResource>,
    /// Handshakes.
    pub tls: Tls,
    /// Who is it?
    pub authn: Authenticator,
    /// May they?
    pub authz: Authorizer,
    /// What `/livez`, `/readyz` and `/healthz` show.
    pub health: Health,
    /// Where the stages count.
    pub metrics: Metrics,
    /// What `/metrics` shows.
    pub registry: Arc<Registry>,
    /// Where requests are recorded.
    pub audit: audit::Log,
    /// What `/version` shows.
    pub version: Info,
    /// Bounds.
    pub limits: Limits,
    /// How to stop.
    pub grace: Grace,
}

/// Bounds of what one server does at a time and for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Reading requests at a time (T5).
    pub reading: usize,
    /// Writing requests at a time (T5).
    pub writing: usize,
    /// Long-running requests at a time (C14).
    pub long_running: usize,
    /// Bytes of a request's body (T4).
    pub body: usize,
    /// Time for a request that is not long-running; `?timeout=` lowers it (C11).
    pub deadline: Duration,
    /// Streams of one HTTP/2 connection: one carries a whole kube-apiserver (T2).
    pub streams: u32,
    /// Connections without a request are closed after this.
    pub idle: Duration,
    /// Connections are asked to go after this, so that load moves to new replicas (T10). `None`: never.
    pub connection_age: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reading: 400,
            writing: 200,
            long_running: 4000,
            body: 3 * 1024 * 1024,
            deadline: Duration::from_mins(1),
            streams: 1000,
            idle: Duration::from_secs(90),
            connection_age: None,
        }
    }
}

impl Server {
    /// Serves until `shutdown` is cancelled and everything that was open has ended or its time is over.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) {
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let (health, grace, limits, tls) = (self.health.clone(), self.grace, self.limits, self.tls.clone());
        let (gate, audit) = (health.gate("shutdown", "not serving yet"), self.audit.clone());
        let connections = TaskTracker::new();
        let acceptor = Acceptor {
            config: tls.config(),
            metrics: self.metrics.clone(),
            router: self.into_router(Draining::new(stop.clone(), grace.spread)),
            limits,
            stop: stop.clone(),
            cut: cut.clone(),
            connections: connections.clone(),
        };
        gate.open();
        tokio::join!(acceptor.run(listener), announce(gate, grace.delay, &shutdown, &stop));
        drain(&connections, grace.drain, &cut).await;
        audit.end().await;
    }

    /// All stages around the router, as one router; for tests without a network.
    pub fn into_router(self, draining: Draining) -> Router {
        let Self {
            router,
            resources,
            tls: _,
            authn,
            authz,
            health,
            metrics,
            registry,
            audit,
            version,
            limits,
            grace: _,
        } = self;
        let router = operations::router(&health, registry, version).fallback_service(router);
        Stages::new(authn, authz, metrics, audit, limits).known(resources).draining(draining).around(router)
    }
}

/// Where the peer of a request's connection is.
pub(crate) fn remote_address(extensions: &http::Extensions) -> Option<std::net::SocketAddr> {
    extensions.get::<connection::Connection>().map(connection::Connection::from)
}

/// Readiness fails, but requests are served until nobody sends any (T9).
async fn announce(gate: Gate, delay: Duration, shutdown: &CancellationToken, stop: &CancellationToken) {
    shutdown.cancelled().await;
    gate.close("the server is stopping");
    tracing::info!(delay_seconds = delay.as_secs(), "stopping: not ready any more, still serving");
    tokio::time::sleep(delay).await;
    stop.cancel();
}

async fn drain(connections: &TaskTracker, patience: Duration, cut: &CancellationToken) {
    connections.close();
    tracing::info!(connections = connections.len(), "stopping: no new connections");
    if tokio::time::timeout(patience, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "stopping: cutting what is still open");
        cut.cancel();
        connections.wait().await;
    }
}

#[cfg(test)]
mod tests;
