//! `kubectl restate`: assembles, runs, stops. No logic.

mod args;
mod ui;

use anyhow::Context as _;
use clap::Parser;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;

use args::{Args, Command, Connection, Ui};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().ok();
    match Args::parse().command {
        Command::Ui(ui) => open(&ui).await,
    }
}

async fn open(ui: &Ui) -> anyhow::Result<()> {
    let config = config(&ui.connection).await?;
    let listener = TcpListener::bind(("127.0.0.1", ui.port)).await.context("the port cannot be opened")?;
    let address = listener.local_addr()?;
    let app = ui::App::new(config, &ui.cluster, address.port())?;
    app.check().await?;
    println!("Restate's web UI of {}: http://{address}/ui/", ui.cluster);
    let served = axum::serve(listener, app.router());
    tokio::select! {
        ended = served => Ok(ended?),
        ended = tokio::signal::ctrl_c() => Ok(ended?),
    }
}

async fn config(connection: &Connection) -> anyhow::Result<Config> {
    let Connection { kubeconfig, context, as_user, as_groups } = connection;
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let mut config = match kubeconfig {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await,
        None => Config::from_kubeconfig(&options).await,
    }
    .context("the kubeconfig cannot be used")?;
    if as_user.is_some() {
        config.auth_info.impersonate.clone_from(as_user);
        config.auth_info.impersonate_groups = Some(as_groups.clone()).filter(|groups| !groups.is_empty());
    }
    Ok(config)
}
