//! Takes a bearer token out of a request (A8), also where a browser hides it in a WebSocket's subprotocols (A9).
//!
//! Invariant: after `take` no token is left in the headers.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};

const SUBPROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// The token, removed from the headers.
pub(super) fn take(headers: &mut HeaderMap) -> Option<String> {
    let by_subprotocol = is_websocket(headers).then(|| take_subprotocol(headers)).flatten();
    let by_header = headers.remove(AUTHORIZATION).as_ref().and_then(token);
    by_header.or(by_subprotocol)
}

fn token(value: &HeaderValue) -> Option<String> {
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The client must offer another subprotocol as well: ours is never chosen.
fn take_subprotocol(headers: &mut HeaderMap) -> Option<String> {
    let offered: Vec<String> = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|protocol| protocol.trim().to_owned())
        .collect();
    let encoded = offered.iter().find_map(|protocol| protocol.strip_prefix(SUBPROTOCOL))?;
    let token = URL_SAFE_NO_PAD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let others: Vec<&str> =
        offered.iter().map(String::as_str).filter(|protocol| !protocol.starts_with(SUBPROTOCOL)).collect();
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if others.is_empty() {
        return None;
    }
    if let Ok(value) = HeaderValue::from_str(&others.join(", ")) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    token.filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[rstest]
    #[case("Bearer abc", Some("abc"))]
    #[case("bearer   abc ", Some("abc"))]
    #[case("Bearer", None)]
    #[case("Bearer ", None)]
    #[case("Basic abc", None)]
    fn a8_the_header(#[case] value: &str, #[case] expected: Option<&str>) {
        let mut headers = headers(&[("authorization", value)]);
        assert_eq!(take(&mut headers).as_deref(), expected);
        assert!(headers.is_empty(), "the header is gone: {headers:?}");
    }

    #[test]
    fn a9_a_token_among_subprotocols_is_taken_and_the_others_stay() {
        let offered = format!("v5.channel.k8s.io, {SUBPROTOCOL}{}", URL_SAFE_NO_PAD.encode("abc"));
        let mut headers = headers(&[("upgrade", "websocket"), ("sec-websocket-protocol", &offered)]);
        assert_eq!(take(&mut headers).as_deref(), Some("abc"));
        assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], "v5.channel.k8s.io");
    }

    #[test]
    fn a9_a_token_alone_is_no_offer() {
        let offered = format!("{SUBPROTOCOL}{}", URL_SAFE_NO_PAD.encode("abc"));
        let mut headers = headers(&[("upgrade", "websocket"), ("sec-websocket-protocol", &offered)]);
        assert_eq!(take(&mut headers), None);
        assert!(!headers.contains_key(SEC_WEBSOCKET_PROTOCOL));
    }
}
