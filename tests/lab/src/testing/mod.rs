//! `cargo lab test` and `cargo lab bench`: which suites run, in which order, with which budget.

use std::process::ExitCode;

use crate::{Context, Result};

/// Options of `cargo lab test`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TestArgs {
    /// Also what takes long: soak, matrices, several Kubernetes minors
    #[arg(long)]
    pub all: bool,
}

/// Options of `cargo lab bench`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BenchArgs {}

/// `cargo lab test`.
pub async fn run(_context: &Context, _arguments: TestArgs) -> Result<ExitCode> {
    anyhow::bail!("the tests do not exist yet")
}

/// `cargo lab bench`.
pub async fn bench(_context: &Context, _arguments: BenchArgs) -> Result<ExitCode> {
    anyhow::bail!("the benchmarks do not exist yet")
}
