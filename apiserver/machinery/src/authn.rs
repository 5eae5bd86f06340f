//! Who is this? In the order of A10: front proxy's headers, client certificate, bearer token, nobody.
//!
//! Invariant: a header counts as identity only where the same connection proved the key of a certificate that the
//! header CA vouches for at this moment, under an allowed name (A1, A2). Headers that carry identity are gone when the
//! request goes on (A13). A credential that fails is never "nobody": the answer is 401, whatever else is missing.

mod bearer;
pub mod config;
mod headers;
mod impersonation;
mod live;
mod token;

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use jiff::Timestamp;
use kube::Client;

pub use config::Config;
pub use impersonation::{Error as ImpersonationError, Impersonation};
pub(crate) use live::chain as live_chain;
pub use live::{LiveConfig, watch};

use crate::delegated;
use crate::metrics::Metrics;
use crate::tls::peer::{Chain, PeerCertificates};
use crate::tls::trust::{self, Leaf};
use crate::user::User;
use config::FrontProxy;
use token::Tokens;

/// Key of the extra that names the certificate (A7).
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Why a credential does not count. All of them are 401 for the caller.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The configuration of the cluster has not been read yet.
    #[error("the authentication configuration has not been read yet")]
    NotConfigured,
    /// No CA vouches for the client certificate.
    #[error("no CA vouches for the client certificate")]
    Certificate {
        /// What the verifier found.
        source: Arc<trust::Error>,
    },
    /// The certificate is the header CA's, but its common name is not allowed (A2).
    #[error("the common name {name:?} is not among the allowed names of the front proxy")]
    Name {
        /// The name.
        name: String,
    },
    /// A header with identity is no text.
    #[error("the header {name} is no text")]
    Header {
        /// The header.
        name: String,
    },
    /// kube-apiserver does not know the token.
    #[error("invalid bearer token")]
    Token,
    /// kube-apiserver could not be asked about the token.
    #[error("failed to review the token")]
    Review {
        /// What went wrong.
        source: Arc<delegated::Error>,
    },
}

/// Finds out who sent a request. Clones share configuration and memory.
#[derive(Clone)]
pub struct Authenticator {
    config: Arc<LiveConfig>,
    tokens: Tokens,
    metrics: Metrics,
}

impl Authenticator {
    /// Trusts what `config` holds at the moment of each request; asks about tokens through `client`.
    pub fn new(config: Arc<LiveConfig>, client: Client, metrics: Metrics) -> Self {
        Self { config, tokens: Tokens::new(client, metrics.clone()), metrics }
    }

    /// Demands that tokens are meant for one of these audiences (A8). Without, those of kube-apiserver are accepted.
    #[must_use]
    pub fn for_audiences(mut self, audiences: Vec<String>) -> Self {
        self.tokens = self.tokens.for_audiences(audiences);
        self
    }

    /// The caller. The headers with identity are removed from the request, whatever the outcome.
    pub async fn authenticate(&self, request: &mut Parts, now: Timestamp) -> Result<User, Error> {
        let config = self.config.current();
        let user = self.identify(request, config.as_deref(), now).await;
        headers::strip(&mut request.headers, config.as_deref());
        user
    }

    /// Whether the front proxy passes the requests of this connection on. It puts headers of its own into the answers
    /// (P11).
    pub fn is_front_proxy(&self, extensions: &http::Extensions, now: Timestamp) -> bool {
        let chain = extensions.get::<PeerCertificates>().and_then(PeerCertificates::chain);
        let config = self.config.current();
        chain
            .zip(config.as_deref())
            .is_some_and(|(chain, config)| front_proxy_leaf(&config.front_proxy, chain, now).is_ok())
    }

    /// The first authenticator that knows the caller counts; if none does, the first that objected.
    async fn identify(
        &self,
        request: &mut Parts,
        config: Option<&Config>,
        now: Timestamp,
    ) -> Result<User, Error> {
        let token = bearer::take(&mut request.headers);
        let by_certificate = self.by_certificate(request, config, now);
        match (by_certificate, token) {
            (Ok(Some(user)), _) => Ok(user.authenticated()),
            (Ok(None), None) => Ok(User::anonymous()),
            (Err(error), None) => Err(error),
            (Ok(None) | Err(_), Some(token)) => self.tokens.review(&token).await.map(User::authenticated),
        }
    }

    fn by_certificate(
        &self,
        request: &Parts,
        config: Option<&Config>,
        now: Timestamp,
    ) -> Result<Option<User>, Error> {
        let peer = request.extensions.get::<PeerCertificates>();
        let Some(chain) = peer.and_then(PeerCertificates::chain) else { return Ok(None) };
        let config = config.ok_or(Error::NotConfigured)?;
        let objection = match by_front_proxy(&config.front_proxy, chain, request, now) {
            Ok(Some(user)) => return Ok(Some(user)),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        let direct = config.client_ca.as_ref().map(|ca| ca.verify(chain, now));
        match (objection, direct) {
            (_, Some(Ok(leaf))) => Ok(self.by_subject(&leaf, now)),
            (Some(error), _) => Err(error),
            (None, Some(Err(source))) => Err(Error::Certificate { source: Arc::new(source) }),
            (None, None) => Ok(None),
        }
    }

    /// A7: the certificate itself names the user.
    fn by_subject(&self, leaf: &Leaf, now: Timestamp) -> Option<User> {
        let left = Duration::try_from(leaf.not_after.duration_since(now)).unwrap_or_default();
        self.metrics.client_certificate(left);
        let name = leaf.common_name.clone().filter(|name| !name.is_empty())?;
        let credential = vec![format!("X509SHA256={}", leaf.fingerprint)];
        Some(User {
            groups: leaf.organizations.clone(),
            extra: [(CREDENTIAL_ID.to_owned(), credential)].into(),
            ..User::named(name)
        })
    }
}

/// A1 and A2: `None` means that the certificate is the front proxy's and the headers name nobody.
fn by_front_proxy(
    proxy: &FrontProxy,
    chain: &Chain,
    request: &Parts,
    now: Timestamp,
) -> Result<Option<User>, Error> {
    front_proxy_leaf(proxy, chain, now)?;
    headers::user(&request.headers, proxy)
}

fn front_proxy_leaf(proxy: &FrontProxy, chain: &Chain, now: Timestamp) -> Result<(), Error> {
    let leaf =
        proxy.ca.verify(chain, now).map_err(|source| Error::Certificate { source: Arc::new(source) })?;
    let name = leaf.common_name.as_deref().unwrap_or_default();
    if proxy.allows(name) { Ok(()) } else { Err(Error::Name { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests;
