//! The controller of Restate's stored kinds: what users write down is made so, and kept so.
//!
//! ```text
//! watches ─► stores ┐
//!                   ├─► gather ─► validate ─► plan ─► execute ─► status
//! poller ─► snapshot┘            └──── pure ────┘
//! ```
//!
//! This file assembles; `engine.rs` is where a pass is written down.

mod acting;
mod args;
mod engine;
mod execute;
mod kinds;
mod restates;
mod runtime;
#[cfg(test)]
mod testing;
mod uninstall;
mod watches;

use anyhow::Context as _;
use clap::Parser;

use args::{Args, Command};

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    runtime::telemetry::start(&args.report)?;
    let ring = rustls::crypto::ring::default_provider().install_default();
    ring.map_err(|_| anyhow::anyhow!("a cryptography provider is installed already"))?;
    let stop = runtime::shutdown::on_signal().context("failed to listen to signals")?;
    let config = kube::Config::infer().await.context("failed to find out how to reach the API server")?;
    match &args.command {
        None => acting::run(args, config, stop).await,
        Some(Command::Uninstall(what)) => uninstall::run(&args, what, config, stop).await,
    }
}
