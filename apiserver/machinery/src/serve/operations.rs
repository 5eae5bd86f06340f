//! The paths that are about the server itself: health (T7), metrics (M6), version (T8).

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use k8s_openapi::apimachinery::pkg::version::Info;
use prometheus_client::registry::Registry;

use super::Verbatim;
use crate::health::{Health, Scope, Selection};
use crate::metrics::exposition;
use crate::status::Status;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn router(health: &Health, registry: Arc<Registry>, version: Info) -> Router {
    let metrics = get(move || async move { ([(CONTENT_TYPE, OPEN_METRICS)], exposition(&registry)) });
    let version = get(move || async move { Json(version) });
    let scopes = [("livez", Scope::Alive), ("readyz", Scope::Ready), ("healthz", Scope::Alive)];
    let router = Router::new().route("/metrics", metrics).route("/version", version);
    scopes.into_iter().fold(router, |router, (path, scope)| {
        let checks = Checks { health: health.clone(), path, scope };
        let own =
            Router::new().route(&format!("/{path}"), get(all)).route(&format!("/{path}/{{name}}"), get(one));
        router.merge(own.with_state(checks))
    })
}

#[derive(Clone)]
struct Checks {
    health: Health,
    path: &'static str,
    scope: Scope,
}

async fn all(State(Checks { health, path, scope }): State<Checks>, RawQuery(query): RawQuery) -> Response {
    let selection = Selection::parse(query.as_deref().unwrap_or_default());
    let report = health.report(scope, &selection);
    if !report.passed() {
        tracing::warn!(path, failed = ?report.reasons(), "health checks fail");
    }
    text(report.passed(), report.text(path, selection.verbose))
}

async fn one(State(Checks { health, path, scope }): State<Checks>, Path(name): Path<String>) -> Response {
    match health.single(scope, &name) {
        None => Status::no_such_path().into_response(),
        Some(Ok(())) => text(true, "ok".to_owned()),
        Some(Err(reason)) => {
            tracing::warn!(path, check = name, reason, "a health check fails");
            text(false, format!("internal server error: {name} failed: reason withheld\n"))
        }
    }
}

fn text(passed: bool, text: String) -> Response {
    let code = if passed { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    let mut response = (code, text).into_response();
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.extensions_mut().insert(Verbatim);
    response
}
