//! Whose test programs the cache holds. Paths of a clone are compiled into them, and cargo, which goes by the age of
//! files alone, may take those of another clone for new.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use super::program;
use crate::{
    Context, Result,
    images::{target, workspace},
};

/// Lets go what another clone has built of this workspace; what it has built of others stays.
pub(super) async fn settle(context: &Context) -> Result<()> {
    let (here, note) = (workspace(), note(context));
    if is_of(&note, &here) {
        return Ok(());
    }
    if note.with_file_name("debug").exists() {
        let cleaned = program::cargo(context, &["clean", "--quiet", "--workspace"]).status().await?;
        ensure!(cleaned.success(), "failed to clean what another clone has built");
    }
    fs::create_dir_all(note.parent().unwrap_or(&here))?;
    fs::write(&note, here.as_os_str().as_encoded_bytes())
        .with_context(|| format!("cannot write {}", note.display()))
}

fn is_of(note: &Path, clone: &Path) -> bool {
    fs::read(note).is_ok_and(|noted| noted == clone.as_os_str().as_encoded_bytes())
}

fn note(context: &Context) -> PathBuf {
    target(context).join("clone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_of_the_clone_that_is_noted() {
        let directory = tempfile::tempdir().unwrap();
        let note = directory.path().join("clone");
        assert!(!is_of(&note, Path::new("/a")), "nobody knows");
        fs::write(&note, "/a").unwrap();
        assert!(is_of(&note, Path::new("/a")) && !is_of(&note, Path::new("/b")));
    }
}
