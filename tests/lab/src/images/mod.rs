//! Images: built from the workspace as OCI archives, imported into the node.

pub mod archive;
mod layer;

use std::path::PathBuf;

pub use layer::Layer;

use crate::{Context, Result, node::Node};

/// Options of `cargo lab image`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ImageArgs {
    /// Where the archives go
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// The images that the chart and the tests use, by full name.
#[derive(Clone, Debug, Default)]
pub struct Images {}

/// Builds what is stale and makes the node (or the registry of an existing cluster) have all of it.
pub async fn ensure(_context: &Context, _node: &Node) -> Result<Images> {
    anyhow::bail!("images are not built yet")
}

/// `cargo lab image`.
pub async fn export(_context: &Context, _arguments: ImageArgs) -> Result<()> {
    anyhow::bail!("images are not built yet")
}
