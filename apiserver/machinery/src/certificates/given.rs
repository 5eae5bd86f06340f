//! Given mode: somebody else makes the certificate and publishes its CA (H5).

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::fs;

use super::{Error, entry};
use crate::authn::live_chain;
use crate::health::Gate;
use crate::tls::slot::CertificateSlot;

/// How often the files are read: the kubelet itself needs a minute to swap what is mounted, and two small reads cost
/// nothing.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The PEM files of a pair, and what was last read from them.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    seen: Option<(Vec<u8>, Vec<u8>)>,
}

/// Serves the pair in two PEM files, and what replaces it: also by the swap of a mounted Secret. A pair that does not
/// fit together, as in the middle of a swap, leaves the old one. Ends with the last user of the slot.
pub async fn files(
    certificate: impl AsRef<Path>,
    key: impl AsRef<Path>,
) -> Result<Arc<CertificateSlot>, Error> {
    let (certificate, key) = (certificate.as_ref().to_owned(), key.as_ref().to_owned());
    let mut files = Files { certificate, key, seen: None };
    let slot = CertificateSlot::new();
    files.read_into(&slot).await?;
    tokio::spawn(files.follow(Arc::downgrade(&slot)));
    Ok(slot)
}

impl Files {
    async fn follow(mut self, slot: Weak<CertificateSlot>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(slot) = slot.upgrade() else { return };
            if let Err(error) = self.read_into(&slot).await {
                tracing::warn!(reason = live_chain(&error), "serving certificate not updated");
            }
        }
    }

    async fn read_into(&mut self, slot: &CertificateSlot) -> Result<(), Error> {
        let pair = (read(&self.certificate).await?, read(&self.key).await?);
        if self.seen.as_ref() != Some(&pair) {
            slot.store(&pair.0, &pair.1).map_err(|source| Error::Serve { source })?;
            self.seen = Some(pair);
        }
        Ok(())
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).await.map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Serves `tls.crt` and `tls.key` of a Secret, and what replaces them. Runs for ever.
pub async fn secret(client: Client, namespace: &str, name: &str, slot: Arc<CertificateSlot>, gate: Gate) {
    let api = Api::<Secret>::namespaced(client, namespace);
    let mut seen = pin!(watcher::watch_object(api, name).default_backoff());
    while let Some(event) = seen.next().await {
        match event {
            Ok(None) => keep(&slot, &gate, &format!("Secret {namespace}/{name} does not exist")),
            Ok(Some(secret)) => match store(&secret, &slot) {
                Ok(()) => gate.open(),
                Err(error) => keep(&slot, &gate, &live_chain(&error)),
            },
            Err(error) => keep(&slot, &gate, &live_chain(&error)),
        }
    }
}

fn store(secret: &Secret, slot: &CertificateSlot) -> Result<(), Error> {
    let (chain, key) = (entry(secret, "tls.crt")?, entry(secret, "tls.key")?);
    slot.store(chain.as_bytes(), key.as_bytes()).map_err(|source| Error::Serve { source })
}

/// What was good stays.
fn keep(slot: &CertificateSlot, gate: &Gate, reason: &str) {
    tracing::warn!(reason, "serving certificate not updated");
    if !slot.is_filled() {
        gate.close(reason);
    }
}
