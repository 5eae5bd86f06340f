//! `restateclusters/proxy`: the admin API of a cluster, and Restate's own web UI, path by path.
//!
//! ```text
//! request ─► target (stored object) ─► path in one reading ─► second check ─► headers that pass ─► Restate ─► stream
//! ```
//!
//! Invariants: where Restate is, the RestateCluster says; what is sent on is what was authorized, segment by segment;
//! no redirect leaves, and none is followed to another place or without the right to it (C13, P8, Z8).

mod headers;
mod path;
mod upgrade;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apiserver_machinery::audit::Note;
use apiserver_machinery::request_info::RequestInfo;
use apiserver_machinery::resource::{Call, Connectable};
use apiserver_machinery::serve::body::holding;
use apiserver_machinery::serve::body::is_over_the_limit;
use apiserver_machinery::status::Status;
use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::{Stream, StreamExt};
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Limited;
use restate_apiservice::proxy::PROXY;
use restate_client::Endpoint;
use restate_client::transport::{self, Carried, Head, Passage, pointed_to};

use crate::targets::{Targets, polled};
use crate::turnstile::{Turn, Turnstiles};
use path::SubPath;
use upgrade::{Upgrades, Wish};

/// As for any other request to an API server (T4).
const LARGEST_BODY: usize = 3 * 1024 * 1024;

/// A query over large tables takes its time before it begins to answer.
const FIRST_BYTE: Duration = Duration::from_mins(2);

/// Restate itself sends people on once.
const REDIRECTS: usize = 3;

/// Which area was asked for, in the audit log.
const AUDITED: &str = "control.restate.dev/proxied";

/// The proxy.
pub(crate) struct Proxy<T> {
    targets: T,
    passage: Passage,
    upgrades: Upgrades,
    turnstiles: Turnstiles,
}

/// What is sent on, apart from where.
struct Errand {
    head: Head,
    body: Option<Content>,
    is_upgrade: bool,
}

/// A body, and whether it turned out to be too large.
struct Content {
    body: Body,
    overrun: Arc<AtomicBool>,
}

impl<T: Targets> Proxy<T> {
    pub(crate) fn new(targets: T, passage: Passage) -> Self {
        Self { targets, passage, upgrades: Upgrades::default(), turnstiles: Turnstiles::wide() }
    }

    fn endpoint(&self, call: &Call) -> Result<Endpoint, Status> {
        let found = self.targets.admin_api(call.name()).ok_or_else(|| call.not_found())?;
        found.map_err(|error| {
            Status::unavailable(format!("the admin API of {} cannot be contacted: {error}", call.name()))
        })
    }

    /// Sends it on; redirects within the same admin API are followed, each with a check of its own.
    async fn send(
        &self,
        call: &Call,
        (endpoint, mut path): (&Endpoint, SubPath),
        errand: Errand,
    ) -> Result<http::Response<Carried>, Status> {
        let Errand { head, mut body, is_upgrade } = errand;
        for _ in 0..=REDIRECTS {
            admit(call, &path, is_upgrade).await?;
            let again = body.is_none() && [Method::GET, Method::HEAD].contains(&head.method);
            let answer = self.ask(endpoint, &path, (head.clone(), body.take())).await?;
            let Some(location) = redirected(&answer) else { return Ok(answer) };
            let next = pointed_to(endpoint, path.place(), &location).filter(|_| again);
            path = next.and_then(|(raw, query)| SubPath::parse(&raw, query.as_deref()).ok()).ok_or_else(
                || Status::unavailable("Restate points to another place, which is not followed"),
            )?;
        }
        Err(Status::unavailable("Restate points from one place to the next"))
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        path: &SubPath,
        (head, body): (Head, Option<Content>),
    ) -> Result<http::Response<Carried>, Status> {
        let overrun = body.as_ref().map(|content| Arc::clone(&content.overrun)).unwrap_or_default();
        let carried = self.passage.carry(endpoint, path.place(), (head, body.map(Content::stream)));
        match tokio::time::timeout(FIRST_BYTE, carried).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) if overrun.load(Ordering::Relaxed) => Err(too_large()),
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => Err(Status::timeout("Restate has not begun to answer", 0)),
        }
    }
}

impl<T: Targets> Connectable for Proxy<T> {
    async fn connect(&self, call: &Call, mut request: Request<Body>) -> Result<Response, Status> {
        let endpoint = self.endpoint(call)?;
        let path = SubPath::of(request.uri(), call.rest())
            .map_err(|error| Status::bad_request(format!("the path below the proxy is refused: {error}")))?;
        if let Some(note) = request.extensions().get::<Note>() {
            note.annotate(AUDITED, format!("{} {}", call.info.verb, path.area()));
        }
        let wish = self.upgrades.wish(&mut request)?;
        let protocol = wish.as_ref().map(|wish| wish.protocol.clone());
        let errand = Errand::of(request, protocol.as_ref())?;
        let turn = self.turnstiles.turn(&polled(&endpoint).key).await?;
        let answer = self.send(call, (&endpoint, path), errand).await?;
        given(answer, wish, turn)
    }
}

/// The second check: the same verb and the same name, on the area. What is upgraded carries writes as well.
async fn admit(call: &Call, path: &SubPath, is_upgrade: bool) -> Result<(), Status> {
    let subresource = Some(format!("{PROXY}/{}", path.area()));
    let info = RequestInfo { subresource, ..call.info.clone() };
    call.may(&info.attributes()).await?;
    if is_upgrade {
        let writes = RequestInfo { verb: "create".to_owned(), ..info };
        call.may(&writes.attributes()).await?;
    }
    Ok(())
}

impl Errand {
    fn of(request: Request<Body>, protocol: Option<&HeaderValue>) -> Result<Self, Status> {
        let (parts, body) = request.into_parts();
        let head = Head { method: parts.method, headers: headers::asked(&parts.headers, protocol) };
        let announced = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > LARGEST_BODY as u64) {
            return Err(too_large());
        }
        let nothing = http_body::Body::is_end_stream(&body) || protocol.is_some();
        let body = (!nothing).then(|| Content::of(body));
        Ok(Self { head, body, is_upgrade: protocol.is_some() })
    }
}

impl Content {
    fn of(body: Body) -> Self {
        Self { body: Body::new(Limited::new(body, LARGEST_BODY)), overrun: Arc::default() }
    }

    fn stream(self) -> impl Stream<Item = Result<Bytes, axum::Error>> + Send + 'static {
        let Self { body, overrun } = self;
        body.into_data_stream().inspect(move |part| {
            if part.as_ref().is_err_and(|error| is_over_the_limit(error)) {
                overrun.store(true, Ordering::Relaxed);
            }
        })
    }
}

fn redirected(answer: &http::Response<Carried>) -> Option<String> {
    let location = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection())?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// The answer as the caller gets it, its body as it comes. The turn lasts as long as either end does.
fn given(mut answer: http::Response<Carried>, wish: Option<Wish>, turn: Turn) -> Result<Response, Status> {
    let mut turn = Some(turn);
    let status = answer.status();
    let mut protocol = None;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let wish = wish.ok_or_else(|| Status::unavailable("Restate upgraded without being asked"))?;
        protocol = Some(wish.protocol.clone());
        wish.join(&mut answer, turn.take())?;
    }
    // To kubectl these would mean that the caller's own credentials are not good.
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
        return Err(Status::unavailable("the admin API wants credentials"));
    }
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(holding(Body::new(body), turn));
    *response.status_mut() = status;
    *response.headers_mut() = headers::answered(&parts.headers, protocol.as_ref());
    Ok(response)
}

fn too_large() -> Status {
    Status::too_large(format!("limit is {LARGEST_BODY}"))
}

/// What the caller may know; the log has the rest (E10).
fn failed(error: &transport::Error) -> Status {
    tracing::debug!(error = error as &dyn std::error::Error, "a proxied request failed");
    match error {
        transport::Error::TimedOut { .. } => Status::timeout(error, 0),
        transport::Error::Unreachable(_) => {
            Status::unavailable("the admin API cannot be reached").retry_after(2)
        }
        _ => Status::unavailable(error.to_string()),
    }
}
