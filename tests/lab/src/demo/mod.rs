//! The demo: the chart, the example objects, two versions and a long invocation.

use crate::{Context, Result, images::Images, node::Node};

/// Installs the chart and shows the table; harmless when it is there already.
pub async fn run(_context: &Context, _node: &Node, _images: &Images) -> Result<()> {
    anyhow::bail!("the demo does not exist yet")
}
