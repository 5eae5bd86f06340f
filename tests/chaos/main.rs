//! Continuous rollouts and rollbacks while everything dies in turn: `cargo lab test chaos`.
//!
//! Callers, developers, trouble and a watchman act at the same time; afterwards a judge compares what callers were
//! answered with a ledger of side effects that Restate knows nothing of. It kills what all tests stand on, so it runs
//! after them and alone.

mod faults;
mod rollouts;
mod run;
mod unchecked;
mod watch;
mod world;

use anyhow::ensure;
use restate_tests::{Lab, Result, oracle};

use crate::run::{Size, Verdict};

/// What is printed of a verdict that is long.
const SHOWN: usize = 20;

fn show(verdict: &Verdict) -> String {
    let found = verdict.violations.iter().take(SHOWN).map(|violation| format!("\n  {violation}"));
    format!("{}\n{} violations{}", verdict.summary, verdict.violations.len(), found.collect::<String>())
}

/// users.md §2a (versions with work stay), §2b (rollback), architecture §4, 1–3.
#[tokio::test(flavor = "multi_thread")]
async fn chaos_leaves_every_call_what_restate_promises() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: a cluster elsewhere is not ours to kill");
        return Ok(());
    }
    let verdict = run::run(&lab, if lab.runs_all() { Size::large() } else { Size::small() }).await?;
    ensure!(verdict.violations.is_empty(), "{}", show(&verdict));
    Ok(())
}

/// The run proves itself: without the check before a removal it fails, by what the watchman sees.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "another controller and a run of its own: --all"]
async fn proof_that_a_controller_without_the_check_is_found_out() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: the controller of a cluster elsewhere is not ours to replace");
        return Ok(());
    }
    let verdict = Box::pin(run::run_unchecked(&lab, Size::tiny())).await?;
    ensure!(
        verdict.violations.iter().any(oracle::Violation::is_removal),
        "nothing was found: {}",
        show(&verdict)
    );
    Ok(())
}
