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

/// Much that is small is read and dropped at once; the system's keeps a heap for each thread unless it is told not to.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Most of a pass is waiting.
const WORKERS: usize = 2;
/// Names are looked up beside the workers. Each thread costs memory of its own that is never given back.
const BLOCKING: usize = 4;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(WORKERS).max_blocking_threads(BLOCKING).enable_all().build()?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
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
