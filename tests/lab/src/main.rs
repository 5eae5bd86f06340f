//! `cargo lab`: parses the command line, runs one command, prints one error. No logic.

use std::process::ExitCode;

use clap::Parser;
use restate_lab::{args::Args, commands};

#[tokio::main]
async fn main() -> ExitCode {
    match commands::run(Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
