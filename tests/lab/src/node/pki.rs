//! The lab's own certificate authorities and what they sign. Made once per lab; a lab keeps its keys until it is
//! taken down, so that kubeconfigs that were handed out stay good.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use super::site::{ADDRESS, API_SERVICE, NODE_NAME};
use crate::{Result, places::StateDir};

/// Who is certified, as what, and under which names it is reached.
struct Subject {
    file: &'static str,
    common_name: &'static str,
    organization: Option<&'static str>,
    names: &'static [&'static str],
}

const SUBJECTS: [Subject; 6] = [
    Subject {
        file: "apiserver",
        common_name: "kube-apiserver",
        organization: None,
        names: &[
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            "127.0.0.1",
            API_SERVICE,
            ADDRESS,
        ],
    },
    user("admin", "admin", Some("system:masters")),
    user("kube-controller-manager", "system:kube-controller-manager", None),
    user("kube-scheduler", "system:kube-scheduler", None),
    user("kube-proxy", "system:kube-proxy", None),
    Subject {
        file: "kubelet",
        common_name: "system:node:lab",
        organization: Some("system:nodes"),
        names: &[NODE_NAME, "127.0.0.1", ADDRESS],
    },
];

/// The users with a kubeconfig of their own.
pub(super) const USERS: [&str; 5] =
    ["admin", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"];

/// Makes all keys and certificates unless they are there.
pub(super) fn ensure(state: &StateDir) -> Result<()> {
    let place = state.pki();
    if place.is_dir() {
        return Ok(());
    }
    let unfinished = tempfile::Builder::new().prefix(".pki-").tempdir_in(state.path())?;
    write_all(unfinished.path()).context("failed to make the lab's certificates")?;
    fs::rename(unfinished.keep(), &place).with_context(|| format!("failed to make {}", place.display()))
}

const fn user(file: &'static str, common_name: &'static str, organization: Option<&'static str>) -> Subject {
    Subject { file, common_name, organization, names: &[] }
}

fn write_all(place: &Path) -> Result<()> {
    let authority = authority(place, "ca", "restate-lab")?;
    for subject in &SUBJECTS {
        sign(place, subject, &authority)?;
    }
    let front = self::authority(place, "front-proxy-ca", "restate-lab-front-proxy")?;
    sign(place, &user("front-proxy-client", "front-proxy-client", None), &front)?;
    let accounts = KeyPair::generate()?;
    secret(place, "service-accounts.key", &accounts.serialize_pem())?;
    secret(place, "service-accounts.pub", &accounts.public_key_pem())
}

fn authority(place: &Path, file: &str, common_name: &str) -> Result<Issuer<'static, KeyPair>> {
    let key = KeyPair::generate()?;
    let mut parameters = parameters(common_name, None);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let certificate = parameters.self_signed(&key)?;
    secret(place, &format!("{file}.key"), &key.serialize_pem())?;
    secret(place, &format!("{file}.crt"), &certificate.pem())?;
    Ok(Issuer::new(parameters, key))
}

fn sign(place: &Path, subject: &Subject, issuer: &Issuer<'_, KeyPair>) -> Result<()> {
    let Subject { file, common_name, organization, names } = subject;
    let key = KeyPair::generate()?;
    let mut parameters = parameters(common_name, *organization);
    parameters.subject_alt_names = names.iter().map(|name| alternative(name)).collect::<Result<_>>()?;
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = parameters.signed_by(&key, issuer)?;
    secret(place, &format!("{file}.key"), &key.serialize_pem())?;
    secret(place, &format!("{file}.crt"), &certificate.pem())
}

fn parameters(common_name: &str, organization: Option<&str>) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    // Longer than any lab lives, and a clock that is wrong by years does no harm.
    let (not_before, not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2060, 1, 1));
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name;
    parameters.not_before = not_before;
    parameters.not_after = not_after;
    parameters
}

fn alternative(name: &str) -> Result<SanType> {
    Ok(match name.parse::<Ipv4Addr>() {
        Ok(address) => SanType::IpAddress(IpAddr::V4(address)),
        Err(_) => SanType::DnsName(name.try_into()?),
    })
}

fn secret(place: &Path, file: &str, text: &str) -> Result<()> {
    let path = place.join(file);
    fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_are_nobody_elses() {
        let place = tempfile::tempdir().expect("a directory");
        let state = StateDir::at(place.path().to_owned());
        ensure(&state).expect("made");
        let path = state.pki().join("ca.key");
        let before = fs::read(&path).expect("a key");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o077, 0);
        ensure(&state).expect("nothing to do");
        assert_eq!(before, fs::read(&path).expect("a key"));
    }

    #[test]
    fn every_user_is_certified() {
        for user in USERS {
            assert!(SUBJECTS.iter().any(|subject| subject.file == user), "{user}");
        }
    }
}
