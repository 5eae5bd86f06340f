//! What kube-apiserver publishes for extension API servers: CAs, names and headers (A1, A2, A3, A7).
//!
//! Invariant: a `Config` is complete or it is not made; nothing is filled in for what is missing.

use std::collections::BTreeMap;

use http::HeaderName;

use crate::tls::trust::{self, Bundle};

/// Namespace of the ConfigMap.
pub const NAMESPACE: &str = "kube-system";
/// Name of the ConfigMap.
pub const NAME: &str = "extension-apiserver-authentication";

const HEADER_CA: &str = "requestheader-client-ca-file";
const CLIENT_CA: &str = "client-ca-file";
const ALLOWED_NAMES: &str = "requestheader-allowed-names";
const USERNAME: &str = "requestheader-username-headers";
const UID: &str = "requestheader-uid-headers";
const GROUP: &str = "requestheader-group-headers";
const EXTRA: &str = "requestheader-extra-headers-prefix";

/// Why the ConfigMap cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// kube-apiserver runs without `--requestheader-client-ca-file` (H12).
    #[error("{HEADER_CA} is missing: the aggregation layer of this cluster is not set up")]
    NoHeaderCa,
    /// A CA bundle is of no use.
    #[error("{key} is no bundle of CAs")]
    Bundle {
        /// The key of the ConfigMap.
        key: &'static str,
        /// What is wrong with it.
        source: trust::Error,
    },
    /// A list is of no use.
    #[error("{key} is no JSON list of strings")]
    List {
        /// The key of the ConfigMap.
        key: &'static str,
        /// What the parser found.
        source: serde_json::Error,
    },
    /// A name is no header's.
    #[error("{key} has a name that is no header's")]
    Header {
        /// The key of the ConfigMap.
        key: &'static str,
        /// What is wrong with it.
        source: http::header::InvalidHeaderName,
    },
}

/// Whom to trust.
#[derive(Debug)]
pub struct Config {
    /// Who may speak for others.
    pub front_proxy: FrontProxy,
    /// Who vouches for callers that come directly, if anybody does.
    pub client_ca: Option<Bundle>,
}

/// The aggregation layer: its certificates and its headers.
#[derive(Debug)]
pub struct FrontProxy {
    /// CAs of the proxy's certificates.
    pub ca: Bundle,
    /// Common names of the proxy's certificates; none means any.
    pub allowed_names: Vec<String>,
    /// Headers with the user's name, in order of preference.
    pub username: Vec<HeaderName>,
    /// Headers with the user's uid.
    pub uid: Vec<HeaderName>,
    /// Headers with groups.
    pub group: Vec<HeaderName>,
    /// Prefixes of headers with extras, in lower case.
    pub extra: Vec<String>,
}

impl Config {
    /// Reads the data of the ConfigMap.
    pub fn parse(data: &BTreeMap<String, String>) -> Result<Self, Error> {
        let header_ca =
            data.get(HEADER_CA).filter(|text| !text.trim().is_empty()).ok_or(Error::NoHeaderCa)?;
        let client_ca = data.get(CLIENT_CA).filter(|text| !text.trim().is_empty());
        let front_proxy = FrontProxy {
            ca: bundle(HEADER_CA, header_ca)?,
            allowed_names: list(data, ALLOWED_NAMES)?,
            username: header_names(data, USERNAME)?,
            uid: header_names(data, UID)?,
            group: header_names(data, GROUP)?,
            extra: list(data, EXTRA)?.into_iter().map(|prefix| prefix.to_ascii_lowercase()).collect(),
        };
        Ok(Self { front_proxy, client_ca: client_ca.map(|text| bundle(CLIENT_CA, text)).transpose()? })
    }

    /// A2: whoever has a client certificate could then speak for anybody.
    pub fn lets_clients_impersonate(&self) -> bool {
        let shared = |ca: &Bundle| self.front_proxy.ca.shares_a_ca_with(ca);
        self.front_proxy.allowed_names.is_empty() && self.client_ca.as_ref().is_some_and(shared)
    }
}

impl FrontProxy {
    /// Whether a certificate with this common name may speak for others (A2).
    pub fn allows(&self, name: &str) -> bool {
        self.allowed_names.is_empty() || self.allowed_names.iter().any(|allowed| allowed == name)
    }
}

fn bundle(key: &'static str, text: &str) -> Result<Bundle, Error> {
    Bundle::from_pem(text).map_err(|source| Error::Bundle { key, source })
}

fn header_names(data: &BTreeMap<String, String>, key: &'static str) -> Result<Vec<HeaderName>, Error> {
    let name = |text: String| text.trim().parse().map_err(|source| Error::Header { key, source });
    list(data, key)?.into_iter().map(name).collect()
}

fn list(data: &BTreeMap<String, String>, key: &'static str) -> Result<Vec<String>, Error> {
    let Some(text) = data.get(key).filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
    serde_json::from_str::<Option<Vec<String>>>(text)
        .map(Option::unwrap_or_default)
        .map_err(|source| Error::List { key, source })
}
