//! Whom we trust: the system's certificates and the ones given.
//!
//! Invariant: ring is the only provider. A machine without any certificates is no error: inside a cluster nearly
//! every admin API speaks plain HTTP, and an https one then fails by itself with the reason.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A given certificate is no PEM.
    #[error("a given certificate cannot be read")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// A given certificate is none.
    #[error("a given certificate cannot be trusted")]
    Certificate(#[source] rustls::Error),
    /// The protocol versions do not fit the provider.
    #[error("TLS cannot be set up")]
    Versions(#[source] rustls::Error),
    /// The client could not be made.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

pub(super) fn config(extra_ca: &[Vec<u8>]) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for pem in extra_ca {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate?).map_err(Error::Certificate)?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::Versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_and_none_is_fine() {
        assert!(config(&[]).is_ok());
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        assert!(matches!(config(&[broken]), Err(Error::Certificate(_))));
    }
}
