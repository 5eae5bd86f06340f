//! The certificates that the peer of a connection showed; in the extensions of each of its requests (A14).

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

/// The peer's chain, if it showed one. Possession of the leaf's key is proven, trust is not.
#[derive(Clone, Debug, Default)]
pub struct PeerCertificates(Option<Arc<Chain>>);

/// A leaf and what came with it.
#[derive(Debug)]
pub struct Chain {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    fingerprint: [u8; 32],
}

impl PeerCertificates {
    /// From what the handshake left behind.
    pub fn new(certificates: Option<&[CertificateDer<'_>]>) -> Self {
        Self(certificates.and_then(Chain::new).map(Arc::new))
    }

    /// The chain, if the peer showed one.
    pub fn chain(&self) -> Option<&Chain> {
        self.0.as_deref()
    }
}

impl Chain {
    /// The leaf comes first. `None` if there is none.
    pub fn new(certificates: &[CertificateDer<'_>]) -> Option<Self> {
        let (leaf, intermediates) = certificates.split_first()?;
        let mut hash = Sha256::new();
        for each in certificates {
            hash.update(u64::try_from(each.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(each);
        }
        Some(Self {
            leaf: leaf.clone().into_owned(),
            intermediates: intermediates.iter().map(|each| each.clone().into_owned()).collect(),
            fingerprint: hash.finalize().into(),
        })
    }

    /// The certificate whose key the peer holds.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf
    }

    /// The other certificates that the peer sent.
    pub fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// Hash over the whole chain.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}
