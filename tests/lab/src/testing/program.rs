//! One program that tests something: its output is shown while it runs, and read for its counts.

use std::process::Stdio;

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use super::tally::Tally;
use crate::{
    Context, Result,
    images::{target, workspace},
};

/// Cargo in this clone. Dependencies are built once for all clones, beside the images' programs.
pub(super) fn cargo(context: &Context, arguments: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).current_dir(workspace()).env("CARGO_TARGET_DIR", target(context));
    // A snapshot that differs is a failure, and never a new file in the clone.
    cargo.env("INSTA_UPDATE", "no");
    // An error says what was waited for; fifty frames of a runtime below it say nothing more.
    cargo.env("RUST_LIB_BACKTRACE", "0");
    cargo
}

/// A program that is one check: it passes or fails as a whole.
pub(super) async fn check(command: Command) -> Result<Tally> {
    let (successful, _) = show(command, |_| None).await?;
    Ok(Tally::of_check(successful))
}

/// Test programs, each of which ends with its counts.
pub(super) async fn tests(command: Command) -> Result<Tally> {
    let (successful, tally) = show(command, Tally::of_test_program).await?;
    Ok(tally.ended(successful))
}

/// Another `cargo lab test`: its last line counts.
pub(super) async fn suite(command: Command) -> Result<Tally> {
    let (successful, tally) = show(command, Tally::of_closing_line).await?;
    Ok(tally.ended(successful))
}

async fn show(mut command: Command, read: impl Fn(&str) -> Option<Tally>) -> Result<(bool, Tally)> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
    let mut program = started.with_context(|| format!("cannot start {name}"))?;
    let output = program.stdout.take().context("the program has no output")?;
    let mut lines = BufReader::new(output).lines();
    let mut tally = Tally::default();
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
        if let Some(counts) = read(&line) {
            tally += counts;
        }
    }
    Ok((program.wait().await?.success(), tally))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    #[tokio::test]
    async fn counts_of_several_programs_are_added_up() {
        let line = "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        let tally = tests(shell(&format!("echo '{line}'; echo noise; echo '{line}'"))).await.unwrap();
        assert_eq!(tally, Tally { passed: 4, failed: 0, skipped: 2 });
    }

    #[tokio::test]
    async fn a_program_that_dies_silently_has_failed() {
        assert_eq!(tests(shell("exit 101")).await.unwrap(), Tally { failed: 1, ..Tally::default() });
        assert_eq!(check(shell("exit 1")).await.unwrap(), Tally::of_check(false));
        assert_eq!(check(shell("exit 0")).await.unwrap(), Tally::of_check(true));
    }

    #[tokio::test]
    async fn a_suite_is_read_by_its_last_line_alone() {
        let script =
            "echo 'test result: ok. 9 passed; 0 failed; 0 ignored'; echo '3 passed, 1 failed'; exit 1";
        assert_eq!(suite(shell(script)).await.unwrap(), Tally { passed: 3, failed: 1, skipped: 0 });
    }
}
