//! Given mode: somebody else makes the certificate and publishes its CA (H5).

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use rustls::server::ResolvesServerCert;
use tls_hot_reload::CertifiedKeyWatched;

use super::{Error, entry};
use crate::authn::live_chain;
use crate::health::Gate;
use crate::tls::slot::CertificateSlot;

/// Serves the pair in two PEM files, and what replaces it: also by the swap of a mounted Secret.
pub async fn files(certificate: &str, key: &str) -> Result<Arc<dyn ResolvesServerCert>, Error> {
    // The library signs with the provider of the process; one that is installed already stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let watched = CertifiedKeyWatched::new(key, certificate).await;
    let watched = watched.map_err(|source| Error::Files { source })?;
    Ok(watched)
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
