//! The chain around the router, outermost first (T6). Each stage is one function in one of the modules below.

mod admission;
mod bounds;
mod framing;
mod go_duration;
mod identity;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use super::seal::{panicked, seal};
use super::verbs::{Known, KnownResource};
use super::{Limits, connection::Connection};
use crate::audit;
use crate::authn::Authenticator;
use crate::authz::Authorizer;
use crate::metrics::Metrics;
use crate::request_info::RequestInfo;
use crate::shutdown::Draining;

/// What the stages share.
#[derive(Clone)]
pub(super) struct Stages(Arc<Shared>);

#[derive(Clone)]
struct Shared {
    authn: Authenticator,
    authz: Authorizer,
    metrics: Metrics,
    audit: audit::Log,
    limits: Limits,
    reading: Arc<Semaphore>,
    writing: Arc<Semaphore>,
    long_running: Arc<Semaphore>,
    known: Known,
    draining: Draining,
}

impl Stages {
    pub(super) fn new(
        authenticator: Authenticator,
        authorizer: Authorizer,
        metrics: Metrics,
        audit: audit::Log,
        limits: Limits,
    ) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self(Arc::new(Shared {
            authn: authenticator,
            authz: authorizer,
            metrics,
            audit,
            limits,
            reading: semaphore(limits.reading),
            writing: semaphore(limits.writing),
            long_running: semaphore(limits.long_running),
            known: Known::default(),
            draining: Draining::never(),
        }))
    }

    pub(super) fn known(mut self, resources: Vec<KnownResource>) -> Self {
        Arc::make_mut(&mut self.0).known = Known::new(resources);
        self
    }

    pub(super) fn draining(mut self, draining: Draining) -> Self {
        Arc::make_mut(&mut self.0).draining = draining;
        self
    }

    /// The order is the reading order.
    pub(super) fn around(self, router: Router) -> Router {
        let outer = ServiceBuilder::new()
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn_with_state(self.clone(), framing::audit_id))
            .layer(from_fn_with_state(self.clone(), framing::request_info))
            .layer(from_fn_with_state(self.clone(), framing::measure))
            .layer(from_fn_with_state(self.clone(), framing::gate))
            .layer(from_fn_with_state(self.clone(), framing::cache_headers))
            .layer(from_fn_with_state(self.clone(), bounds::deadline))
            .layer(from_fn_with_state(self.clone(), framing::warnings));
        let inner = ServiceBuilder::new()
            .layer(from_fn_with_state(self.clone(), identity::authenticate))
            .layer(from_fn_with_state(self.clone(), framing::span))
            .layer(from_fn_with_state(self.clone(), admission::audit))
            .layer(from_fn_with_state(self.clone(), identity::impersonate))
            .layer(from_fn_with_state(self.clone(), bounds::inflight))
            .layer(from_fn_with_state(self.clone(), admission::authorize))
            .layer(from_fn_with_state(self, bounds::body))
            .layer(axum::middleware::from_fn(seal))
            .layer(CatchPanicLayer::custom(panicked));
        Router::new().fallback_service(router).layer(inner).layer(outer)
    }
}

/// The reading that the stage `request_info` left; without one, nothing is a resource.
fn info(request: &Request) -> RequestInfo {
    request.extensions().get::<RequestInfo>().cloned().unwrap_or_default()
}

fn connection(request: &Request) -> Option<Connection> {
    request.extensions().get::<Connection>().cloned()
}

type Answer = Result<Response, Box<crate::status::Status>>;

fn either(answer: Answer) -> Response {
    answer.unwrap_or_else(|status| axum::response::IntoResponse::into_response(*status))
}
