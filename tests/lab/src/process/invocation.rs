//! One run of another program to its end. A failure says what was being done, with which words the program
//! failed, and where the whole output is.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
};

use tokio::{io::AsyncWriteExt, process::Command};

/// What can go wrong with a program that is run to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program cannot be started.
    #[error("{what}: cannot start {}", program.display())]
    Start {
        /// What was being done.
        what: String,
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program's log cannot be written.
    #[error("{what}: cannot write {}", log.display())]
    Log {
        /// What was being done.
        what: String,
        /// The log file.
        log: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program ended with a failure.
    #[error("{what} failed ({status}){words}")]
    Failed {
        /// What was being done.
        what: String,
        /// How the program ended.
        status: ExitStatus,
        /// Its last words, or where they are.
        words: String,
    },
}

/// A program about to be run.
#[derive(Debug)]
#[must_use]
pub struct Invocation {
    what: String,
    command: Command,
    log: Option<PathBuf>,
    input: Option<Vec<u8>>,
}

/// How many lines of a log an error shows.
const LAST_LINES: usize = 12;

impl Invocation {
    /// `what` says to a person what is being done, for example `building kubelet`.
    pub fn new(what: impl Into<String>, program: impl AsRef<OsStr>) -> Self {
        Self { what: what.into(), command: Command::new(program), log: None, input: None }
    }

    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// One environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// One environment variable less.
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// The directory to run in.
    pub fn dir(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Standard output and error go to the end of this file.
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// What the program reads.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Runs it; its output goes to the log, or is shown by the error when it fails.
    pub async fn run(self) -> Result<(), Error> {
        self.output().await.map(|_| ())
    }

    /// Runs it and gives what it printed on standard output.
    pub async fn text(self) -> Result<String, Error> {
        let output = self.output().await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it and gives all that it printed; a failure is an error.
    pub async fn output(self) -> Result<Output, Error> {
        let Self { what, mut command, log, input } = self;
        let program = PathBuf::from(command.as_std().get_program());
        let logged = log.as_deref().map(open_log).transpose();
        let logged = logged.map_err(|source| Error::Log {
            what: what.clone(),
            log: log.clone().unwrap_or_default(),
            source,
        })?;
        redirect(&mut command, logged.as_ref(), input.is_some()).map_err(|source| Error::Start {
            what: what.clone(),
            program: program.clone(),
            source,
        })?;
        let output = feed_and_wait(&mut command, input).await;
        let output = output.map_err(|source| Error::Start { what: what.clone(), program, source })?;
        if output.status.success() {
            return Ok(output);
        }
        Err(Error::Failed { what, status: output.status, words: last_words(&output, log.as_deref()) })
    }
}

/// The last lines of a text, indented, to be shown below an error.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let skipped = lines.len().saturating_sub(count);
    lines.iter().skip(skipped).fold(String::new(), |text, line| text + "\n    " + line)
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

fn redirect(command: &mut Command, log: Option<&File>, has_input: bool) -> io::Result<()> {
    command.stdin(if has_input { Stdio::piped() } else { Stdio::null() }).kill_on_drop(true);
    match log {
        Some(file) => command.stdout(file.try_clone()?).stderr(file.try_clone()?),
        None => command.stdout(Stdio::piped()).stderr(Stdio::piped()),
    };
    Ok(())
}

async fn feed_and_wait(command: &mut Command, input: Option<Vec<u8>>) -> io::Result<Output> {
    let mut child = command.spawn()?;
    let stdin = child.stdin.take();
    let feed = async move {
        if let (Some(mut stdin), Some(bytes)) = (stdin, input) {
            // A program that ends without reading all of it says so by its status.
            let _ = stdin.write_all(&bytes).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    output
}

fn last_words(output: &Output, log: Option<&Path>) -> String {
    let (text, place) = match log {
        Some(path) => (fs::read_to_string(path).unwrap_or_default(), format!("\n  log: {}", path.display())),
        None => (String::from_utf8_lossy(&output.stderr).into_owned(), String::new()),
    };
    format!("{}{place}", last_lines(&text, LAST_LINES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Invocation {
        Invocation::new("a test", "sh").args(["-c", script])
    }

    #[tokio::test]
    async fn what_is_printed_is_given() {
        assert_eq!(shell("echo out; echo err >&2").text().await.expect("it ends well"), "out\n");
    }

    #[tokio::test]
    async fn what_is_read_is_all_of_the_input() {
        let input = vec![b'x'; 1 << 20];
        assert_eq!(shell("wc -c").input(input).text().await.expect("it ends well").trim(), "1048576");
    }

    #[tokio::test]
    async fn input_that_nobody_reads_is_no_failure() {
        assert!(shell("exit 0").input(vec![b'x'; 1 << 20]).run().await.is_ok());
    }

    #[tokio::test]
    async fn a_failure_shows_its_last_words() {
        let error = shell("echo first; echo why >&2; exit 3").run().await.expect_err("it fails");
        insta::assert_snapshot!(error, @"
        a test failed (exit status: 3)
            why
        ");
    }

    #[tokio::test]
    async fn a_failure_names_its_log() {
        let place = tempfile::tempdir().expect("a directory");
        let log = place.path().join("deep/build.log");
        let error = shell("seq 100; exit 1").log(&log).run().await.expect_err("it fails").to_string();
        assert!(error.contains("\n    100\n") && !error.contains("\n    80\n"), "{error}");
        assert!(error.ends_with(&format!("log: {}", log.display())), "{error}");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = Invocation::new("a test", "/nowhere/program").run().await.expect_err("there is none");
        assert_eq!(error.to_string(), "a test: cannot start /nowhere/program");
    }

    #[test]
    fn empty_lines_are_no_words() {
        assert_eq!(last_lines("a\n\n  \nb\n\n", 2), "\n    a\n    b");
    }
}
