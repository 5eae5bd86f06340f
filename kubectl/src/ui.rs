//! Restate's web UI on this machine: `/` here is the proxy subresource of one RestateCluster there.
//!
//! ```text
//! browser ─► guard (this machine, this page) ─► path below the proxy ─► API server with the caller's kubeconfig
//! ```
//!
//! Invariants: no request leaves the proxy of this one cluster, and none is sent twice; no page of another origin can
//! ask anything, though every request carries the caller's rights.

mod guard;
mod headers;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use http_body_util::BodyExt;
use kube::client::Body as KubeBody;
use kube::{Client, Config};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// As large as an API server takes.
const LARGEST_BODY: usize = 3 * 1024 * 1024;

/// One web UI.
#[derive(Clone)]
pub(crate) struct App {
    client: Client,
    base: Arc<str>,
    port: u16,
}

impl App {
    /// The web UI of a RestateCluster, to be served at this port.
    pub(crate) fn new(mut config: Config, cluster: &str, port: u16) -> anyhow::Result<Self> {
        // kube would send writes again, too, after an answer that may come of their having been done.
        config.default_retry = false;
        let client = Client::try_from(config)?;
        let cluster = utf8_percent_encode(cluster, NON_ALPHANUMERIC).to_string().replace("%2D", "-");
        let base = format!("/apis/control.restate.dev/v1alpha1/restateclusters/{cluster}/proxy");
        Ok(Self { client, base: base.into(), port })
    }

    /// Fails in the API server's own words where the web UI could not be shown.
    pub(crate) async fn check(&self) -> anyhow::Result<()> {
        let request = http::Request::get(format!("{}/ui/", self.base)).body(KubeBody::empty())?;
        let answer = self.client.send(request).await.context("the API server does not answer")?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let body = answer.into_body().collect_bytes().await.unwrap_or_default();
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        match said["message"].as_str() {
            Some(message) => bail!("{message}"),
            None => bail!("the API server answered {status}"),
        }
    }

    /// What is served here.
    pub(crate) fn router(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }

    async fn forward(&self, request: Request) -> anyhow::Result<Response> {
        let (parts, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY).await else {
            return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response());
        };
        let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let uri = format!("{}{}{query}", self.base, parts.uri.path());
        let mut request =
            http::Request::builder().method(parts.method).uri(uri).body(KubeBody::from(body))?;
        *request.headers_mut() = headers::sent(&parts.headers);
        let (parts, body) = self.client.send(request).await?.into_parts();
        let mut response = Response::new(Body::new(body.map_err(axum::Error::new)));
        *response.status_mut() = parts.status;
        *response.headers_mut() = headers::shown(&parts.headers);
        Ok(response)
    }
}

async fn answer(State(app): State<App>, request: Request) -> Response {
    if let Err(refusal) = guard::judge(&request, app.port) {
        return (StatusCode::FORBIDDEN, refusal.to_string()).into_response();
    }
    if matches!(request.uri().path(), "/" | "/ui") {
        return Redirect::temporary("/ui/").into_response();
    }
    app.forward(request).await.unwrap_or_else(|error| {
        (StatusCode::BAD_GATEWAY, format!("the API server does not answer: {error:#}")).into_response()
    })
}

#[cfg(test)]
mod tests;
