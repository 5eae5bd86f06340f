//! Who asks, who may, and with which certificate: the parts of the server that the API itself does not know.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use apiserver_machinery::api::Api;
use apiserver_machinery::audit::{self, Level};
use apiserver_machinery::authn::{self, Authenticator, LiveConfig};
use apiserver_machinery::authz::Authorizer;
use apiserver_machinery::certificates::{Keeper, Names, Policy, given};
use apiserver_machinery::health::{Gate, Health};
use apiserver_machinery::metrics::Metrics;
use apiserver_machinery::serve::{Limits, Server, listen};
use apiserver_machinery::shutdown::Grace;
use apiserver_machinery::tls::Tls;
use apiserver_machinery::tls::slot::CertificateSlot;
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use prometheus_client::registry::Registry;
use restate_apiservice::{GROUP, VERSION};
use tokio_util::sync::CancellationToken;

use crate::args::{Args, AuditLevel, Bounds, CertificateMode};
use crate::world::World;

/// Field manager of `spec.caBundle`.
const FIELD_MANAGER: &str = "restate-apiserver";

/// Everything around the API.
pub(crate) struct Foundation {
    client: Client,
    args: Args,
    config: Arc<LiveConfig>,
    authorizer: Authorizer,
    health: Health,
    metrics: Metrics,
    registry: Mutex<Registry>,
    slot: Arc<CertificateSlot>,
    certificate: Gate,
}

impl Foundation {
    /// Opens what has to be known before the first request. Readiness waits for the stored objects, never for a
    /// Restate.
    pub(crate) fn new(client: &Client, args: &Args, world: &World) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, "restate-apiserver");
        let health = Health::new();
        let config = LiveConfig::new(&health);
        tokio::spawn(authn::watch(client.clone(), config.clone()));
        let stored = health.gate("stored-objects", "not every watch has told everything");
        let filling = world.clone();
        tokio::spawn(async move {
            filling.filled().await;
            stored.open();
        });
        let authorizer = Authorizer::new(client.clone(), metrics.clone()).with_health(&health);
        let certificate = health.gate("serving-certificate", "there is no serving certificate yet");
        Self {
            client: client.clone(),
            args: args.clone(),
            config,
            authorizer,
            health,
            metrics,
            registry: Mutex::new(registry),
            slot: CertificateSlot::new(),
            certificate,
        }
    }

    /// Adds to what `/metrics` shows.
    pub(crate) fn registered(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Who may do what, for second questions.
    pub(crate) fn authorizer(&self) -> Authorizer {
        self.authorizer.clone()
    }

    /// Serves the API until told to stop.
    pub(crate) async fn serve(self, api: &Api, shutdown: CancellationToken) -> anyhow::Result<()> {
        self.keep_certificate();
        let port = self.args.serving.secure_port;
        let listener = listen(port).with_context(|| format!("port {port} cannot be served on"))?;
        let address = listener.local_addr().context("there is no address to serve on")?;
        let registry = self.registry.into_inner().unwrap_or_default();
        let server = Server {
            router: api.router(),
            resources: api.known_resources(),
            tls: Tls::new(self.slot)?,
            authn: Authenticator::new(self.config, self.client, self.metrics.clone()),
            authz: self.authorizer,
            health: self.health,
            registry: Arc::new(registry),
            audit: audit::Log::new(
                level(self.args.report.audit_level),
                tokio::io::stdout(),
                self.metrics.clone(),
            ),
            metrics: self.metrics,
            version: version(),
            limits: limits(&self.args.bounds),
            grace: Grace {
                delay: Duration::from_secs(self.args.serving.shutdown_delay_seconds),
                ..Grace::default()
            },
        };
        tracing::info!(%address, "serving {GROUP}/{VERSION}");
        server.run(listener, shutdown).await;
        Ok(())
    }

    fn keep_certificate(&self) {
        let (place, serving) = (&self.args.place, &self.args.serving);
        let (client, slot, gate) = (self.client.clone(), self.slot.clone(), self.certificate.clone());
        let secret = serving.certificate_secret.clone();
        match serving.certificate_mode {
            CertificateMode::Own => {
                let keeper = Keeper {
                    client,
                    names: Names {
                        service: serving.service_name.clone(),
                        namespace: place.namespace.clone(),
                        cluster_domain: place.cluster_dns.clone(),
                    },
                    secret,
                    api_services: vec![format!("{VERSION}.{GROUP}")],
                    field_manager: FIELD_MANAGER.to_owned(),
                    policy: Policy::default(),
                    slot,
                    gate,
                    metrics: self.metrics.clone(),
                };
                tokio::spawn(keeper.run());
            }
            CertificateMode::Secret => {
                let namespace = place.namespace.clone();
                tokio::spawn(async move { given::secret(client, &namespace, &secret, slot, gate).await });
            }
        }
    }
}

/// What is served at a time; the other bounds are those of the protocol.
pub(crate) fn limits(told: &Bounds) -> Limits {
    let Bounds { reading_at_once, writing_at_once, long_running_at_once, connection_age_seconds } = *told;
    let age = Duration::from_secs(connection_age_seconds);
    Limits {
        reading: reading_at_once,
        writing: writing_at_once,
        long_running: long_running_at_once,
        connection_age: Some(age).filter(|age| !age.is_zero()),
        ..Limits::default()
    }
}

fn level(told: AuditLevel) -> Level {
    match told {
        AuditLevel::None => Level::None,
        AuditLevel::Changes => Level::Changes,
        AuditLevel::Metadata => Level::Metadata,
    }
}

fn version() -> Info {
    let number = env!("CARGO_PKG_VERSION");
    let mut parts = number.split('.').map(str::to_owned);
    Info {
        major: parts.next().unwrap_or_default(),
        minor: parts.next().unwrap_or_default(),
        git_version: format!("v{number}"),
        platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        ..Info::default()
    }
}
