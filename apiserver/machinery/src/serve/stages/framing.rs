//! Stages that look at a request from outside: its id, its reading, its measure, its connection.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONNECTION, HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use jiff::Timestamp;
use tracing::Instrument;
use uuid::Uuid;

use super::{Stages, connection, info};
use crate::audit::AuditId;
use crate::metrics::{Level, Metrics, RequestLabels};
use crate::request_info::RequestInfo;
use crate::serve::body::{counting, holding};
use crate::serve::verbs;
use crate::serve::warnings::Warnings;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const TRACE_PARENT: &str = "traceparent";
const LONGEST_AUDIT_ID: usize = 64;

/// The id that joins our audit log with kube-apiserver's; echoed once (P11). The front proxy echoes it itself, and
/// adds to its own headers what ours are.
pub(super) async fn audit_id(State(stages): State<Stages>, mut request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(|| Uuid::new_v4().to_string());
    let echoed = HeaderValue::from_str(&id);
    let passed_on = stages.0.authn.is_front_proxy(request.extensions(), Timestamp::now());
    request.extensions_mut().insert(AuditId(id));
    request.extensions_mut().insert(PassedOn(passed_on));
    let mut response = next.run(request).await;
    if let (Ok(echoed), false) = (echoed, passed_on) {
        response.headers_mut().insert(AUDIT_ID, echoed);
    }
    response
}

/// Whether the front proxy passed the request on.
#[derive(Clone, Copy, Debug)]
struct PassedOn(bool);

fn given(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(AUDIT_ID)?.to_str().ok()?;
    let is_id = !text.is_empty()
        && text.len() <= LONGEST_AUDIT_ID
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_id.then(|| text.to_owned())
}

/// The reading of the request on which authorizer and handler act.
pub(super) async fn request_info(State(_): State<Stages>, mut request: Request, next: Next) -> Response {
    let info = RequestInfo::of(request.method(), request.uri());
    request.extensions_mut().insert(info);
    next.run(request).await
}

/// Counts and times, also what is given up half-way (M1).
pub(super) async fn measure(State(stages): State<Stages>, mut request: Request, next: Next) -> Response {
    let info = info(&request);
    let metrics = stages.0.metrics.clone();
    let labels = stages.0.known.labels(&info, request.method(), request.uri());
    request.extensions_mut().insert(metrics.clone());
    request.extensions_mut().insert(labels.clone());
    let level = if info.is_long_running() {
        metrics.longrunning(&labels)
    } else {
        metrics.inflight(verbs::kind(&info))
    };
    let open = Open { metrics, labels, start: Instant::now(), ended: false };
    let response = next.run(request).await;
    open.answered(&response);
    measured(response, &stages, level, open)
}

fn measured(response: Response, stages: &Stages, level: Level, mut open: Open) -> Response {
    open.ended = true;
    let (metrics, labels) = (stages.0.metrics.clone(), open.labels.clone());
    response.map(|body| {
        counting(body, move |bytes| {
            metrics.sent(&labels, bytes);
            drop(level);
        })
    })
}

/// A request between its arrival and its answer.
struct Open {
    metrics: Metrics,
    labels: RequestLabels,
    start: Instant,
    ended: bool,
}

/// Time that a request spent waiting for kube-apiserver's word; not our own (M1, the objective).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waited(pub(super) Duration);

impl Open {
    fn answered(&self, response: &Response) {
        let took = self.start.elapsed();
        let waited = response.extensions().get::<Waited>().copied().unwrap_or_default();
        let code = response.status();
        self.metrics.answered(&self.labels, code.as_u16(), took, took.saturating_sub(waited.0));
        if code.is_server_error() {
            tracing::warn!(
                code = code.as_u16(),
                verb = self.labels.verb,
                resource = self.labels.resource,
                "answered"
            );
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.ended {
            self.metrics.aborted(&self.labels);
        }
    }
}

/// Holds the connection open, tells streams when to end (T9), and ends it with a refused upgrade: what the caller sent
/// after the head was meant for somebody else (P9).
pub(super) async fn gate(State(stages): State<Stages>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(stages.0.draining.clone());
    let busy = connection(&request).map(|connection| connection.busy());
    let upgrades = request.version() <= Version::HTTP_11 && request.headers().contains_key(UPGRADE);
    let mut response = next.run(request).await;
    if upgrades && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| holding(body, busy))
}

/// P11: nothing is cached, unless the handler says so. The front proxy says that itself.
pub(super) async fn cache_headers(State(_): State<Stages>, request: Request, next: Next) -> Response {
    let passed_on = request.extensions().get::<PassedOn>().is_some_and(|passed_on| passed_on.0);
    let mut response = next.run(request).await;
    if !passed_on {
        let default = || HeaderValue::from_static("no-cache, private");
        response.headers_mut().entry(CACHE_CONTROL).or_insert_with(default);
    }
    response
}

/// Lets handlers warn (C9).
pub(super) async fn warnings(State(_): State<Stages>, mut request: Request, next: Next) -> Response {
    let warnings = Warnings::default();
    request.extensions_mut().insert(warnings.clone());
    let mut response = next.run(request).await;
    warnings.write(response.headers_mut());
    response
}

/// A span around what follows; the caller's trace counts only now that the caller is known (M7).
pub(super) async fn span(State(_): State<Stages>, request: Request, next: Next) -> Response {
    let info = info(&request);
    let id = request.extensions().get::<AuditId>().map_or("", |id| id.0.as_str());
    let parent = request.headers().get(TRACE_PARENT).and_then(|value| value.to_str().ok());
    let resource = info.printed_resource();
    let span =
        tracing::info_span!("request", audit_id = id, verb = info.verb, resource, path = info.path, parent);
    next.run(request).instrument(span).await
}
