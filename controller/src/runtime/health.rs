//! What the kubelet and people ask: is the process alive, is it ready, what is it waiting for, its metrics.
//! Invariant: answers come from memory; nothing here asks anybody.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;

/// What the process still waits for before it is ready.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness(Arc<watch::Sender<BTreeSet<String>>>);

impl Readiness {
    /// Not ready until [`Readiness::arrived`] is told of `what`.
    pub(crate) fn awaits(&self, what: &str) {
        self.0.send_if_modified(|pending| pending.insert(what.to_owned()));
    }

    /// `what` is there.
    pub(crate) fn arrived(&self, what: &str) {
        self.0.send_if_modified(|pending| pending.remove(what));
    }

    /// What is still awaited.
    pub(crate) fn pending(&self) -> Vec<String> {
        self.0.borrow().iter().cloned().collect()
    }

    /// Waits until something is awaited.
    pub(crate) async fn incomplete(&self) {
        drop(self.0.subscribe().wait_for(|pending| !pending.is_empty()).await);
    }

    /// Waits until nothing is awaited any more.
    pub(crate) async fn complete(&self) {
        // The sender is ours: it cannot be gone.
        drop(self.0.subscribe().wait_for(BTreeSet::is_empty).await);
    }
}

/// Answers health checks and gives metrics until the token is cancelled.
pub(crate) async fn serve(
    address: SocketAddr,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    tracing::info!(%address, "health checks and metrics are served");
    axum::serve(listener, router(readiness, metrics)).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn router(readiness: Readiness, metrics: Arc<Metrics>) -> Router {
    let ready = get(ready).with_state(readiness);
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/healthz", get(async || "ok"))
        .route("/health", get(async || "ok"))
        .route("/readyz", ready.clone())
        .route("/ready", ready)
        .route("/metrics", get(exposition).with_state(metrics))
}

#[derive(Serialize)]
struct Pending {
    pending: Vec<String>,
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let pending = readiness.pending();
    let code = if pending.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(Pending { pending })).into_response()
}

async fn exposition(State(metrics): State<Arc<Metrics>>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(readiness: &Readiness, path: &str) -> (StatusCode, String) {
        let router = router(readiness.clone(), Arc::default());
        let request = axum::http::Request::get(path).body(Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing() {
        let readiness = Readiness::default();
        readiness.awaits("restateclusters.restate.dev");
        readiness.awaits("pods");
        readiness.arrived("pods");
        let (status, body) = ask(&readiness, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, r#"{"pending":["restateclusters.restate.dev"]}"#);
        assert_eq!(ask(&readiness, "/livez").await.0, StatusCode::OK, "waiting is no reason to be restarted");

        readiness.arrived("restateclusters.restate.dev");
        assert_eq!(ask(&readiness, "/readyz").await, (StatusCode::OK, r#"{"pending":[]}"#.to_owned()));
    }

    #[tokio::test]
    async fn metrics_are_given_as_open_metrics() {
        let (status, body) = ask(&Readiness::default(), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.ends_with("# EOF\n"), "{body}");
    }
}
