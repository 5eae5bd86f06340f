//! Self mode at work: follows Secret and APIServices, serves what the Secret holds, takes the next step.
//!
//! Every replica runs this. A step counts only if the Secret is still the one from which it was decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};

use super::keyring::Keyring;
use super::plan::{self, Step};
use super::publish::{self, Seen};
use super::{Error, Names, Policy};
use crate::authn::live_chain;
use crate::health::Gate;
use crate::metrics::Metrics;
use crate::tls::slot::CertificateSlot;

/// After an error, or after a step whose effect has not been seen yet.
const SOON: Duration = Duration::from_secs(5);
/// More steps than this in a row are a fault.
const STEPS: usize = 8;

/// Keeps the certificate of one server.
pub struct Keeper {
    /// Client with rights on the Secret (create; get, list, watch, update by name) and the APIServices (get, list,
    /// watch, patch by name).
    pub client: Client,
    /// The Service.
    pub names: Names,
    /// Name of the Secret, in the Service's namespace.
    pub secret: String,
    /// Names of the APIServices.
    pub api_services: Vec<String>,
    /// Field manager that owns `spec.caBundle`.
    pub field_manager: String,
    /// How long things last.
    pub policy: Policy,
    /// Where the certificate is served from.
    pub slot: Arc<CertificateSlot>,
    /// Opened once there is a certificate.
    pub gate: Gate,
    /// Told when the certificate expires.
    pub metrics: Metrics,
}

enum Event {
    Secret(Option<Box<Secret>>),
    Service(String, Option<Box<APIService>>),
}

#[derive(Default)]
struct View {
    secret: Option<Option<Box<Secret>>>,
    services: BTreeMap<String, Seen>,
}

impl Keeper {
    /// Runs for ever.
    pub async fn run(self) {
        let mut events = self.events();
        let services = self.api_services.iter().map(|name| (name.clone(), None)).collect();
        let mut view = View { secret: None, services };
        let mut pause = SOON;
        loop {
            tokio::select! {
                Some(event) = events.next() => self.see(&mut view, event),
                () = tokio::time::sleep(pause) => {}
            }
            pause = self.step(&view).await.unwrap_or_else(|error| {
                tracing::warn!(error = live_chain(&error), "the serving certificate could not be kept up");
                SOON
            });
        }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.names.namespace)
    }

    fn events(&self) -> BoxStream<'static, Event> {
        let logged = |error: &watcher::Error| tracing::warn!(error = live_chain(error), "watch failed");
        let secret = watcher::watch_object(self.secrets(), &self.secret).default_backoff();
        let secret = secret.inspect_err(logged).filter_map(async |seen| Some(Event::Secret(seen.ok()?.map(Box::new))));
        let services = self.api_services.iter().map(|name| {
            let api = Api::<APIService>::all(self.client.clone());
            let (name, seen) = (name.clone(), watcher::watch_object(api, name).default_backoff());
            let event = move |seen: watcher::Result<Option<APIService>>| {
                let event = seen.ok().map(|seen| Event::Service(name.clone(), seen.map(Box::new)));
                std::future::ready(event)
            };
            seen.inspect_err(logged).filter_map(event).boxed()
        });
        stream::select(secret.boxed(), stream::select_all(services)).boxed()
    }

    fn see(&self, view: &mut View, event: Event) {
        match event {
            Event::Service(name, seen) => {
                view.services.insert(name, Some(seen));
            }
            Event::Secret(seen) => {
                if let Some(Err(error)) = seen.as_deref().map(|secret| self.serve(secret)) {
                    tracing::warn!(error = live_chain(&error), secret = self.secret, "not served");
                }
                view.secret = Some(seen);
            }
        }
    }

    /// What was served before stays if this cannot be.
    fn serve(&self, secret: &Secret) -> Result<(), Error> {
        let keyring = Keyring::from_secret(secret)?;
        let Some(leaf) = keyring.leaf() else { return Ok(()) };
        let stored = self.slot.store(leaf.certificate().as_bytes(), leaf.key().as_bytes());
        stored.map_err(|source| Error::Serve { source })?;
        self.metrics.serving_certificate(leaf.valid().until);
        self.gate.open();
        Ok(())
    }

    /// Returns when to look again.
    async fn step(&self, view: &View) -> Result<Duration, Error> {
        let Some(secret) = &view.secret else { return Ok(SOON) };
        let keyring = secret.as_deref().map(Keyring::from_secret).transpose().unwrap_or_default();
        if let Some(keyring) = &keyring {
            self.publish(view, keyring).await?;
        }
        let published = publish::published(view.services.values());
        let (before, now) = (keyring.unwrap_or_default(), Timestamp::now());
        let (after, until) = advance(&before, |keyring| plan::next(keyring, &published, &self.names, &self.policy, now), |keyring, step| {
            tracing::info!(?step, "serving certificate");
            plan::take(keyring, step, &self.names, &self.policy, now)
        })?;
        if after == before {
            return Ok(Duration::try_from(until.duration_since(now)).unwrap_or(SOON));
        }
        self.write(secret.as_deref(), &after).await?;
        Ok(SOON)
    }

    async fn publish(&self, view: &View, keyring: &Keyring) -> Result<(), Error> {
        for (name, seen) in &view.services {
            let Some(Some(service)) = seen else { continue };
            if !publish::is_current(service, keyring) {
                publish::publish(&self.client, &self.field_manager, name, &self.secrets(), &self.secret).await?;
            }
        }
        Ok(())
    }

    /// H4: whoever comes second finds out and looks again.
    async fn write(&self, old: Option<&Secret>, keyring: &Keyring) -> Result<(), Error> {
        let params = PostParams { field_manager: Some(self.field_manager.clone()), ..PostParams::default() };
        let new = || ObjectMeta { name: Some(self.secret.clone()), ..ObjectMeta::default() };
        let secret = keyring.to_secret(old.map_or_else(new, |old| old.metadata.clone()));
        let written = match old {
            None => self.secrets().create(&params, &secret).await,
            Some(_) => self.secrets().replace(&self.secret, &params, &secret).await,
        };
        match written {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(source) => Err(Error::Kube { action: "write the Secret", source: Box::new(source) }),
        }
    }
}

/// Takes steps until there is none left for now.
pub(super) fn advance(
    keyring: &Keyring,
    next: impl Fn(&Keyring) -> Step,
    take: impl Fn(Keyring, &Step) -> Result<Keyring, Error>,
) -> Result<(Keyring, Timestamp), Error> {
    let mut keyring = keyring.clone();
    for _ in 0..STEPS {
        match next(&keyring) {
            Step::Rest(until) => return Ok((keyring, until)),
            step => keyring = take(keyring, &step)?,
        }
    }
    Ok((keyring, Timestamp::now()))
}
