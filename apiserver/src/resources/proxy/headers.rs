//! Which headers pass, in each direction. Lists of what passes: whatever is not named here stays behind.
//!
//! Invariant: nothing that tells who asks reaches Restate (A13), and nothing that Restate says about connections,
//! cookies, credentials or other places reaches the caller (P8, P11).

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONNECTION,
    CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, EXPIRES, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// About the content that is asked for or sent.
const ASKED: [HeaderName; 13] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    RANGE,
];

/// About the content that is answered.
const ANSWERED: [HeaderName; 14] = [
    ACCEPT_RANGES,
    ALLOW,
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
];

/// What two ends of an upgraded connection agree on.
const UPGRADED: [HeaderName; 5] = [
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
];

/// A subprotocol that is a bearer token (A9).
const TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// A page of Restate's must not act with the rights that the browser has where the API server is.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");

/// The one encoding that kube-apiserver reads: it looks for links in every page that passes it, and breaks off the
/// connection of one that it cannot read.
const READABLE: HeaderValue = HeaderValue::from_static("gzip");

/// What is sent to Restate; `protocol` is what the caller wants to upgrade to.
pub(super) fn asked(from: &HeaderMap, protocol: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = only(from, &ASKED);
    if headers.remove(ACCEPT_ENCODING).is_some_and(|value| takes_gzip(&value)) {
        headers.insert(ACCEPT_ENCODING, READABLE);
    }
    with_upgrade(headers, from, protocol)
}

fn takes_gzip(value: &HeaderValue) -> bool {
    let names = value.to_str().unwrap_or_default().split(',').map(str::trim);
    names.into_iter().any(|name| name.eq_ignore_ascii_case("gzip"))
}

/// What is sent to the caller; `protocol` is what was upgraded to.
pub(super) fn answered(from: &HeaderMap, protocol: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = with_upgrade(only(from, &ANSWERED), from, protocol);
    let of = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let plain = ["application/json", "application/x-ndjson", "text/plain", "text/css", "font/", "image/png"];
    if !plain.iter().any(|begin| of.starts_with(begin)) {
        headers.insert(CONTENT_SECURITY_POLICY, SANDBOX);
    }
    headers
}

fn only(from: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let listed = from.iter().filter(|(name, _)| names.contains(name));
    listed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn with_upgrade(mut headers: HeaderMap, from: &HeaderMap, protocol: Option<&HeaderValue>) -> HeaderMap {
    let Some(protocol) = protocol else { return headers };
    headers.extend(only(from, &UPGRADED));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol.clone());
    let offered: Vec<_> = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(without_token).collect();
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    headers.extend(offered.into_iter().map(|value| (SEC_WEBSOCKET_PROTOCOL, value)));
    headers
}

fn without_token(value: &HeaderValue) -> Option<HeaderValue> {
    let offers = value.to_str().ok()?.split(',').map(str::trim);
    let left: Vec<&str> = offers.filter(|offer| !offer.is_empty() && !offer.starts_with(TOKEN)).collect();
    (!left.is_empty()).then(|| HeaderValue::from_str(&left.join(", ")).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[rstest]
    #[case("authorization")]
    #[case("cookie")]
    #[case("x-remote-user")]
    #[case("x-forwarded-for")]
    #[case("impersonate-user")]
    #[case("forwarded")]
    #[case("host")]
    #[case("connection")]
    #[case("upgrade")]
    #[case("te")]
    #[case("transfer-encoding")]
    #[case("proxy-authorization")]
    #[case("origin")]
    #[case("referer")]
    #[case("user-agent")]
    #[case("audit-id")]
    #[case("x-whatever")]
    fn a13_nothing_that_tells_who_asks_passes(#[case] name: &'static str) {
        let sent = asked(&map(&[(name, "x"), ("accept", "application/json")]), None);
        assert_eq!(sent, map(&[("accept", "application/json")]));
    }

    #[rstest]
    #[case("gzip, deflate, br, zstd", Some("gzip"))]
    #[case("br, zstd", None)]
    #[case("gzip;q=0", None)]
    #[case("identity", None)]
    fn pages_come_in_an_encoding_that_kube_apiserver_reads(
        #[case] asks: &'static str,
        #[case] expected: Option<&str>,
    ) {
        let sent = asked(&map(&[("accept-encoding", asks)]), None);
        assert_eq!(sent.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()), expected);
    }

    #[rstest]
    #[case("location")]
    #[case("set-cookie")]
    #[case("www-authenticate")]
    #[case("connection")]
    #[case("keep-alive")]
    #[case("audit-id")]
    #[case("access-control-allow-origin")]
    #[case("alt-svc")]
    fn p8_p11_nothing_about_other_places_comes_back(#[case] name: &'static str) {
        let given = answered(&map(&[(name, "x"), ("content-type", "application/json")]), None);
        assert_eq!(given, map(&[("content-type", "application/json")]));
    }

    #[rstest]
    #[case("text/html; charset=utf-8", true)]
    #[case("image/svg+xml", true)]
    #[case("text/javascript", true)]
    #[case("application/json", false)]
    #[case("text/plain", false)]
    fn a_page_is_put_into_a_sandbox(#[case] kind: &'static str, #[case] boxed: bool) {
        let given = answered(&map(&[("content-type", kind)]), None);
        assert_eq!(given.get(CONTENT_SECURITY_POLICY).is_some(), boxed);
        assert!(
            answered(&HeaderMap::new(), None).contains_key(CONTENT_SECURITY_POLICY),
            "what it is nobody said"
        );
    }

    #[test]
    fn a9_a_token_among_the_subprotocols_stays_behind() {
        let offers = "chat, base64url.bearer.authorization.k8s.io.aHVzaA, v2";
        let headers = map(&[("sec-websocket-protocol", offers), ("sec-websocket-key", "k")]);
        let protocol = HeaderValue::from_static("websocket");
        let sent = asked(&headers, Some(&protocol));
        assert_eq!(sent[SEC_WEBSOCKET_PROTOCOL], "chat, v2");
        assert_eq!(
            (sent[UPGRADE].as_bytes(), sent[CONNECTION].as_bytes()),
            (&b"websocket"[..], &b"upgrade"[..])
        );
        let alone = map(&[("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.aHVzaA")]);
        assert!(!asked(&alone, Some(&protocol)).contains_key(SEC_WEBSOCKET_PROTOCOL));
        assert!(asked(&headers, None).is_empty(), "without an upgrade none of it means anything");
    }
}
