//! What the Secret holds: the CAs that may be trusted, and the leaf that is served.
//!
//! Invariant: each CA has its key beside it, in the same order; what cannot be read as a whole is not read at all.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, entry};
use crate::tls::trust::{self, hex};

const LEAF: &str = "tls.crt";
const LEAF_KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";
const AUTHORITY_KEYS: &str = "ca.key";
const NOTES: &str = "notes.json";
/// What kubectl and other tools expect of a Secret with `tls.crt`.
const TYPE: &str = "kubernetes.io/tls";

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From this moment.
    pub from: Timestamp,
    /// Until this moment.
    pub until: Timestamp,
}

/// A CA.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    certificate: String,
    key: String,
    fingerprint: String,
    valid: Validity,
    /// Since when all bundles have been seen to hold it, without a break.
    pub(super) published_since: Option<Timestamp>,
}

/// The certificate that is served.
#[derive(Clone, PartialEq, Eq)]
pub struct Leaf {
    certificate: String,
    key: String,
    issuer: String,
    names: Vec<String>,
    valid: Validity,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring {
    pub(super) authorities: Vec<Authority>,
    pub(super) leaf: Option<Leaf>,
}

/// What the certificates themselves do not say.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Notes {
    issuer: String,
    names: Vec<String>,
    published_since: BTreeMap<String, Timestamp>,
}

impl Authority {
    pub(super) fn new(
        certificate: String,
        key: String,
        published_since: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let (fingerprint, valid) = read(&certificate, AUTHORITIES)?;
        Ok(Self { certificate, key, fingerprint, valid, published_since })
    }

    /// PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// When it is valid.
    pub fn valid(&self) -> Validity {
        self.valid
    }
}

impl Leaf {
    pub(super) fn new(
        certificate: String,
        key: String,
        issuer: String,
        names: Vec<String>,
    ) -> Result<Self, Error> {
        let (_, valid) = read(&certificate, LEAF)?;
        Ok(Self { certificate, key, issuer, names, valid })
    }

    /// PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// PEM.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Fingerprint of the CA that signed it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The names it stands for.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When it is valid.
    pub fn valid(&self) -> Validity {
        self.valid
    }
}

/// Keys are never printed.
impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificate: _, key: _, fingerprint, valid, published_since } = self;
        let mut shown = formatter.debug_struct("Authority");
        shown
            .field("fingerprint", fingerprint)
            .field("valid", valid)
            .field("published_since", published_since);
        shown.finish_non_exhaustive()
    }
}

/// Keys are never printed.
impl fmt::Debug for Leaf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificate: _, key: _, issuer, names, valid } = self;
        let mut shown = formatter.debug_struct("Leaf");
        shown.field("issuer", issuer).field("names", names).field("valid", valid).finish_non_exhaustive()
    }
}

impl Validity {
    /// Whether `now` lies within.
    pub fn contains(self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

impl Keyring {
    /// The CAs, oldest first.
    pub fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// The certificate to serve.
    pub fn leaf(&self) -> Option<&Leaf> {
        self.leaf.as_ref()
    }

    /// The CAs as one PEM text, for `spec.caBundle`.
    pub fn bundle(&self) -> String {
        self.authorities.iter().map(|each| each.certificate.as_str()).collect()
    }

    pub(super) fn authority(&self, fingerprint: &str) -> Option<&Authority> {
        self.authorities.iter().find(|each| each.fingerprint == fingerprint)
    }

    /// Reads the Secret.
    pub fn from_secret(secret: &Secret) -> Result<Self, Error> {
        let notes: Notes =
            serde_json::from_str(entry(secret, NOTES)?).map_err(|_| Error::Stored { key: NOTES })?;
        let certificates = blocks(entry(secret, AUTHORITIES)?, AUTHORITIES)?;
        let keys = blocks(entry(secret, AUTHORITY_KEYS)?, AUTHORITY_KEYS)?;
        if certificates.len() != keys.len() {
            return Err(Error::Stored { key: AUTHORITY_KEYS });
        }
        let authorities = certificates.into_iter().zip(keys).map(|(certificate, key)| {
            let mut authority = Authority::new(certificate, key, None)?;
            authority.published_since = notes.published_since.get(&authority.fingerprint).copied();
            Ok(authority)
        });
        let authorities = authorities.collect::<Result<_, Error>>()?;
        let (leaf, key) = (entry(secret, LEAF)?.to_owned(), entry(secret, LEAF_KEY)?.to_owned());
        Ok(Self { authorities, leaf: Some(Leaf::new(leaf, key, notes.issuer, notes.names)?) })
    }

    /// The Secret to store, with `metadata` as it was read (or the name alone for a new one).
    pub fn to_secret(&self, metadata: ObjectMeta) -> Secret {
        let since = |each: &Authority| Some((each.fingerprint.clone(), each.published_since?));
        let leaf = self.leaf.as_ref();
        let notes = Notes {
            issuer: leaf.map(|leaf| leaf.issuer.clone()).unwrap_or_default(),
            names: leaf.map(|leaf| leaf.names.clone()).unwrap_or_default(),
            published_since: self.authorities.iter().filter_map(since).collect(),
        };
        let keys = self.authorities.iter().map(|each| each.key.as_str()).collect();
        let entries = [
            (LEAF, leaf.map(|leaf| leaf.certificate.clone()).unwrap_or_default()),
            (LEAF_KEY, leaf.map(|leaf| leaf.key.clone()).unwrap_or_default()),
            (AUTHORITIES, self.bundle()),
            (AUTHORITY_KEYS, keys),
            (NOTES, serde_json::to_string(&notes).unwrap_or_default()),
        ];
        let bytes = |(key, text): (&str, String)| (key.to_owned(), ByteString(text.into_bytes()));
        Secret {
            metadata,
            type_: Some(TYPE.to_owned()),
            data: Some(entries.map(bytes).into()),
            ..Secret::default()
        }
    }
}

/// Fingerprints of the certificates of a bundle, whatever its form; what is no certificate is left out.
pub fn fingerprints(bundle: &[u8]) -> Vec<String> {
    CertificateDer::pem_slice_iter(bundle).flatten().map(|each| hex(&Sha256::digest(&each))).collect()
}

fn read(certificate: &str, key: &'static str) -> Result<(String, Validity), Error> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| Error::Stored { key })?;
    let (from, until) = trust::validity_of(&der).map_err(|source| Error::Certificate { source })?;
    Ok((hex(&Sha256::digest(&der)), Validity { from, until }))
}

/// The PEM text cut into its blocks.
fn blocks(text: &str, key: &'static str) -> Result<Vec<String>, Error> {
    let blocks = pem::parse_many(text).map_err(|_| Error::Stored { key })?;
    let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Ok(blocks.iter().map(|block| pem::encode_config(block, lines)).collect())
}
