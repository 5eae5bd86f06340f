//! How long the Lease is surely ours: a layer around the client of the lease manager that listens to what the API
//! server says about the Lease, and makes every write to it a compare-and-swap.
//!
//! Invariants: the time left counts from the moment before a renewal was *sent*, on the monotonic clock, and only
//! where the API server's answer names us as the holder. A write that rests on an older state of the Lease than
//! the newest one seen is refused by the API server. Not for electing anybody: the lease manager does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use k8s_openapi::api::coordination::v1::Lease as Record;
use kube::client::Body;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

/// What is known about the Lease.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    identity: String,
    /// Validity of a renewal, less what clocks may differ by.
    validity: Duration,
    seen: Arc<Mutex<Seen>>,
    until: Arc<watch::Sender<Option<Instant>>>,
}

#[derive(Debug, Default)]
struct Seen {
    resource_version: Option<String>,
    renew_time: Option<jiff::Timestamp>,
}

impl Fence {
    /// Nothing is ours yet. `skew` is how much the clocks of two candidates may differ.
    pub(crate) fn new(identity: &str, duration: Duration, skew: Duration) -> Self {
        Self {
            identity: identity.to_owned(),
            validity: duration.saturating_sub(skew),
            seen: Arc::default(),
            until: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Until when the Lease is surely ours, as it changes.
    pub(crate) fn until(&self) -> watch::Receiver<Option<Instant>> {
        self.until.subscribe()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same write, with the version of the Lease that it rests on.
    fn guard(&self, request: Request<Body>) -> Request<Body> {
        let (head, body) = request.into_parts();
        // kube keeps the bodies of its writes in memory: they are there at once.
        let Some(Ok(body)) = body.collect().now_or_never() else {
            return Request::from_parts(head, Body::empty());
        };
        let body = body.to_bytes();
        let guarded = self.guarded(&body).unwrap_or_else(|| body.to_vec());
        Request::from_parts(head, Body::from(guarded))
    }

    fn guarded(&self, body: &[u8]) -> Option<Vec<u8>> {
        let version = self.seen().resource_version.clone()?;
        let mut patch: Value = serde_json::from_slice(body).ok()?;
        let empty = || Value::Object(serde_json::Map::default());
        patch.as_object_mut()?.entry("metadata").or_insert_with(empty)["resourceVersion"] = version.into();
        serde_json::to_vec(&patch).ok()
    }

    fn learn(&self, record: &Record, renewal_sent: Option<Instant>) {
        let spec = record.spec.clone().unwrap_or_default();
        let renew_time = spec.renew_time.map(|time| time.0);
        let mut seen = self.seen();
        let renewed = renew_time.is_some() && renew_time != seen.renew_time;
        *seen = Seen { resource_version: record.metadata.resource_version.clone(), renew_time };
        drop(seen);
        let ours = spec.holder_identity.as_deref() == Some(self.identity.as_str());
        match renewal_sent.filter(|_| renewed) {
            Some(sent) if ours => drop(self.until.send_replace(Some(sent + self.validity))),
            _ if !ours => drop(self.until.send_replace(None)),
            Some(_) | None => {}
        }
    }
}

impl<S> Layer<S> for Fence {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Fenced { inner, fence: self.clone() }
    }
}

/// The client of the lease manager with its listener.
#[derive(Clone, Debug)]
pub(crate) struct Fenced<S> {
    inner: S,
    fence: Fence,
}

impl<S, Out> Service<Request<Body>> for Fenced<S>
where
    S: Service<Request<Body>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    Out: http_body::Body + Send + 'static,
    Out::Data: Send,
    Out::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_write = request.method() == Method::PATCH;
        let request = if is_write { self.fence.guard(request) } else { request };
        let sent = is_write.then(Instant::now);
        Box::pin(listen(self.fence.clone(), sent, self.inner.call(request)))
    }
}

async fn listen<Out, E>(
    fence: Fence,
    sent: Option<Instant>,
    answer: impl Future<Output = Result<Response<Out>, E>>,
) -> Result<Response<Body>, BoxError>
where
    Out: http_body::Body,
    Out::Error: Into<BoxError>,
    E: Into<BoxError>,
{
    let (head, answer) = answer.await.map_err(Into::into)?.into_parts();
    let answer = answer.collect().await.map_err(Into::into)?.to_bytes();
    if head.status.is_success()
        && let Ok(record) = serde_json::from_slice::<Record>(&answer)
    {
        fence.learn(&record, sent);
    }
    Ok(Response::from_parts(head, Body::from(answer)))
}

#[cfg(test)]
mod tests;
