//! A bundle of CAs, and whether it vouches for a peer's chain at a given moment (A1, A5).
//!
//! Invariant: a chain is verified against this very bundle; what was verified is remembered with the bundle, so a new
//! bundle starts with no memory, and only for the time in which no certificate involved expires.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moka::sync::Cache;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime, pem};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::peer::Chain;

/// Chains that are remembered: one for each kube-apiserver and some direct callers.
const REMEMBERED: u64 = 256;

/// Why a bundle cannot be used, or why it does not vouch for a chain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no PEM.
    #[error("the CA bundle is not PEM")]
    Pem {
        /// What the parser found.
        source: pem::Error,
    },
    /// A block of the PEM is no certificate.
    #[error("the CA bundle has a block that is no certificate")]
    Anchor {
        /// What the parser found.
        source: webpki::Error,
    },
    /// A certificate cannot be read.
    #[error("a certificate cannot be read")]
    Certificate {
        /// What the parser found.
        source: x509_parser::nom::Err<x509_parser::error::X509Error>,
    },
    /// There is no certificate in the PEM.
    #[error("the CA bundle is empty")]
    Empty,
    /// The chain does not lead to a CA of the bundle, or is not valid now, or not for clients.
    #[error("the client certificate is not valid for a CA of the bundle")]
    Untrusted {
        /// What the verifier found.
        source: webpki::Error,
    },
}

/// CAs that are trusted for one purpose.
#[derive(Debug)]
pub struct Bundle {
    anchors: Vec<Anchor>,
    verified: Cache<[u8; 32], Verified>,
}

/// What a verified leaf says about its holder.
#[derive(Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The common name of the subject; the last one if there are several.
    pub common_name: Option<String>,
    /// The organizations of the subject.
    pub organizations: Vec<String>,
    /// SHA-256 of the certificate in lower-case hexadecimal.
    pub fingerprint: String,
    /// The end of its validity.
    pub not_after: Timestamp,
}

#[derive(Debug)]
struct Anchor {
    trust: TrustAnchor<'static>,
    valid: Validity,
    fingerprint: [u8; 32],
}

#[derive(Clone, Debug)]
struct Verified {
    leaf: Arc<Leaf>,
    valid: Validity,
}

#[derive(Clone, Copy, Debug)]
struct Validity {
    from: Timestamp,
    until: Timestamp,
}

impl Bundle {
    /// All certificates of the PEM text count; one that cannot be read spoils the bundle.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let anchors = CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|each| Anchor::new(&each.map_err(|source| Error::Pem { source })?))
            .collect::<Result<Vec<_>, _>>()?;
        if anchors.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self { anchors, verified: Cache::new(REMEMBERED) })
    }

    /// Whether a CA is in both bundles.
    pub fn shares_a_ca_with(&self, other: &Self) -> bool {
        self.anchors.iter().any(|own| other.anchors.iter().any(|each| each.fingerprint == own.fingerprint))
    }

    /// The leaf, if the chain leads to a CA of this bundle and may be used by clients now.
    pub fn verify(&self, chain: &Chain, now: Timestamp) -> Result<Arc<Leaf>, Error> {
        let key = chain.fingerprint();
        if let Some(known) = self.verified.get(&key).filter(|known| known.valid.contains(now)) {
            return Ok(known.leaf);
        }
        let verified = self.verify_anew(chain, now)?;
        self.verified.insert(key, verified.clone());
        Ok(verified.leaf)
    }

    fn verify_anew(&self, chain: &Chain, now: Timestamp) -> Result<Verified, Error> {
        let valid = self.anchors.iter().filter(|each| each.valid.contains(now));
        let anchors: Vec<_> = valid.clone().map(|each| each.trust.clone()).collect();
        let untrusted = |source| Error::Untrusted { source };
        EndEntityCert::try_from(chain.leaf())
            .map_err(untrusted)?
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                chain.intermediates(),
                UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().try_into().unwrap_or(0))),
                KeyUsage::client_auth(),
                None,
                None,
            )
            .map_err(untrusted)?;
        let shown = chain.intermediates().iter().chain([chain.leaf()]).map(validity);
        let all = shown.collect::<Result<Vec<_>, _>>()?.into_iter().chain(valid.map(|each| each.valid));
        Ok(Verified { leaf: Arc::new(Leaf::read(chain.leaf())?), valid: Validity::within_all(all) })
    }
}

impl Anchor {
    fn new(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        let trust =
            anchor_from_trusted_cert(certificate).map_err(|source| Error::Anchor { source })?.to_owned();
        Ok(Self { trust, valid: validity(certificate)?, fingerprint: Sha256::digest(certificate).into() })
    }
}

impl Validity {
    fn contains(self, now: Timestamp) -> bool {
        self.from <= now && now <= self.until
    }

    fn within_all(all: impl Iterator<Item = Self>) -> Self {
        let always = Self { from: Timestamp::MIN, until: Timestamp::MAX };
        all.fold(always, |one, other| Self {
            from: one.from.max(other.from),
            until: one.until.min(other.until),
        })
    }
}

impl Leaf {
    /// What a certificate says, without asking who signed it.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        let parsed = parse(certificate)?;
        let subject = parsed.subject();
        let text =
            |each: &x509_parser::x509::AttributeTypeAndValue<'_>| each.as_str().ok().map(str::to_owned);
        Ok(Self {
            common_name: subject.iter_common_name().filter_map(text).last(),
            organizations: subject.iter_organization().filter_map(text).collect(),
            fingerprint: hex(&Sha256::digest(certificate)),
            not_after: timestamp(parsed.validity().not_after.timestamp()),
        })
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// From when until when a certificate is valid.
pub(crate) fn validity_of(certificate: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), Error> {
    validity(certificate).map(|valid| (valid.from, valid.until))
}

fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, Error> {
    let parsed = parse(certificate)?;
    let valid = parsed.validity();
    Ok(Validity {
        from: timestamp(valid.not_before.timestamp()),
        until: timestamp(valid.not_after.timestamp()),
    })
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    let parsed = X509Certificate::from_der(certificate);
    parsed.map(|(_, parsed)| parsed).map_err(|source| Error::Certificate { source })
}

/// Certificates that never expire carry the year 9999, which is beyond no bound of ours.
fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
