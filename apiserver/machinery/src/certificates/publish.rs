//! Keeps `spec.caBundle` of the APIServices equal to the CAs of the Secret (H2).
//!
//! Invariant: only that one field is ours. It is written only over the APIService that was read before the Secret was:
//! whoever wrote a newer bundle had written the newer Secret first, so an old bundle never replaces a newer one (H4).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::Error;
use super::keyring::{Keyring, fingerprints};
use super::plan::Published;

/// What was last seen of an object.
#[derive(Default)]
pub(super) enum Seen<T> {
    /// Nothing yet.
    #[default]
    NotYet,
    /// That it does not exist.
    Absent,
    /// Itself.
    Present(Box<T>),
}

impl<T> From<Option<T>> for Seen<T> {
    fn from(object: Option<T>) -> Self {
        object.map_or(Self::Absent, |object| Self::Present(Box::new(object)))
    }
}

/// What a list of APIServices trusts as a whole. One that trusts anybody says nothing.
pub(super) fn published<'a>(services: impl Iterator<Item = &'a Seen<APIService>>) -> Published {
    let mut common: Option<BTreeSet<String>> = None;
    for seen in services {
        match seen {
            Seen::NotYet => return Published::Unknown,
            Seen::Absent => {}
            Seen::Present(service) if is_insecure(service) => {}
            Seen::Present(service) => {
                let held: BTreeSet<_> = trusted(service).into_iter().collect();
                common = Some(common.map_or(held.clone(), |all| &all & &held));
            }
        }
    }
    common.map_or(Published::Nowhere, Published::Everywhere)
}

/// Whether the APIService trusts just the CAs of the keyring. Where verification is switched off, a bundle is refused.
pub(super) fn is_current(service: &APIService, keyring: &Keyring) -> bool {
    let held: BTreeSet<_> = trusted(service).into_iter().collect();
    let wanted: BTreeSet<_> =
        keyring.authorities().iter().map(|each| each.fingerprint().to_owned()).collect();
    held == wanted || is_insecure(service)
}

/// Writes the bundle, if the APIService and the Secret are still what they were.
pub(super) async fn publish(
    client: &Client,
    manager: &str,
    name: &str,
    secrets: &Api<Secret>,
    secret: &str,
) -> Result<(), Error> {
    let failed = |action| move |source| Error::Kube { action, source: Box::new(source) };
    let api = Api::<APIService>::all(client.clone());
    let Some(service) = api.get_opt(name).await.map_err(failed("read the APIService"))? else {
        return Ok(());
    };
    let secret = secrets.get(secret).await.map_err(failed("read the Secret"))?;
    let keyring = Keyring::from_secret(&secret)?;
    if is_current(&service, &keyring) {
        return Ok(());
    }
    let patch = Patch::Apply(patch(&service, &keyring));
    let applied = api.patch(name, &PatchParams::apply(manager).force(), &patch).await;
    match applied {
        Ok(_) => tracing::info!(api_service = name, cas = keyring.authorities().len(), "caBundle published"),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            tracing::debug!(api_service = name, "changed meanwhile");
        }
        Err(source) => return Err(failed("patch the APIService")(source)),
    }
    Ok(())
}

fn patch(service: &APIService, keyring: &Keyring) -> serde_json::Value {
    let bundle = k8s_openapi::ByteString(keyring.bundle().into_bytes());
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": service.metadata.name, "resourceVersion": service.metadata.resource_version},
        "spec": {"caBundle": bundle},
    })
}

fn trusted(service: &APIService) -> Vec<String> {
    let bundle = service.spec.as_ref().and_then(|spec| spec.ca_bundle.as_ref());
    bundle.map(|bundle| fingerprints(&bundle.0)).unwrap_or_default()
}

pub(super) fn is_insecure(service: &APIService) -> bool {
    service.spec.as_ref().and_then(|spec| spec.insecure_skip_tls_verify) == Some(true)
}
