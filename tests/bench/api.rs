//! The aggregated API beside what else could serve the same: `cargo lab bench api`.

mod figures;
mod process;

use restate_tests::Result;

/// Measures and prints.
pub(super) async fn run(words: &[String]) -> Result {
    let _ = words;
    let cost = process::cost("restate-apiserver")?;
    println!("apiserver: {:.1} MB, of its own {:.1} MB", cost.resident, cost.own);
    Ok(())
}
