//! `OpenAPI` v2 and v3 from the kinds' own schemas, written once when the API is assembled (O1–O10).
//!
//! ```text
//! schemars ─► schemas (v3 components) ─┬─► paths ─► v3
//!                                      └─► v2 (references, nothing that Swagger lacks)
//! ```
//!
//! Invariant: both versions say the same, and the same bytes come from every replica.

mod operation;
mod parameters;
mod paths;
mod schemas;
mod simplify;
mod swagger;

#[cfg(test)]
mod tests;

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use jiff::{Timestamp, ToSpan, fmt::rfc2822::DateTimePrinter, tz::TimeZone};
use serde_json::{Value, json};

use crate::{api::Mount, discovery::Document};
use schemas::Schemas;

/// The documents of one group and version.
pub(crate) struct Documents {
    pub(crate) v2: Document,
    pub(crate) index: Document,
    v3: Document,
}

impl Documents {
    pub(crate) fn of((group, version): (&str, &str), mounts: &[Mount]) -> Self {
        let schemas = Schemas::of((group, version), mounts);
        let v3 = json_document(&v3(&schemas, mounts));
        let url = format!("/openapi/v3/apis/{group}/{version}?hash={}", v3.hash);
        let path = format!("apis/{group}/{version}");
        let index = json!({"paths": {path: {"serverRelativeURL": url}}});
        Self { v2: json_document(&v2(&schemas, mounts)), index: json_document(&index), v3 }
    }

    /// The v3 document. Whoever asks by its hash may keep it for ever; everybody else gets the present one, never a
    /// redirect (O5).
    pub(crate) fn v3(&self, headers: &HeaderMap, hash: Option<&str>) -> Response {
        let mut response = self.v3.respond(headers);
        if hash == Some(self.v3.hash.as_str()) {
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
            if let Some(expires) = in_a_year(Timestamp::now()) {
                headers.insert(header::EXPIRES, expires);
            }
        }
        response
    }
}

fn in_a_year(now: Timestamp) -> Option<HeaderValue> {
    let then = now.to_zoned(TimeZone::UTC).checked_add(1.year()).ok()?;
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&then.timestamp()).ok()?;
    HeaderValue::from_str(&text).ok()
}

fn json_document(document: &Value) -> Document {
    Document::new(document.to_string().into_bytes(), "application/json")
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": "unversioned"})
}

fn v3(schemas: &Schemas, mounts: &[Mount]) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths::v3(mounts, schemas),
        "components": {"schemas": schemas.components()},
    })
}

fn v2(schemas: &Schemas, mounts: &[Mount]) -> Value {
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths::v2(mounts, schemas),
        "definitions": swagger::definitions(schemas.components()),
    })
}
