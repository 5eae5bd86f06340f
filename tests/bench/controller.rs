//! What the controller costs: writes, questions, processor time and memory, from many RestateDeployments at once.
//!
//! ```text
//! stand (Restate, pods in name only) ─► Kubernetes alone ─► phases of ours ─► latency ─► a large table
//! ```

mod audit;
mod latency;
mod phases;
mod process;
mod stand;
mod table;
mod until;

use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use restate_tests::{Lab, Result};

use self::{
    phases::{Phase, Terms},
    stand::Stand,
};

/// What the controller costs.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo lab bench controller", max_term_width = 110)]
struct Args {
    /// How many RestateDeployments; several sizes; none with 0
    #[arg(long, value_delimiter = ',', default_value = "100,400,1000")]
    counts: Vec<usize>,
    /// For how many seconds it is watched at rest
    #[arg(long, default_value_t = 60)]
    rest: u64,
    /// How many single rollouts are timed; none with 0
    #[arg(long, default_value_t = 20)]
    rollouts: usize,
    /// How many invocations the usage query is asked of; none with 0
    #[arg(long, default_value_t = 1_000_000)]
    invocations: usize,
    /// Measure the controller that runs, in place of one that was just started
    #[arg(long)]
    as_it_is: bool,
}

/// Measures and prints.
pub(super) async fn run(words: &[String]) -> Result {
    let words = std::iter::once("controller").chain(words.iter().map(String::as_str));
    let arguments = Args::try_parse_from(words)?;
    let lab = Lab::of_this_run()?;
    ensure!(lab.is_ours(), "processes of a cluster elsewhere cannot be looked at");
    let stand = Stand::new(&lab).await?;
    let measured = measure(&stand, &arguments).await;
    // What went wrong first is what is said.
    measured.and(stand.tear_down().await)
}

async fn measure(stand: &Stand, arguments: &Args) -> Result {
    if arguments.rollouts > 0 {
        let latency = latency::measure(stand, arguments.rollouts).await?;
        println!("\nfrom pod ready to Ready: {}", spread(&latency.rollout));
        println!("of which Restate's discovery call: {}", spread(&latency.call));
        println!("and the rest: {}", spread(&latency.rest));
        println!("a registration by hand: {}\n", spread(&latency.registration));
    }
    let terms = Terms { rest: Duration::from_secs(arguments.rest), anew: !arguments.as_it_is };
    for count in arguments.counts.iter().copied().filter(|count| *count > 0) {
        let alone = phases::alone(stand, count).await?;
        let phases = phases::measure(stand, count, &terms, alone).await?;
        let rows: Vec<_> = phases.iter().map(|phase| phase.row(count)).collect();
        println!("\n{}", table(&Phase::head(), &rows));
        for phase in &phases {
            println!("{} {}: {}", count, phase.name, phase.writes.kinds());
        }
        stand.clear(stand::Subject::Ours).await?;
    }
    if arguments.invocations > 0 {
        let asked = table::measure(stand, arguments.invocations).await?;
        let filled = asked.filled.as_secs();
        println!(
            "\nusage query with {} invocations (made in {filled} s): {}",
            asked.invocations,
            spread(&asked.took)
        );
    }
    Ok(())
}

/// Smallest, middle and largest of what is in order of size.
fn spread(times: &[Duration]) -> String {
    let at = |place: usize| times.get(place).map_or(0, Duration::as_millis);
    let last = times.len().saturating_sub(1);
    format!("{} ms in the middle, {} to {} ms, of {}", at(last / 2), at(0), at(last), times.len())
}

/// A table in Markdown.
fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |row: &[String]| format!("| {} |\n", row.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    [line(head), rule].into_iter().chain(rows.iter().map(|row| line(row))).collect()
}
