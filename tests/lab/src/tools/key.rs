//! The key of a built module: a digest of all that decides what its programs are.

use std::{fmt, fs, path::Path};

use anyhow::Context as _;
use sha2::{Digest, Sha256};

use crate::Result;

/// A digest of lock files, compiler and recipe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Key(String);

impl Key {
    /// The key of a module's files, read as they are, and of what else decides.
    pub fn of(folder: &Path, files: &[&str], also: &[&str]) -> Result<Self> {
        let mut hash = Sha256::new();
        for file in files {
            let path = folder.join(file);
            let bytes = fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            part(&mut hash, file.as_bytes());
            part(&mut hash, &bytes);
        }
        for text in also {
            part(&mut hash, text.as_bytes());
        }
        Ok(Self(hex::encode(&hash.finalize()[..8])))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn key(lock: &str, also: &[&str]) -> Key {
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join("lock"), lock).expect("written");
        Key::of(folder.path(), &["lock"], also).expect("a key")
    }

    #[test]
    fn the_folder_does_not_count() {
        assert_eq!(key("a", &["go1"]), key("a", &["go1"]));
    }

    #[rstest]
    #[case::lock_file("b", &["go1"])]
    #[case::compiler("a", &["go2"])]
    #[case::more("a", &["go1", ""])]
    #[case::borders("ago1", &[])]
    fn whatever_decides_counts(#[case] lock: &str, #[case] also: &[&str]) {
        assert_ne!(key("a", &["go1"]), key(lock, also));
    }

    #[test]
    fn a_missing_lock_file_is_named() {
        let error = Key::of(Path::new("/nowhere"), &["go.sum"], &[]).expect_err("no such file");
        assert!(error.to_string().contains("/nowhere/go.sum"));
    }
}
