//! One run at a time. Whoever brings the lab up, takes it down or tests on it holds the claim; others wait and say
//! for whom. The kernel releases it when its holder ends, however that happens. An idle lab is claimed by nobody.

use std::{
    env,
    fs::{self, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{Context, Result, process::Identity};

/// Set for what a test run starts: it works under the claim of its parent.
const INHERITED: &str = "LAB_CLAIM";

/// Held until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Claim {
    _file: Option<File>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Holder {
    process: Identity,
    purpose: String,
    directory: PathBuf,
}

impl Claim {
    /// Waits for whoever holds it, saying so, then holds it for `purpose` (for example `cargo lab test`).
    pub async fn take(context: &Context, purpose: &str) -> Result<Self> {
        let path = context.cache.claim();
        if is_inherited(&path) {
            return Ok(Self { _file: None });
        }
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.with_context(|| format!("failed to open {}", path.display()))?;
        let mut told = None;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => tell(context, &path, &mut told),
                Err(TryLockError::Error(source)) => {
                    return Err(source).with_context(|| format!("failed to lock {}", path.display()));
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        sign(&path, purpose)?;
        Ok(Self { _file: Some(file) })
    }

    /// The variable that lets a child process work under this claim.
    pub fn for_children() -> (&'static str, String) {
        (INHERITED, env::var(INHERITED).unwrap_or_else(|_| std::process::id().to_string()))
    }
}

fn tell(context: &Context, path: &Path, told: &mut Option<i32>) {
    let Some(holder) = read(path) else { return };
    if *told == Some(holder.process.pid) {
        return;
    }
    *told = Some(holder.process.pid);
    let Holder { process, purpose, directory } = holder;
    let place = directory.display();
    context.progress.say(format_args!("waiting for `{purpose}` in {place} (process {}) to end", process.pid));
}

fn sign(path: &Path, purpose: &str) -> Result<()> {
    let process = Identity::own().context("this process is not in /proc")?;
    let holder = Holder { process, purpose: purpose.to_owned(), directory: env::current_dir()? };
    fs::write(path, serde_json::to_vec(&holder)?)
        .with_context(|| format!("failed to write {}", path.display()))
}

fn read(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn is_inherited(path: &Path) -> bool {
    let parent = env::var(INHERITED).ok().and_then(|text| text.parse::<i32>().ok());
    let holder = read(path).map(|holder| holder.process).filter(Identity::is_running);
    matches!((parent, holder), (Some(parent), Some(holder)) if parent == holder.pid)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{args::Args, places::CacheDir};

    fn context(place: &Path) -> Context {
        let arguments = Args::try_parse_from(["lab", "status"]).expect("parsed");
        let context = Context::new(arguments.options).expect("a context");
        Context { cache: CacheDir::at(place.to_owned()), ..context }
    }

    #[tokio::test]
    async fn the_second_waits_for_the_first() {
        let place = tempfile::tempdir().expect("a directory");
        let context = context(place.path());
        let first = Claim::take(&context, "first").await.expect("nobody holds it");
        let holder = read(&context.cache.claim()).expect("it is signed");
        assert_eq!((holder.purpose.as_str(), holder.process.is_running()), ("first", true));
        let second = tokio::time::timeout(Duration::from_millis(700), Claim::take(&context, "second")).await;
        assert!(second.is_err(), "it is held");
        drop(first);
        let third = tokio::time::timeout(Duration::from_secs(5), Claim::take(&context, "third")).await;
        assert!(third.is_ok_and(|claim| claim.is_ok()), "it is free again");
    }

    #[tokio::test]
    async fn a_file_left_by_a_dead_holder_holds_nobody_up() {
        let place = tempfile::tempdir().expect("a directory");
        let context = context(place.path());
        fs::write(context.cache.claim(), "half a holder").expect("written");
        assert!(Claim::take(&context, "next").await.is_ok());
    }
}
