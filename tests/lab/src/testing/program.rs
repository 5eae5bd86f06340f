//! One program that tests something: its output is shown while it runs, and read for its counts.

use std::process::Stdio;

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use super::{
    report::{Reader, Report},
    tally::Tally,
};
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
pub(super) async fn check(command: Command) -> Result<Report> {
    Ok(Report::of_check(show(command, |_| ()).await?))
}

/// Test programs, each of which ends with its counts.
pub(super) async fn tests(command: Command) -> Result<Report> {
    let mut reader = Reader::default();
    let successful = show(command, |line| reader.read(line)).await?;
    Ok(reader.ended(successful))
}

/// Another `cargo lab test`: its last line counts.
pub(super) async fn suite(command: Command) -> Result<Report> {
    let mut tally = Tally::default();
    let successful = show(command, |line| tally += Tally::of_closing_line(line).unwrap_or_default()).await?;
    Ok(tally.ended(successful).into())
}

/// Did it succeed?
async fn show(mut command: Command, mut read: impl FnMut(&str)) -> Result<bool> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
    let mut program = started.with_context(|| format!("cannot start {name}"))?;
    let output = program.stdout.take().context("the program has no output")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
        read(&line);
    }
    Ok(program.wait().await?.success())
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
        let report = tests(shell(&format!("echo '{line}'; echo noise; echo '{line}'"))).await.unwrap();
        assert_eq!(report.tally, Tally { passed: 4, failed: 0, skipped: 2 });
    }

    #[tokio::test]
    async fn a_program_that_dies_silently_has_failed() {
        let died = Tally { failed: 1, ..Tally::default() };
        assert_eq!(tests(shell("exit 101")).await.unwrap().tally, died);
        let killed = "echo 'running 2 tests'; kill -9 $$";
        assert_eq!(tests(shell(killed)).await.unwrap().tally, died);
        assert_eq!(tests(shell("echo 'running 2 tests'; exit 0")).await.unwrap().tally, died);
        assert_eq!(check(shell("exit 1")).await.unwrap(), Report::of_check(false));
        assert_eq!(check(shell("exit 0")).await.unwrap(), Report::of_check(true));
    }

    #[tokio::test]
    async fn a_suite_is_read_by_its_last_line_alone() {
        let script =
            "echo 'test result: ok. 9 passed; 0 failed; 0 ignored'; echo '3 passed, 1 failed'; exit 1";
        assert_eq!(suite(shell(script)).await.unwrap().tally, Tally { passed: 3, failed: 1, skipped: 0 });
    }
}
