//! What there is: discovery v2 and the documents of old, written once when the API is assembled (S1–S15).
//!
//! Invariant: the same bytes on every replica of a version, whatever the clusters behind it do. It never fails.

mod documents;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha512};

pub(crate) use documents::{aggregated, group, group_list, resource_list};

/// The media type of discovery v2.
pub(crate) const AGGREGATED_TYPE: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Bytes that never change, with their tag.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    bytes: Bytes,
    pub(crate) hash: String,
    media_type: &'static str,
}

impl Document {
    pub(crate) fn new(json: Vec<u8>, media_type: &'static str) -> Self {
        let hash = hex::encode_upper(Sha512::digest(&json));
        Self { bytes: json.into(), hash, media_type }
    }

    /// The document, or 304 for those who have it (S2).
    pub(crate) fn respond(&self, headers: &HeaderMap) -> Response {
        let tag = format!("\"{}\"", self.hash);
        let known = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|given| given.trim().trim_start_matches("W/") == tag || given.trim() == "*");
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut whole = Response::new(Body::from(self.bytes.clone()));
            whole.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
            whole
        };
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}
