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
use super::plan::{self, Published, Step};
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
    Secret(Seen<Secret>),
    Service(String, Seen<APIService>),
}

struct View {
    secret: Seen<Secret>,
    services: BTreeMap<String, Seen<APIService>>,
}

impl Keeper {
    /// Runs for ever.
    pub async fn run(self) {
        let mut events = self.events();
        let services = self.api_services.iter().map(|name| (name.clone(), Seen::NotYet)).collect();
        let mut view = View { secret: Seen::NotYet, services };
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
        let secret =
            secret.inspect_err(logged).filter_map(async |seen| Some(Event::Secret(seen.ok()?.into())));
        let services = self.api_services.iter().map(|name| {
            let api = Api::<APIService>::all(self.client.clone());
            let (name, seen) = (name.clone(), watcher::watch_object(api, name).default_backoff());
            let event = move |seen: watcher::Result<Option<APIService>>| {
                std::future::ready(seen.ok().map(|seen| Event::Service(name.clone(), seen.into())))
            };
            seen.inspect_err(logged).filter_map(event).boxed()
        });
        stream::select(secret.boxed(), stream::select_all(services)).boxed()
    }

    fn see(&self, view: &mut View, event: Event) {
        match event {
            Event::Service(name, seen) => {
                if matches!(&seen, Seen::Present(service) if publish::is_insecure(service)) {
                    tracing::warn!(api_service = name, "insecureSkipTLSVerify is set: caBundle is not kept");
                }
                view.services.insert(name, seen);
            }
            Event::Secret(seen) => {
                if let Seen::Present(secret) = &seen
                    && let Err(error) = self.serve(secret)
                {
                    tracing::warn!(error = live_chain(&error), secret = self.secret, "not served");
                }
                view.secret = seen;
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
        let secret = match &view.secret {
            Seen::NotYet => return Ok(SOON),
            Seen::Absent => None,
            Seen::Present(secret) => Some(secret.as_ref()),
        };
        // What cannot be read is made anew.
        let before = secret.and_then(|secret| Keyring::from_secret(secret).ok()).unwrap_or_default();
        let published = publish::published(view.services.values());
        let (after, until, steps) = self.advance(&before, &published)?;
        if after == before {
            self.publish(view, &before).await;
            return Ok(Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or(SOON));
        }
        if self.write(secret, &after).await? {
            tracing::info!(?steps, "serving certificate");
        }
        Ok(SOON)
    }

    fn advance(
        &self,
        before: &Keyring,
        published: &Published,
    ) -> Result<(Keyring, Timestamp, Vec<Step>), Error> {
        let (names, policy, now) = (&self.names, &self.policy, Timestamp::now());
        let mut steps = Vec::new();
        let next = |keyring: &Keyring| plan::next(keyring, published, names, policy, now);
        let (after, until) = advance(before, next, |keyring, step| {
            steps.push(step.clone());
            plan::take(keyring, step, names, policy, now)
        })?;
        Ok((after, until, steps))
    }

    /// A bundle that cannot be written holds up its own CA alone.
    async fn publish(&self, view: &View, keyring: &Keyring) {
        for (name, seen) in &view.services {
            let Seen::Present(service) = seen else { continue };
            if publish::is_current(service, keyring) {
                continue;
            }
            let manager = &self.field_manager;
            let published =
                publish::publish(&self.client, manager, name, &self.secrets(), &self.secret).await;
            if let Err(error) = published {
                tracing::warn!(api_service = name, error = live_chain(&error), "caBundle not published");
            }
        }
    }

    /// Whether it counted. H4: whoever comes second finds out, forgets what it made and looks again.
    async fn write(&self, old: Option<&Secret>, keyring: &Keyring) -> Result<bool, Error> {
        let params = PostParams { field_manager: Some(self.field_manager.clone()), ..PostParams::default() };
        let new = || ObjectMeta { name: Some(self.secret.clone()), ..ObjectMeta::default() };
        let secret = keyring.to_secret(old.map_or_else(new, |old| old.metadata.clone()));
        let written = match old {
            None => self.secrets().create(&params, &secret).await,
            Some(_) => self.secrets().replace(&self.secret, &params, &secret).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(source) => Err(Error::Kube { action: "write the Secret", source: Box::new(source) }),
        }
    }
}

/// Takes steps until there is none left for now.
pub(super) fn advance(
    keyring: &Keyring,
    next: impl Fn(&Keyring) -> Step,
    mut take: impl FnMut(Keyring, &Step) -> Result<Keyring, Error>,
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
