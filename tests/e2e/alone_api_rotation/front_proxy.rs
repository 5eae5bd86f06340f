//! Who may speak for others: the CA of kube-apiserver's own certificate changes (A5).

use std::{fs, path::PathBuf, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use restate_tests::{Calls, Lab, Result, eventually};
use serde_json::json;

use super::serving::unharmed;

const AUTHORITY: &str = "front-proxy-ca.crt";
const CERTIFICATE: &str = "front-proxy-client.crt";
const KEY: &str = "front-proxy-client.key";
/// Where kube-apiserver publishes the CA.
const PUBLIC: &str = "extension-apiserver-authentication";
const AUTHORITIES: &str = "requestheader-client-ca-file";
/// What `requestheader-allowed-names` allows.
const NAME: &str = "front-proxy-client";
/// kube-apiserver looks at its files at least once a minute.
const READ: Duration = Duration::from_secs(70);
const PUBLISHED: Duration = Duration::from_mins(3);
/// There and back takes five minutes.
const ENOUGH: usize = 1000;

/// The files that kube-apiserver reads, with their first content; it is put back whatever happens.
struct Files {
    place: PathBuf,
    first: Material,
}

#[derive(Clone)]
struct Material {
    authority: String,
    certificate: String,
    key: String,
}

impl Files {
    fn of(lab: &Lab) -> Result<Self> {
        let place = lab.keys()?;
        let read = |name: &str| fs::read_to_string(place.join(name));
        let first =
            Material { authority: read(AUTHORITY)?, certificate: read(CERTIFICATE)?, key: read(KEY)? };
        Ok(Self { place, first })
    }

    /// In one step each, so that nobody reads half of it.
    fn write(&self, name: &str, text: &str) -> std::io::Result<()> {
        let unfinished = self.place.join(format!(".{name}"));
        fs::write(&unfinished, text)?;
        fs::rename(unfinished, self.place.join(name))
    }

    /// From one to the other as an administrator does it: both CAs, the new certificate, the new CA alone.
    async fn rotate(&self, lab: &Lab, from: &Material, to: &Material) -> Result {
        self.write(AUTHORITY, &format!("{}{}", from.authority, to.authority))?;
        let both = |seen: &str| [from, to].iter().all(|it| seen.contains(it.authority.trim()));
        published(lab, both).await?;
        self.write(KEY, &to.key)?;
        self.write(CERTIFICATE, &to.certificate)?;
        tokio::time::sleep(READ).await;
        self.write(AUTHORITY, &to.authority)?;
        tokio::time::sleep(READ).await;
        // kube-apiserver adds to what is published and takes nothing away: that is left to the administrator.
        let data = json!({"data": {AUTHORITIES: to.authority}}).to_string();
        lab.kubectl()?
            .run(["-n", "kube-system", "patch", "configmap", PUBLIC, "--type=merge", "-p", &data])
            .await?;
        published(lab, |seen| seen.trim() == to.authority.trim()).await
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let Material { authority, certificate, key } = &self.first;
        for (name, text) in [(AUTHORITY, authority), (KEY, key), (CERTIFICATE, certificate)] {
            if let Err(error) = self.write(name, text) {
                eprintln!("{name} is not what it was: {error}");
            }
        }
    }
}

impl Material {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut authority = named("another front proxy");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = authority.self_signed(&key)?.pem();
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate()?;
        let mut leaf = named(NAME);
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = leaf.signed_by(&key, &issuer)?.pem();
        Ok(Self { authority: pem, certificate, key: key.serialize_pem() })
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Waits until the ConfigMap holds the CAs that are meant; ours follows it at once.
async fn published(lab: &Lab, meant: impl Fn(&str) -> bool) -> Result {
    let path = format!("jsonpath={{.data.{AUTHORITIES}}}");
    let get = ["-n", "kube-system", "get", "configmap", PUBLIC, "-o", &path];
    eventually("the CAs of the front proxy to be published", PUBLISHED, || async {
        let seen = lab.kubectl()?.run(get).await?;
        let count = seen.matches("BEGIN CERTIFICATE").count();
        Ok(if meant(&seen) { Ok(()) } else { Err(format!("{count} CAs")) })
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(())
}

/// A5: there and back, so that the lab keeps its keys. Minutes, for kube-apiserver takes its time: `--all`.
#[tokio::test]
#[ignore = "kube-apiserver takes minutes: --all"]
async fn a_new_front_proxy_ca_loses_no_request() -> Result {
    let lab = Lab::of_this_run()?;
    let files = Files::of(&lab)?;
    let other = Material::new()?;
    let calls = Calls::begin(&lab).await?;
    let there_and_back = async || {
        files.rotate(&lab, &files.first, &other).await?;
        files.rotate(&lab, &other, &files.first).await
    };
    calls.during(ENOUGH, there_and_back).await?;
    unharmed(calls).await
}
