//! `kubectl get moments -w` shows what time it is: `cargo run --example moments -- ADDRESS CERTIFICATE KEY` with a
//! kubeconfig, and an `APIService` `v1.time.example` that leads to the address.

use std::{error::Error, sync::Arc, time::Duration};

use apiserver_machinery::kind::{Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Verb};
use apiserver_machinery::{
    api::Api, audit, authn, authz::Authorizer, certificates::given, health::Health, metrics::Metrics,
    resource::Readable, serve, shutdown::Grace, store::Store, tls::Tls, version::Clock,
};
use jiff::{Timestamp, tz::TimeZone};
use k8s_openapi::apimachinery::pkg::{apis::meta::v1::ObjectMeta, version::Info};

/// What time it is somewhere.
#[derive(Clone, serde::Serialize, schemars::JsonSchema)]
struct Moment {
    metadata: ObjectMeta,
    /// Hours and minutes.
    time: String,
}

impl Kind for Moment {
    const GVK: Gvk = Gvk { group: "time.example", version: "v1", kind: "Moment" };
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("Time", "Hours and minutes.")];
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
    fn row(&self) -> Row {
        vec![self.metadata.name.clone().into(), self.time.clone().into()]
    }
}

impl Resource for Moment {
    const DESCRIPTOR: Descriptor = Descriptor::new(
        Self::GVK,
        ("moments", "moment"),
        Scope::Cluster,
        &[Verb::Get, Verb::List, Verb::Watch],
    );
}

struct Moments(Store<Moment>);

impl Readable for Moments {
    type Object = Moment;
    fn store(&self) -> &Store<Moment> {
        &self.0
    }
}

fn moment(name: &str, zone: &str) -> Option<Moment> {
    let time = Timestamp::now().to_zoned(TimeZone::get(zone).ok()?).strftime("%H:%M").to_string();
    Some(Moment { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, time })
}

/// Publishes the complete set; the store finds out what changed.
async fn look(store: Store<Moment>) {
    let zones = [("utc", "UTC"), ("berlin", "Europe/Berlin"), ("seattle", "America/Los_Angeles")];
    loop {
        let moments = zones.iter().filter_map(|(name, zone)| moment(name, zone)).collect();
        store.publish(moments).unwrap_or_else(|error| eprintln!("{error}"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, certificate, key] = arguments.as_slice() else {
        return Err("ADDRESS CERTIFICATE KEY".into());
    };
    let tls = Tls::new(given::files(certificate, key).await?)?;
    let client = kube::Client::try_default().await?;
    let (health, mut registry) = (Health::new(), prometheus_client::registry::Registry::default());
    let (metrics, config) = (Metrics::new(&mut registry, "moments"), authn::LiveConfig::new(&health));
    tokio::spawn(authn::watch(client.clone(), Arc::clone(&config)));
    let store = Store::new(&Arc::new(Clock::new()));
    tokio::spawn(look(store.clone()));
    let api = Api::builder("time.example", "v1").readable(Moments(store)).build()?;
    let server = serve::Server {
        router: api.router(),
        resources: api.known_resources(),
        tls,
        authn: authn::Authenticator::new(config, client.clone(), metrics.clone()),
        authz: Authorizer::new(client, metrics.clone()).with_health(&health),
        health,
        metrics,
        registry: Arc::new(registry),
        audit: audit::Log::off(),
        version: Info::default(),
        limits: serve::Limits::default(),
        grace: Grace::default(),
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    server.run(listener, tokio_util::sync::CancellationToken::new()).await;
    Ok(())
}
