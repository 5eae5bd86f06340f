//! Processes that outlive this one. Each has a file that says which process it is and by which recipe it was
//! started, so that any later run, from any clone, can judge it, keep it, replace it or end it.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Identity, last_lines};

/// What can go wrong with a process that is to be left running.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// It cannot be started.
    #[error("cannot start {name} ({})", program.display())]
    Start {
        /// Its name.
        name: String,
        /// Its program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its process file cannot be written.
    #[error("cannot write {}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended by itself.
    #[error("{name} ended by itself{words}\n  log: {}", log.display())]
    Ended {
        /// Its name.
        name: String,
        /// Where all that it said is.
        log: PathBuf,
        /// Its last words.
        words: String,
    },
}

/// All that decides how a process runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment: nothing is inherited, so that no proxy setting of a shell reaches a component.
    pub environment: Vec<(String, OsString)>,
    /// Files that it reads once, at its start.
    pub configuration: Vec<PathBuf>,
}

/// A process with a name, a log and a process file.
#[derive(Clone, Debug)]
pub struct Daemon {
    name: String,
    log: PathBuf,
    file: PathBuf,
}

/// Is it there, and is it the one that is wanted?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presence {
    /// It runs by the wanted recipe.
    Running,
    /// It runs by another recipe: another version, other options.
    Outdated,
    /// It was started and has ended.
    Ended,
    /// It was never started.
    Absent,
}

#[derive(Debug, Deserialize, Serialize)]
struct Record {
    identity: Identity,
    recipe: String,
}

impl Launch {
    /// Two launches with one recipe make the same process.
    pub fn recipe(&self) -> String {
        let Self { program, arguments, environment, configuration } = self;
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(program.as_os_str().as_encoded_bytes());
        for argument in arguments {
            part(argument.as_bytes());
        }
        for (name, value) in environment {
            part(name.as_bytes());
            part(value.as_encoded_bytes());
        }
        for path in configuration {
            part(&fs::read(path).unwrap_or_default());
        }
        hex::encode(hash.finalize())
    }

    fn spawn(&self, log: &Path) -> io::Result<Identity> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        // setsid: a terminal that is closed or interrupted ends the lab's command, not the lab.
        let mut command = Command::new("setsid");
        command.arg(&self.program).args(&self.arguments).current_dir("/");
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        Identity::of(child.id().cast_signed()).ok_or_else(|| io::Error::other("it ended at once"))
    }
}

impl Daemon {
    /// A process called `name`, with its log and its process file in these directories.
    pub fn new(name: &str, logs: &Path, processes: &Path) -> Self {
        let log = logs.join(format!("{name}.log"));
        Self { name: name.to_owned(), log, file: processes.join(format!("{name}.json")) }
    }

    /// Where all that it says is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process, if it runs.
    pub fn running(&self) -> Option<Identity> {
        self.record().map(|record| record.identity).filter(Identity::is_running)
    }

    /// Was it started and not stopped since, whether it runs or not?
    pub fn was_started(&self) -> bool {
        self.record().is_some()
    }

    /// Compares what runs with what is wanted.
    pub fn presence(&self, wanted: &Launch) -> Presence {
        match self.record() {
            None => Presence::Absent,
            Some(record) if !record.identity.is_running() => Presence::Ended,
            Some(record) if record.recipe == wanted.recipe() => Presence::Running,
            Some(_) => Presence::Outdated,
        }
    }

    /// Starts it. Whoever calls has looked that it does not run.
    pub fn start(&self, launch: &Launch) -> Result<(), DaemonError> {
        let failed =
            |source| DaemonError::Start { name: self.name.clone(), program: launch.program.clone(), source };
        for directory in [self.log.parent(), self.file.parent()].into_iter().flatten() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let identity = launch.spawn(&self.log).map_err(failed)?;
        self.write(&Record { identity, recipe: launch.recipe() })
    }

    /// Ends it, by force when it takes longer than that, and forgets it.
    pub async fn stop(&self, patience: Duration) {
        if let Some(identity) = self.running() {
            identity.end(patience).await;
        }
        let _ = fs::remove_file(&self.file);
    }

    /// Ends it at once, as a fault; it stays known as ended. False if it did not run.
    pub async fn kill(&self) -> bool {
        let Some(identity) = self.running() else { return false };
        identity.signal(Signal::KILL);
        identity.ends_within(Duration::from_secs(10)).await
    }

    /// An error with its last words if it was started and has ended.
    pub fn still_runs(&self) -> Result<(), DaemonError> {
        if self.running().is_some() {
            return Ok(());
        }
        Err(DaemonError::Ended { name: self.name.clone(), log: self.log.clone(), words: self.last_words(12) })
    }

    /// The last lines of its log.
    pub fn last_words(&self, lines: usize) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(&log), lines)
    }

    fn record(&self) -> Option<Record> {
        serde_json::from_slice(&fs::read(&self.file).ok()?).ok()
    }

    fn write(&self, record: &Record) -> Result<(), DaemonError> {
        let failed = |source| DaemonError::Record { path: self.file.clone(), source };
        let text = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        fs::write(&self.file, text).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(seconds: &str) -> Launch {
        Launch {
            program: "/bin/sleep".into(),
            arguments: vec![seconds.to_owned()],
            environment: Vec::new(),
            configuration: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_process_is_judged_by_its_file() {
        let place = tempfile::tempdir().expect("a directory");
        let daemon = Daemon::new("sleeper", place.path(), place.path());
        assert_eq!(daemon.presence(&sleeper("60")), Presence::Absent);
        daemon.start(&sleeper("60")).expect("it starts");
        let later = Daemon::new("sleeper", place.path(), place.path());
        assert_eq!(later.presence(&sleeper("60")), Presence::Running);
        assert_eq!(later.presence(&sleeper("61")), Presence::Outdated);
        assert!(later.kill().await);
        assert_eq!(later.presence(&sleeper("60")), Presence::Ended);
        assert!(matches!(later.still_runs(), Err(DaemonError::Ended { .. })));
        later.stop(Duration::from_secs(1)).await;
        assert_eq!(later.presence(&sleeper("60")), Presence::Absent);
    }

    #[test]
    fn a_recipe_knows_arguments_apart_and_reads_configuration() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("config");
        let split = Launch { arguments: vec!["a".into(), "b".into()], ..sleeper("1") };
        let joined = Launch { arguments: vec!["ab".into()], ..sleeper("1") };
        assert_ne!(split.recipe(), joined.recipe());
        let configured = Launch { configuration: vec![file.clone()], ..sleeper("1") };
        fs::write(&file, "one").expect("written");
        let before = configured.recipe();
        fs::write(&file, "two").expect("written");
        assert_ne!(before, configured.recipe());
    }
}
