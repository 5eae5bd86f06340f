//! The serving certificate of the moment: swapped without closing a connection (H1).

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Why a certificate and its key cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificates are no PEM.
    #[error("the certificate chain is not PEM")]
    Chain {
        /// What the parser found.
        source: pem::Error,
    },
    /// There is no certificate in the PEM.
    #[error("the certificate chain is empty")]
    Empty,
    /// The key is no PEM.
    #[error("the private key is not PEM")]
    Key {
        /// What the parser found.
        source: pem::Error,
    },
    /// The key is of no use or belongs to another certificate.
    #[error("the private key does not fit the certificate")]
    Pair {
        /// What the TLS library found.
        source: rustls::Error,
    },
}

/// Nobody's name, by RFC 2606.
const NOBODY: &str = "not-yet.invalid";

/// Resolves each handshake to the pair that was stored last.
pub struct CertificateSlot {
    stored: ArcSwapOption<CertifiedKey>,
    /// Served until there is one: whoever asks whether the process lives is answered; nobody has reason to trust it.
    placeholder: Option<Arc<CertifiedKey>>,
}

impl CertificateSlot {
    /// An empty slot; until a pair is stored, handshakes get one that nobody trusts.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { stored: ArcSwapOption::empty(), placeholder: placeholder() })
    }

    /// Checks that key and certificate belong together and serves them from the next handshake on.
    pub fn store(&self, chain: &[u8], key: &[u8]) -> Result<(), Error> {
        let pair = pair(chain, key)?;
        self.stored.store(Some(Arc::new(pair)));
        Ok(())
    }

    /// The pair that was stored last.
    pub fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.stored.load_full()
    }

    /// Whether a pair was stored.
    pub fn is_filled(&self) -> bool {
        self.stored.load().is_some()
    }

    /// What the next handshake gets.
    pub(crate) fn served(&self) -> Option<Arc<CertifiedKey>> {
        self.current().or_else(|| self.placeholder.clone())
    }
}

impl fmt::Debug for CertificateSlot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CertificateSlot").field("filled", &self.is_filled()).finish()
    }
}

impl ResolvesServerCert for CertificateSlot {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.served()
    }
}

/// Without one, handshakes fail until a pair is stored.
fn placeholder() -> Option<Arc<CertifiedKey>> {
    let made = rcgen::generate_simple_self_signed([NOBODY.to_owned()]).ok()?;
    let made = pair(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).ok()?;
    Some(Arc::new(made))
}

fn pair(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, Error> {
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|source| Error::Chain { source })?;
    if chain.is_empty() {
        return Err(Error::Empty);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| Error::Key { source })?;
    CertifiedKey::from_der(chain, key, &super::provider()).map_err(|source| Error::Pair { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn h1_a_pair_that_does_not_fit_leaves_the_old_one() {
        let (chain, key) = made("a");
        let (_, other) = made("b");
        let slot = CertificateSlot::new();
        assert!(!slot.is_filled() && slot.current().is_none());
        assert!(slot.served().is_some(), "a placeholder");
        slot.store(chain.as_bytes(), key.as_bytes()).unwrap();
        let served = slot.served().unwrap();
        assert!(slot.is_filled());
        assert!(matches!(slot.store(chain.as_bytes(), other.as_bytes()), Err(Error::Pair { .. })));
        assert!(matches!(slot.store(b"", key.as_bytes()), Err(Error::Empty)));
        assert!(matches!(slot.store(chain.as_bytes(), b"no key"), Err(Error::Key { .. })));
        assert!(Arc::ptr_eq(&served, &slot.current().unwrap()));
    }
}
