//! Which Restate, where, and with which credentials.
//!
//! Stage in the flow: before any request. Invariant: an [`Endpoint`] has a normal form, so that two manifests that
//! mean the same admin API share one key, and its host was allowed by a [`Policy`] as far as its text tells; what
//! a name resolves to is judged at each connect (`resolve.rs`).

mod policy;
pub(crate) mod resolve;

use std::fmt;
use std::hash::{Hash, Hasher};

use http::{HeaderMap, HeaderName, HeaderValue};
use restate_model::EndpointKey;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub use policy::{Policy, Refusal};

/// One admin API.
#[derive(Clone)]
pub struct Endpoint {
    key: EndpointKey,
    url: Url,
    token: Option<SecretString>,
    headers: HeaderMap,
}

/// Why a text is no usable address of an admin API.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a URL.
    #[error("not a URL")]
    Syntax(#[from] url::ParseError),
    /// Neither http nor https.
    #[error("scheme {0} is neither http nor https")]
    Scheme(String),
    /// User, password, query or fragment in the address.
    #[error("the address of an admin API has no user, password, query or fragment")]
    Superfluous,
    /// The policy on hosts refuses it.
    #[error("the host may not be contacted: {0}")]
    Refused(#[from] Refusal),
    /// A header that cannot be sent.
    #[error("header {name} cannot be sent")]
    Header {
        /// The header's name.
        name: String,
    },
}

impl Endpoint {
    /// The admin API at this address, which may have a path before the admin API's own paths.
    pub fn new(address: &str, policy: &Policy) -> Result<Self, Error> {
        let url = normal(Url::parse(address.trim())?)?;
        policy.judge_host(&url)?;
        Ok(Self { key: EndpointKey::from(url.as_str()), url, token: None, headers: HeaderMap::new() })
    }

    /// The admin API behind a Service, by the cluster's DNS.
    pub fn of_service(service: &ServiceAddress<'_>, policy: &Policy) -> Result<Self, Error> {
        let ServiceAddress { name, namespace, port, path, dns_suffix } = *service;
        let path = path.unwrap_or_default().trim_matches('/');
        Self::new(&format!("http://{name}.{namespace}.svc.{dns_suffix}:{port}/{path}"), policy)
    }

    /// Sends this bearer token with each request.
    #[must_use]
    pub fn with_token(self, token: SecretString) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Sends this header with each request; its value is kept out of logs.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let unusable = || Error::Header { name: name.to_owned() };
        let header = HeaderName::try_from(name).map_err(|_| unusable())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| unusable())?;
        value.set_sensitive(true);
        self.headers.insert(header, value);
        Ok(self)
    }

    /// Which Restate this is.
    pub fn key(&self) -> &EndpointKey {
        &self.key
    }

    /// Its address, with a slash at the end of its path.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Headers that each request carries.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The bearer token, where there is one.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(ExposeSecret::expose_secret)
    }
}

/// A Service that leads to an admin API.
#[derive(Clone, Copy, Debug)]
pub struct ServiceAddress<'a> {
    /// Name of the Service.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Port of the admin API.
    pub port: u16,
    /// Path before the admin API's own.
    pub path: Option<&'a str>,
    /// The cluster's domain, as `cluster.local`.
    pub dns_suffix: &'a str,
}

/// Endpoints are the same where the place and the credentials are: whoever brings other credentials gets answers
/// of his own.
impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.token() == other.token() && self.headers == other.headers
    }
}

impl Eq for Endpoint {}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("key", &self.key.as_str()).finish_non_exhaustive()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

fn normal(mut url: Url) -> Result<Url, Error> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::Scheme(url.scheme().to_owned()));
    }
    let credentials = !url.username().is_empty() || url.password().is_some();
    if credentials || url.query().is_some() || url.fragment().is_some() {
        return Err(Error::Superfluous);
    }
    if let Some(host) = url.domain().and_then(|host| host.strip_suffix('.')).map(str::to_owned) {
        url.set_host(Some(&host))?;
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn key(address: &str) -> String {
        Endpoint::new(address, &Policy::default()).map(|endpoint| endpoint.key().to_string()).unwrap()
    }

    #[rstest]
    #[case("http://restate.shop:9070", "http://restate.shop:9070/")]
    #[case("HTTP://Restate.Shop.:9070//", "http://restate.shop:9070/")]
    #[case("http://restate.shop:80/admin", "http://restate.shop/admin/")]
    #[case(" https://restate.shop:443/admin/ ", "https://restate.shop/admin/")]
    fn the_same_admin_api_has_one_key(#[case] address: &str, #[case] expected: &str) {
        assert_eq!(key(address), expected);
    }

    #[rstest]
    #[case("restate:9070/x y", "scheme")]
    #[case("ftp://restate/", "scheme")]
    #[case("http://user@restate/", "no user")]
    #[case("http://restate/?a=b", "no user")]
    #[case("http://restate/#x", "no user")]
    #[case("//restate", "not a URL")]
    fn what_is_no_address_is_refused(#[case] address: &str, #[case] reason: &str) {
        let error = Endpoint::new(address, &Policy::default()).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }

    #[test]
    fn a_service_is_found_by_the_clusters_dns() {
        let service = ServiceAddress {
            name: "restate",
            namespace: "prod",
            port: 9070,
            path: Some("/admin"),
            dns_suffix: "cluster.local",
        };
        let endpoint = Endpoint::of_service(&service, &Policy::default()).unwrap();
        assert_eq!(endpoint.url().as_str(), "http://restate.prod.svc.cluster.local:9070/admin/");
    }

    #[test]
    fn credentials_separate_endpoints_and_stay_out_of_texts() {
        let plain = Endpoint::new("http://restate:9070", &Policy::default()).unwrap();
        let with = plain.clone().with_token("hush".into()).with_header("x-key", "hush").unwrap();
        assert_ne!(plain, with);
        assert_eq!(plain.key(), with.key());
        assert!(!format!("{with:?} {with}").contains("hush"));
    }

    proptest! {
        #[test]
        fn normal_form_is_stable(host in "[a-zA-Z][a-zA-Z0-9-]{0,9}(\\.[a-z]{1,5})?\\.?", port in 1u16.., path in "(/[a-z]{0,4}){0,3}") {
            let once = key(&format!("http://{host}:{port}{path}"));
            prop_assert_eq!(key(&once), once);
        }
    }
}
