//! Which headers pass, in each direction: what is about the content.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING,
    CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RANGE, RETRY_AFTER, VARY, WARNING,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Credentials are the kubeconfig's; what the browser would add tells nobody anything.
const SENT: [HeaderName; 11] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    RANGE,
];

/// The API server keeps pages of Restate's in a sandbox, since its origin is everybody's. The origin here is this web
/// UI's alone, so that the sandbox stays behind.
const SHOWN: [HeaderName; 13] = [
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    RETRY_AFTER,
    VARY,
    WARNING,
];

const SHARED_WITH: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What is sent to the API server.
pub(super) fn sent(from: &HeaderMap) -> HeaderMap {
    only(from, &SENT)
}

/// What the browser sees.
pub(super) fn shown(from: &HeaderMap) -> HeaderMap {
    let mut headers = only(from, &SHOWN);
    headers.insert(SHARED_WITH, HeaderValue::from_static("same-origin"));
    headers
}

fn only(from: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let listed = from.iter().filter(|(name, _)| names.contains(name));
    listed.map(|(name, value)| (name.clone(), value.clone())).collect()
}
