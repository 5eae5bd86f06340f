//! Stages that keep one request from taking what belongs to all: time, concurrency, memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_LENGTH;
use http_body_util::Limited;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{Answer, Shared, Stages, either, go_duration, info};
use crate::health::is_health;
use crate::metrics::{RequestKind, RequestLabels};
use crate::query::Query;
use crate::request_info::RequestInfo;
use crate::serve::body::{holding, until};
use crate::serve::verbs;
use crate::status::Status;
use crate::user::{MASTERS, User};

/// The aggregation layer's own poller of schemas comes without groups; it is never shed (T5).
const POLLER: &str = "system:aggregator";

/// Until when a request that is not long-running may take; in the extensions of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }
}

/// Ends what takes too long: the answer's head, and its body as well (C11, T12).
pub(super) async fn deadline(State(stages): State<Stages>, mut request: Request, next: Next) -> Response {
    let info = info(&request);
    if info.is_long_running() {
        return next.run(request).await;
    }
    let labels = request.extensions().get::<RequestLabels>().cloned().unwrap_or_default();
    let asked = Query::of(request.uri()).first("timeout").map(str::to_owned);
    let limit = match allowed(asked.as_deref(), stages.0.limits.deadline) {
        Ok(limit) => limit,
        Err(status) => return status.into_response(),
    };
    let end = Instant::now() + limit;
    request.extensions_mut().insert(Deadline(end));
    let metrics = stages.0.metrics.clone();
    let Ok(response) = tokio::time::timeout_at(end, next.run(request)).await else {
        metrics.terminated(&labels, 504);
        return Status::timeout("request did not complete within the requested timeout", 0).into_response();
    };
    let late = async move {
        tokio::time::sleep_until(end).await;
        metrics.terminated(&labels, 504);
    };
    response.map(|body| until(body, late))
}

/// Zero means no wish; more than the limit means the limit.
fn allowed(asked: Option<&str>, limit: Duration) -> Result<Duration, Box<Status>> {
    let Some(text) = asked else { return Ok(limit) };
    let wrong = |why: &str| {
        Box::new(Status::bad_request(format!("invalid timeout specified in the request URL - {why}")))
    };
    if text.starts_with('-') {
        return Err(wrong("it is negative"));
    }
    let wish = go_duration::parse(text).map_err(|error| wrong(&error))?;
    Ok(if wish.is_zero() { limit } else { wish.min(limit) })
}

/// Sheds what is too much at a time (T5, C14).
pub(super) async fn inflight(State(stages): State<Stages>, request: Request, next: Next) -> Response {
    let info = info(&request);
    if is_exempt(&request, &info) {
        return next.run(request).await;
    }
    let Some(permit) = stages.0.permit(&info) else {
        let labels = request.extensions().get::<RequestLabels>().cloned().unwrap_or_default();
        stages.0.metrics.terminated(&labels, 429);
        return Status::too_many_requests("Too many requests, please try again later.", 1).into_response();
    };
    next.run(request).await.map(|body| holding(body, permit))
}

fn is_exempt(request: &Request, info: &RequestInfo) -> bool {
    let user = request.extensions().get::<User>();
    is_health(&info.path) || user.is_some_and(|user| user.is_member_of(MASTERS) || user.name == POLLER)
}

impl Shared {
    fn permit(&self, info: &RequestInfo) -> Option<OwnedSemaphorePermit> {
        let of = |semaphore: &Arc<Semaphore>| Arc::clone(semaphore).try_acquire_owned().ok();
        match (info.is_long_running(), verbs::kind(info)) {
            (true, _) => of(&self.long_running),
            (false, RequestKind::ReadOnly) => of(&self.reading),
            (false, RequestKind::Mutating) => of(&self.writing),
        }
    }
}

/// Bounds bodies, except those that are streamed on (T4, E7).
pub(super) async fn body(State(stages): State<Stages>, request: Request, next: Next) -> Response {
    either(bounded(&stages, request, next).await)
}

async fn bounded(stages: &Stages, request: Request, next: Next) -> Answer {
    if info(&request).is_long_running() {
        return Ok(next.run(request).await);
    }
    let limit = stages.0.limits.body;
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > u64::try_from(limit).unwrap_or(u64::MAX)) {
        return Err(Box::new(Status::too_large(format!("limit is {limit}"))));
    }
    Ok(next.run(request.map(|body| Body::new(Limited::new(body, limit)))).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(None, Some(60_000))]
    #[case(Some("32s"), Some(32_000))]
    #[case(Some("1m30s"), Some(60_000))]
    #[case(Some("0s"), Some(60_000))]
    #[case(Some("5ms"), Some(5))]
    #[case(Some("-1s"), None)]
    #[case(Some("soon"), None)]
    #[case(Some("99999999999999999999s"), None)]
    #[case(Some("1s-5s"), None)]
    fn c11_the_deadline_can_be_lowered(#[case] asked: Option<&str>, #[case] expected: Option<u64>) {
        let limit = allowed(asked, Duration::from_mins(1));
        assert_eq!(limit.clone().ok(), expected.map(Duration::from_millis), "{limit:?}");
        assert!(limit.err().is_none_or(|status| status.code() == 400));
    }
}
