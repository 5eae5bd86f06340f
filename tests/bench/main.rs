//! `cargo lab bench NAME`: figures of the product on this machine. A module per subject; each prints what belongs into
//! docs/benchmarks.md.

mod api;
mod controller;

use std::env;

use anyhow::bail;
use restate_tests::Result;

const NAMES: &str = "api, controller";

#[tokio::main]
async fn main() -> Result {
    // Servers are asked without the clients of the lab, which install it too; nobody was first here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // cargo adds a word of its own.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.split_first() {
        Some((name, rest)) if name == "api" => api::run(rest).await,
        Some((name, rest)) if name == "controller" => controller::run(rest).await,
        Some((name, _)) => bail!("no benchmark is called {name}; there are {NAMES}"),
        None => bail!("which benchmark? There are {NAMES}"),
    }
}
