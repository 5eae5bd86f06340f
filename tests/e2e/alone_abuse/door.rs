//! The replicas' own port, with certificates that the cluster's authorities sign, or somebody else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use restate_tests::lab::OPERATOR_NAMESPACE;
use restate_tests::{Lab, Result};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) chain: String,
    pub(super) key: String,
}

/// What a connection gave.
#[derive(Debug)]
pub(super) enum Outcome {
    /// An answer with a code; the head and what came of the body.
    Answered(u16, String),
    /// The connection ended without an answer.
    Closed,
    /// Nothing came in time.
    Silent,
}

/// The way to the replicas.
#[derive(Clone)]
pub(super) struct Door {
    addresses: Vec<String>,
    roots: Arc<RootCertStore>,
    keys: PathBuf,
}

impl Door {
    pub(super) async fn new(lab: &Lab) -> Result<Self> {
        // Installs the provider of TLS, too.
        drop(lab.client().await?);
        let kubectl = lab.kubectl()?;
        let select = ["-l", "app.kubernetes.io/component=apiserver", "--field-selector=status.phase=Running"];
        let get = ["-n", OPERATOR_NAMESPACE, "get", "pods", "-o", "jsonpath={.items[*].status.podIP}"];
        let addresses = kubectl.run(get.into_iter().chain(select)).await?;
        let addresses: Vec<_> = addresses.split_whitespace().map(str::to_owned).collect();
        ensure!(!addresses.is_empty(), "there is no replica");
        let service: Value =
            kubectl.json(["get", "apiservice", "v1alpha1.control.restate.dev", "-o", "json"]).await?;
        let bundle = STANDARD.decode(service["spec"]["caBundle"].as_str().context("no caBundle")?)?;
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&bundle) {
            roots.add(root?)?;
        }
        Ok(Self { addresses, roots: Arc::new(roots), keys: lab.keys()? })
    }

    /// A certificate of the node, as in `admin` or `front-proxy-client`.
    pub(super) fn own(&self, name: &str) -> Result<Identity> {
        let read = |ending| std::fs::read_to_string(self.keys.join(format!("{name}.{ending}")));
        Ok(Identity { chain: read("crt")?, key: read("key")? })
    }

    /// A certificate signed by an authority of the node: `ca` or `front-proxy-ca`.
    pub(super) fn signed(&self, authority: &str, params: &CertificateParams) -> Result<Identity> {
        let Identity { chain, key } = self.own(authority)?;
        let issuer = Issuer::from_ca_cert_pem(&chain, KeyPair::from_pem(&key)?)?;
        let key = KeyPair::generate()?;
        Ok(Identity { chain: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() })
    }

    /// A connection to one of the replicas, each in turn.
    pub(super) async fn open(
        &self,
        turn: usize,
        identity: Option<&Identity>,
    ) -> Result<TlsStream<TcpStream>> {
        let config = ClientConfig::builder().with_root_certificates(Arc::clone(&self.roots));
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(Identity { chain, key }) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes())?)?
            }
        };
        let address = &self.addresses[turn % self.addresses.len()];
        let stream = TcpStream::connect((address.as_str(), 10250)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("restate-operator-apiserver.restate-operator.svc")?;
        Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    }

    /// Sends bytes over a connection of their own and reads until it ends.
    pub(super) async fn send(
        &self,
        turn: usize,
        identity: Option<&Identity>,
        bytes: &[u8],
        patience: Duration,
    ) -> Result<Outcome> {
        let mut stream = self.open(turn, identity).await?;
        // A server that has read enough may close before everything is written.
        let _ = stream.write_all(bytes).await;
        Ok(listen(stream, patience).await)
    }

    /// The same for what may go on without end: an answer that is good is read no further than its head.
    pub(super) async fn begin(
        &self,
        turn: usize,
        identity: Option<&Identity>,
        bytes: &[u8],
        patience: Duration,
    ) -> Result<Outcome> {
        let mut stream = self.open(turn, identity).await?;
        let _ = stream.write_all(bytes).await;
        let has_begun = |seen: &[u8]| {
            seen.starts_with(b"HTTP/1.1 200") && seen.windows(4).any(|four| four == b"\r\n\r\n")
        };
        Ok(listen_until(stream, patience, has_begun).await)
    }
}

/// Reads until the connection ends or nothing more comes.
pub(super) async fn listen(stream: TlsStream<TcpStream>, patience: Duration) -> Outcome {
    listen_until(stream, patience, |_| false).await
}

async fn listen_until(
    mut stream: TlsStream<TcpStream>,
    patience: Duration,
    is_enough: impl Fn(&[u8]) -> bool,
) -> Outcome {
    let mut seen = Vec::new();
    let ended = tokio::time::timeout(patience, async {
        let mut part = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            seen.extend_from_slice(&part[..count]);
            if is_enough(&seen) {
                break;
            }
        }
    });
    let ended = ended.await.is_ok();
    let text = String::from_utf8_lossy(&seen).into_owned();
    let code = text.strip_prefix("HTTP/1.1 ").and_then(|text| text.get(..3)?.parse().ok());
    match code {
        Some(code) => Outcome::Answered(code, text),
        None if ended => Outcome::Closed,
        None => Outcome::Silent,
    }
}

/// Parameters of a client certificate.
pub(super) fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}
