//! `cargo lab`: parses the command line, runs one command, prints one error. No logic.

use std::process::ExitCode;

use clap::Parser;
use restate_lab::{args::Args, commands};

#[tokio::main]
async fn main() -> ExitCode {
    // For every client; nobody was first here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match commands::run(Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
