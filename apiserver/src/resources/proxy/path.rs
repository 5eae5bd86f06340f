//! The path below the proxy: what is sent on, and what the second check is asked about.
//!
//! Invariant: what was authorized is what is sent. A path is taken apart once; whatever could be read in two ways
//! (empty or dotted segments, encoded slashes, hosts) is refused, and what is left is encoded anew.

use http::Uri;
use percent_encoding::percent_decode_str;
use restate_apiservice::proxy::area;
use restate_client::transport::Place;

/// Restate's paths are short; the authorizer's questions stay small.
const LONGEST: usize = 4096;

/// A path below the proxy, in one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubPath {
    place: Place,
}

/// Why a path is not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// Too long.
    #[error("it has more than {LONGEST} bytes")]
    TooLong,
    /// `//`.
    #[error("it has an empty segment")]
    Empty,
    /// `.` or `..`.
    #[error("it has a segment of dots")]
    Dots,
    /// A slash that is none, or is one, as the reader likes.
    #[error("it has an encoded slash or a backslash")]
    Slash,
    /// Not text.
    #[error("it is no readable text")]
    Unreadable,
    /// `http:`, `user@host`, `name:port`.
    #[error("it begins with a host; where Restate is, the RestateCluster says")]
    Host,
}

impl SubPath {
    /// The path of a request; `rest` is its part below the proxy.
    pub(super) fn of(uri: &Uri, rest: &str) -> Result<Self, Error> {
        refuse_slashes(uri.path())?;
        Self::parse(rest, uri.query())
    }

    /// Reads a raw path and a raw query.
    pub(super) fn parse(raw: &str, query: Option<&str>) -> Result<Self, Error> {
        if raw.len() > LONGEST {
            return Err(Error::TooLong);
        }
        refuse_slashes(raw)?;
        let parts: Vec<&str> = if raw.is_empty() { Vec::new() } else { raw.split('/').collect() };
        let last = parts.len().saturating_sub(1);
        let read = |(at, part): (usize, &&str)| segment(part, (at > 0 && at == last, at == 0));
        let segments = parts.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { place: Place { segments, query: query.map(str::to_owned) } })
    }

    /// Where it leads.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// What roles call it.
    pub(super) fn area(&self) -> String {
        let segments: Vec<&str> = self.place.segments.iter().map(String::as_str).collect();
        let named = segments.strip_suffix(&[""]).unwrap_or(&segments);
        area(named)
    }
}

fn refuse_slashes(raw: &str) -> Result<(), Error> {
    let raw = raw.to_ascii_lowercase();
    if raw.contains("%2f") || raw.contains("%5c") || raw.contains('\\') { Err(Error::Slash) } else { Ok(()) }
}

fn segment(raw: &str, (may_be_empty, is_first): (bool, bool)) -> Result<String, Error> {
    let text = percent_decode_str(raw).decode_utf8().map_err(|_| Error::Unreadable)?;
    match text.as_ref() {
        "" if may_be_empty => Ok(String::new()),
        "" => Err(Error::Empty),
        "." | ".." => Err(Error::Dots),
        text if text.contains(char::is_control) => Err(Error::Unreadable),
        // Decoded once more, it could be any of the above.
        text if text.contains('%') => Err(Error::Unreadable),
        text if is_first && text.contains([':', '@']) => Err(Error::Host),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", &[], "ui")]
    #[case("services", &["services"], "services")]
    #[case("services/greeter/", &["services", "greeter", ""], "services")]
    #[case("%64eployments/dp_1", &["deployments", "dp_1"], "deployments")]
    #[case("v3/deployments/dp_1", &["v3", "deployments", "dp_1"], "deployments")]
    #[case("ui/assets/a%20b.js", &["ui", "assets", "a b.js"], "ui")]
    fn a_path_is_read_once(#[case] raw: &str, #[case] segments: &[&str], #[case] area: &str) {
        let path = SubPath::parse(raw, Some("a=b")).unwrap();
        assert_eq!(path.place().segments, segments);
        assert_eq!(path.place().query.as_deref(), Some("a=b"));
        assert_eq!(path.area(), area);
    }

    /// C13: hosts in paths, and what could be read in two ways.
    #[rstest]
    #[case("ui//x", Error::Empty)]
    #[case("/services", Error::Empty)]
    #[case("services//", Error::Empty)]
    #[case("services/../deployments", Error::Dots)]
    #[case("services/%2e%2E/deployments", Error::Dots)]
    #[case("./services", Error::Dots)]
    #[case("services%2f..", Error::Slash)]
    #[case("services%5Cx", Error::Slash)]
    #[case("services\\x", Error::Slash)]
    #[case("services/%252e%252e/x", Error::Unreadable)]
    #[case("services/%00", Error::Unreadable)]
    #[case("services/%ff", Error::Unreadable)]
    #[case("http:/x", Error::Host)]
    #[case("evil.example:80/x", Error::Host)]
    #[case("me@evil.example/x", Error::Host)]
    #[case(&"x".repeat(5000), Error::TooLong)]
    fn what_can_be_read_in_two_ways_is_refused(#[case] raw: &str, #[case] expected: Error) {
        assert_eq!(SubPath::parse(raw, None).unwrap_err(), expected);
    }

    #[test]
    fn a_slash_that_is_hidden_before_the_proxy_is_refused() {
        let uri: Uri = "/apis/g/v1/things/a%2Fproxy/services".parse().unwrap();
        assert_eq!(SubPath::of(&uri, "services").unwrap_err(), Error::Slash);
    }

    proptest! {
        /// What the second check was asked about is what Restate's router will see.
        #[test]
        fn encoding_changes_no_right(letters in "[a-z]{1,10}", id in "[a-z_]{1,8}", at in 0_usize..10) {
            let plain = format!("{letters}/{id}");
            let at = at.min(letters.len() - 1);
            let encoded = format!("{}%{:02x}{}/{id}", &letters[..at], letters.as_bytes()[at], &letters[at + 1..]);
            let (plain, encoded) = (SubPath::parse(&plain, None).unwrap(), SubPath::parse(&encoded, None).unwrap());
            prop_assert_eq!(plain.area(), encoded.area());
            prop_assert_eq!(plain.place(), encoded.place());
        }

        #[test]
        fn no_path_panics_or_keeps_dots(raw in ".{0,40}") {
            if let Ok(path) = SubPath::parse(&raw, None) {
                prop_assert!(!path.place().segments.iter().any(|segment| segment == ".."));
            }
        }
    }
}
