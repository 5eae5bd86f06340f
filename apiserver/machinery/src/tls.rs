//! First stage: encrypted connections that may, but need not, show a client certificate.
//!
//! Flow: handshake with the certificate of the moment ([`slot`]), any client certificate whose key the peer holds is
//! let in ([`accept`]) and kept with the connection ([`peer`]); whether anybody trusts it is asked anew for each
//! request against the bundle of that moment ([`trust`]). So CAs rotate under open connections (A5, D8, A14).
//!
//! Not for authentication: nothing here knows users.

pub mod accept;
pub mod peer;
pub mod slot;
pub mod trust;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ResolvesServerCert;

use accept::AcceptThenVerify;

/// Protocols in order of preference (T1). HTTP/1.1 is needed for upgrades (P9).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What the accept loop needs for a handshake.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// TLS 1.2 and later; the certificate is asked from `certificate` at each handshake.
    pub fn new(certificate: Arc<dyn ResolvesServerCert>) -> Result<Self, rustls::Error> {
        let provider = provider();
        let verifier = Arc::new(AcceptThenVerify::new(&provider));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificate);
        config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self(Arc::new(config)))
    }

    /// The configuration, for an acceptor.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
