//! Whole requests of somebody else, carried to an admin API and back as streams.
//!
//! Stage in the flow: under the proxy of the aggregated API. Invariant: the host is the endpoint's, whatever the path
//! says; nothing is followed, decoded, repeated or kept. Not for questions of our own: those are typed, whole and
//! bounded ([`crate::admin`]).

use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, Method, Response};
use reqwest::{Client, redirect};
use url::Url;

use super::{CONNECT, Error, Options, tls};
use crate::endpoint::Endpoint;
use crate::endpoint::resolve::Guarded;

/// The body of an answer, as it comes.
pub use reqwest::Body as Carried;

/// Carries requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Passage {
    client: Client,
}

/// A place below an admin API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Decoded segments of the path; an empty one at the end stands for a slash there.
    pub segments: Vec<String>,
    /// The query as it is.
    pub query: Option<String>,
}

/// What is carried.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// All headers; the endpoint's own come on top.
    pub headers: HeaderMap,
}

impl Passage {
    /// A client under this policy. It speaks HTTP/1.1 alone, which can be upgraded.
    pub fn new(options: &Options) -> Result<Self, tls::Error> {
        let Options { policy, extra_ca } = options;
        let client = Client::builder()
            .tls_backend_preconfigured(tls::config(extra_ca)?)
            .http1_only()
            .dns_resolver(Guarded(policy.clone()))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT)
            .build()
            .map_err(tls::Error::Client)?;
        Ok(Self { client })
    }

    /// Sends a request and gives the answer as soon as its head has come, whatever its status. The answer to an
    /// upgrade can be upgraded by `hyper`.
    pub async fn carry<S, E>(
        &self,
        endpoint: &Endpoint,
        place: &Place,
        (head, body): (Head, Option<S>),
    ) -> Result<Response<Carried>, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let request = self.client.request(head.method, address(endpoint, place)).headers(head.headers);
        let request = request.headers(endpoint.headers().clone());
        let request = match endpoint.token() {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let request = match body {
            Some(body) => request.body(Carried::wrap_stream(body)),
            None => request,
        };
        request.send().await.map(Response::from).map_err(Error::sending)
    }
}

/// Where a place is. Segments are encoded again, so that none of them names another place.
fn address(endpoint: &Endpoint, place: &Place) -> Url {
    let mut url = endpoint.url().clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(&place.segments);
        if place.segments.is_empty() {
            path.push("");
        }
    }
    url.set_query(place.query.as_deref());
    url
}

/// Where an answer points to, as raw path and query below the admin API; `None` where that is another place.
pub fn pointed_to(endpoint: &Endpoint, from: &Place, location: &str) -> Option<(String, Option<String>)> {
    let target = address(endpoint, from).join(location).ok()?;
    let base = endpoint.url();
    let same = (target.scheme(), target.host(), target.port_or_known_default())
        == (base.scheme(), base.host(), base.port_or_known_default());
    let anonymous = target.username().is_empty() && target.password().is_none();
    let below = target.path().strip_prefix(base.path())?;
    (same && anonymous).then(|| (below.to_owned(), target.query().map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::endpoint::Policy;

    fn endpoint(address: &str) -> Endpoint {
        Endpoint::new(address, &Policy::default()).unwrap()
    }

    fn place(segments: &[&str], query: Option<&str>) -> Place {
        Place {
            segments: segments.iter().map(|&segment| segment.to_owned()).collect(),
            query: query.map(str::to_owned),
        }
    }

    #[rstest]
    #[case(place(&[], None), "http://restate:9070/admin/")]
    #[case(place(&["services"], Some("a=b&c")), "http://restate:9070/admin/services?a=b&c")]
    #[case(place(&["ui", ""], None), "http://restate:9070/admin/ui/")]
    #[case(place(&["a/b?c#d", "é"], None), "http://restate:9070/admin/a%2Fb%3Fc%23d/%C3%A9")]
    fn a_place_is_below_the_endpoint(#[case] place: Place, #[case] expected: &str) {
        assert_eq!(address(&endpoint("http://restate:9070/admin"), &place).as_str(), expected);
    }

    #[rstest]
    #[case("/admin/ui/", Some("ui/"))]
    #[case("../x", Some("x"))]
    #[case("../../x", None)]
    #[case("x", Some("services/x"))]
    #[case("http://restate:9070/admin/ui/", Some("ui/"))]
    #[case("https://restate:9070/admin/ui/", None)]
    #[case("http://restate:9071/admin/ui/", None)]
    #[case("//evil.example/admin/ui/", None)]
    #[case("http://me@restate:9070/admin/ui/", None)]
    #[case("/other", None)]
    #[case("javascript:alert(1)", None)]
    fn a_redirect_is_followed_nowhere_else(#[case] location: &str, #[case] expected: Option<&str>) {
        let endpoint = endpoint("http://restate:9070/admin");
        let from = place(&["services", "y"], None);
        let found = pointed_to(&endpoint, &from, location).map(|(path, _)| path);
        assert_eq!(found.as_deref(), expected);
    }

    proptest! {
        /// C13: hosts in paths change nothing.
        #[test]
        fn no_path_names_another_host(segments in proptest::collection::vec(".{1,12}", 0..5), query in proptest::option::of(".{0,12}")) {
            let base = endpoint("http://restate:9070");
            let url = address(&base, &Place { segments, query });
            prop_assert_eq!(url.origin(), base.url().origin());
            prop_assert!(url.username().is_empty());
        }
    }
}
