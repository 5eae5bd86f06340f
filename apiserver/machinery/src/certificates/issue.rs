//! Makes CAs and leaves.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::keyring::{Authority, Leaf, Validity};
use super::{Error, Names, Policy};

fn failed(source: rcgen::Error) -> Error {
    Error::Issue { source }
}

/// A CA with a name of its own, so that no two CAs of a bundle are taken for each other.
pub(super) fn authority(names: &Names, policy: &Policy, now: Timestamp) -> Result<Authority, Error> {
    let key = KeyPair::generate().map_err(failed)?;
    let valid = Validity { from: now - policy.backdate, until: now + policy.authority };
    let mut params = params(Vec::new(), &format!("{}.{} CA {now}", names.service, names.namespace), valid)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(failed)?.pem();
    Authority::new(certificate, key.serialize_pem(), None)
}

/// A leaf that does not outlive its CA.
pub(super) fn leaf(by: &Authority, names: &Names, policy: &Policy, now: Timestamp) -> Result<Leaf, Error> {
    let issuer_key = KeyPair::from_pem(by.key()).map_err(failed)?;
    let issuer = Issuer::from_ca_cert_pem(by.certificate(), issuer_key).map_err(failed)?;
    let valid = Validity { from: now - policy.backdate, until: (now + policy.leaf).min(by.valid().until) };
    let dns = names.dns();
    let common_name = format!("{}.{}.svc", names.service, names.namespace);
    let mut params = params(dns.clone(), &common_name, valid)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?.pem();
    Leaf::new(certificate, key.serialize_pem(), by.fingerprint().to_owned(), dns)
}

fn params(dns: Vec<String>, common_name: &str, valid: Validity) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(dns).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let since_epoch = |at: Timestamp| Duration::from_secs(at.as_second().try_into().unwrap_or(0));
    params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(valid.from);
    params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(valid.until);
    Ok(params)
}
