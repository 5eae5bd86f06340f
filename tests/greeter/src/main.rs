//! The service that the demo and the tests roll out: it says which version of it answered.
//!
//! Three services live at one endpoint: a greeter, a counter (virtual object) and a job (workflow that ends when
//! it is told to). Their names are chosen at run time, so that many deployments can share one Restate. It is not
//! an example of how to write a service: see the SDK's own.
//!
//! `OFFER=greeter` leaves the greeter alone of the three; `LEDGER=HOST:PORT` puts another in their place, each step of
//! which is told to a ledger.

mod ledger;
mod names;
mod serve;
mod services;
mod trail;

use std::env;
use std::net::{Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use crate::ledger::Ledger;
use crate::names::Offer;
use crate::serve::Program;

const PORT: u16 = 9080;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).init();
    let program = Program {
        name: setting("SERVICE_NAME", "greeter"),
        version: setting("VERSION", "v1"),
        offer: offer(&setting("OFFER", "all"), &setting("LEDGER", "")),
    };
    let port = env::var("PORT").ok().map_or(Ok(PORT), |text| text.parse())?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await?;
    tracing::info!(name = program.name, version = program.version, port, "serving");
    let mut ended = signal(SignalKind::terminate())?;
    serve::until(listener, program, async move { ended.recv().await }).await;
    Ok(())
}

fn offer(offer: &str, ledger: &str) -> Offer {
    match (offer, ledger) {
        ("greeter", _) => Offer::Greeter,
        (_, "") => Offer::All,
        (_, ledger) => Offer::Trail(Ledger::at(ledger)),
    }
}

fn setting(name: &str, default: &str) -> String {
    env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
}
