//! What the controller costs: writes, questions, processor time and memory, from many RestateDeployments at once.

use restate_tests::{Lab, Result};

/// Measures what is named, or all of it.
pub(super) async fn run(_arguments: &[String]) -> Result {
    Lab::of_this_run().map(drop)
}
