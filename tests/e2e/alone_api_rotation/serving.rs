//! What we serve with: a new leaf, and a new CA beside the old one (H1–H4).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use restate_tests::{Calls, Lab, Result, eventually, lab::OPERATOR_NAMESPACE};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const SECRET: &str = "restate-operator-apiserver-certificate";
const PODS: &str = "app.kubernetes.io/component=apiserver";
const PORT: u16 = 10250;
const PATIENCE: Duration = Duration::from_mins(1);
/// Requests before and after, so that what comes early or late is seen as well.
const AROUND: Duration = Duration::from_secs(5);
/// A rotation is a matter of a second; kube-apiserver connects anew in those that follow.
const ENOUGH: usize = 100;
/// A CA is succeeded when fewer than 120 days of it are left.
const DAYS_LEFT: u64 = 100;

/// The Secret, as it is stored: what the certificates do not say of themselves stands in `notes.json`.
struct Stored {
    data: BTreeMap<String, String>,
    notes: Value,
}

impl Stored {
    async fn read(lab: &Lab) -> Result<Self> {
        let get = ["-n", OPERATOR_NAMESPACE, "get", "secret", SECRET, "-o", "json"];
        let secret = lab.kubectl()?.json(get).await?;
        let encoded: BTreeMap<String, String> = serde_json::from_value(secret["data"].clone())?;
        let decoded =
            |(key, text): (String, String)| Ok((key, String::from_utf8(BASE64_STANDARD.decode(text)?)?));
        let data = encoded.into_iter().map(decoded).collect::<Result<BTreeMap<_, _>>>()?;
        let notes = serde_json::from_str(data.get("notes.json").context("no notes")?)?;
        Ok(Self { data, notes })
    }

    async fn write(&self, lab: &Lab) -> Result {
        let encode = |text: &str| Value::from(BASE64_STANDARD.encode(text));
        let mut data: BTreeMap<_, _> =
            self.data.iter().map(|(key, text)| (key.as_str(), encode(text))).collect();
        data.insert("notes.json", encode(&self.notes.to_string()));
        let patch = json!({"data": data}).to_string();
        let patch = ["-n", OPERATOR_NAMESPACE, "patch", "secret", SECRET, "--type=merge", "-p", &patch];
        lab.kubectl()?.run(patch).await.map(drop)
    }

    fn text(&self, key: &str) -> Result<&str> {
        self.data.get(key).map(String::as_str).with_context(|| format!("the Secret has no {key}"))
    }

    fn leaf(&self) -> Result<CertificateDer<'static>> {
        CertificateDer::from_pem_slice(self.text("tls.crt")?.as_bytes()).context("no certificate")
    }

    fn authorities(&self) -> Result<Vec<CertificateDer<'static>>> {
        let all = CertificateDer::pem_slice_iter(self.text("ca.crt")?.as_bytes());
        all.collect::<Result<Vec<_>, _>>().context("no bundle")
    }
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = Sha256::digest(certificate);
    digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The same CA (name and key) with little time left: every leaf of it stays good.
fn aged(stored: &Stored) -> Result<String> {
    let [authority] = stored.authorities()?.try_into().map_err(|_| anyhow::anyhow!("more than one CA"))?;
    let (_, parsed) = X509Certificate::from_der(&authority)?;
    let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name.context("the CA has no name")?);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let since_epoch = Duration::from_secs(Timestamp::now().as_second().try_into()?);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(1970, 1, 1) + since_epoch + Duration::from_hours(24 * DAYS_LEFT);
    Ok(params.self_signed(&KeyPair::from_pem(stored.text("ca.key")?)?)?.pem())
}

/// Waits until the Secret is as it should be.
async fn stored(lab: &Lab, what: &str, wanted: impl Fn(&Stored) -> Result<bool>) -> Result<Stored> {
    eventually(what, PATIENCE, || async {
        let seen = Stored::read(lab).await?;
        let done = wanted(&seen)?;
        let shown = seen.notes.to_string();
        Ok(if done { Ok(seen) } else { Err(shown) })
    })
    .await
}

/// Waits until every replica presents this leaf to whoever connects anew.
async fn presented(lab: &Lab, leaf: &CertificateDer<'static>) -> Result {
    let addresses = "jsonpath={.items[*].status.podIP}";
    let get = ["-n", OPERATOR_NAMESPACE, "get", "pods", "-l", PODS, "-o", addresses];
    for address in lab.kubectl()?.run(get).await?.split_whitespace() {
        eventually(&format!("the new leaf from {address}"), PATIENCE, || async {
            let shown = shown_by(address).await?;
            Ok(if shown == *leaf { Ok(()) } else { Err(fingerprint(&shown)) })
        })
        .await?;
    }
    Ok(())
}

async fn shown_by(address: &str) -> Result<CertificateDer<'static>> {
    let verifier = Arc::new(Anybody);
    let config =
        ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    let stream = TcpStream::connect((address, PORT)).await?;
    let name = ServerName::try_from("anybody")?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    Ok(shown.context("no certificate is shown")?.clone().into_owned())
}

/// Looks at certificates and judges none.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub(super) async fn unharmed(calls: Calls) -> Result {
    let record = calls.end().await;
    eprintln!("rotation: {} requests, {} failed", record.made, record.failures.len());
    if record.failures.is_empty() {
        return Ok(());
    }
    bail!("{:#?}", record.failures)
}

/// H1: a leaf is replaced while it is used.
#[tokio::test]
async fn a_new_leaf_loses_no_request() -> Result {
    let lab = Lab::of_this_run()?;
    let calls = Calls::begin(&lab).await?;
    calls.during(ENOUGH, async || replace_leaf(&lab).await).await?;
    unharmed(calls).await
}

async fn replace_leaf(lab: &Lab) -> Result {
    let mut before = Stored::read(lab).await?;
    // A leaf for other names than the Service has now is due.
    before.notes["names"] = json!(["renamed"]);
    before.write(lab).await?;
    let old = before.leaf()?;
    let after = stored(lab, "another leaf", |seen| Ok(seen.leaf()? != old)).await?;
    presented(lab, &after.leaf()?).await?;
    tokio::time::sleep(AROUND).await;
    Ok(())
}

/// H3: a CA gets a successor, both are trusted for a while, then the leaf is signed by the new one.
#[tokio::test]
async fn a_new_ca_loses_no_request() -> Result {
    let lab = Lab::of_this_run()?;
    if Stored::read(&lab).await?.authorities()?.len() > 1 {
        eprintln!("skipped: a CA is being succeeded already");
        return Ok(());
    }
    let calls = Calls::begin(&lab).await?;
    calls.during(ENOUGH, async || succeed_authority(&lab).await).await?;
    unharmed(calls).await
}

/// From one CA to one other.
async fn succeed_authority(lab: &Lab) -> Result {
    let mut before = Stored::read(lab).await?;
    let old = aged(&before)?;
    before.data.insert("ca.crt".to_owned(), old);
    let old = fingerprint(&before.authorities()?[0]);
    before.notes["issuer"] = old.as_str().into();
    before.notes["publishedSince"] = json!({&old: Timestamp::now() - Duration::from_hours(1)});
    before.write(lab).await?;
    let both = |seen: &Stored| {
        let published = seen.notes["publishedSince"].as_object().context("no dates")?;
        Ok(seen.authorities()?.len() == 2 && published.len() == 2)
    };
    let mut both = stored(lab, "two CAs, published", both).await?;
    ensure!(
        both.notes["issuer"] == old.as_str(),
        "the leaf changed before the new CA was known: {}",
        both.notes
    );
    // The overlap has passed.
    let new = fingerprint(&both.authorities()?[1]);
    both.notes["publishedSince"][&new] = json!(Timestamp::now() - Duration::from_hours(1));
    both.write(lab).await?;
    let mut after =
        stored(lab, "a leaf by the new CA", |seen| Ok(seen.notes["issuer"] == new.as_str())).await?;
    presented(lab, &after.leaf()?).await?;
    // Everything that the old one signed has expired.
    for key in ["ca.crt", "ca.key"] {
        let last = last_block(after.text(key)?).to_owned();
        after.data.insert(key.to_owned(), last);
    }
    after.notes["publishedSince"] = json!({&new: after.notes["publishedSince"][&new]});
    after.write(lab).await?;
    tokio::time::sleep(AROUND).await;
    Ok(())
}

fn last_block(pem: &str) -> &str {
    pem.rfind("-----BEGIN").map_or(pem, |at| &pem[at..])
}
