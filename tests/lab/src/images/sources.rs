//! Were the programs built from the very sources that lie in this clone? Answered by content: cargo goes by times and
//! by where a clone lies, and so builds the whole workspace again in each fresh one.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::stamp;

/// What decides beside the sources that the compiler reads.
const SETTINGS: &[&str] = &["Cargo.lock", "rust-toolchain.toml", ".cargo/config.toml"];

/// What a build was made of, and what it gave.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Record {
    /// Relative to the root of a clone.
    sources: BTreeSet<PathBuf>,
    /// Of the paths and contents of all sources.
    digest: String,
    /// Which files the programs are: another build would have replaced them.
    programs: Vec<stamp::Identity>,
}

impl Record {
    /// Of programs whose build began then; cargo has left a list of sources beside each. Nothing is known of programs
    /// whose sources were written to since.
    pub(super) fn of(workspace: &Path, programs: &[PathBuf], began: SystemTime) -> io::Result<Option<Self>> {
        let mut sources: BTreeSet<_> = SETTINGS.iter().map(PathBuf::from).collect();
        for program in programs {
            let list = fs::read_to_string(program.with_extension("d"))?;
            sources.extend(listed(&list, workspace).flat_map(|source| with_manifests(source, workspace)));
        }
        sources.retain(|source| workspace.join(source).is_file());
        let record = Self { digest: digest(workspace, &sources)?, programs: identities(programs)?, sources };
        let written = record.sources.iter().map(|source| fs::metadata(workspace.join(source))?.modified());
        let newest = written.collect::<io::Result<Vec<_>>>()?.into_iter().max();
        Ok(newest.is_none_or(|newest| newest < began).then_some(record))
    }

    /// Would another build in this clone give the same programs?
    pub(super) fn holds(&self, workspace: &Path, programs: &[PathBuf]) -> bool {
        let same_programs = identities(programs).is_ok_and(|now| now == self.programs);
        same_programs && digest(workspace, &self.sources).is_ok_and(|now| now == self.digest)
    }

    /// The record at this path, if there is one.
    pub(super) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Keeps the record.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(path)?;
        Ok(())
    }
}

fn identities(programs: &[PathBuf]) -> io::Result<Vec<stamp::Identity>> {
    programs.iter().map(|program| stamp::identity(program)).collect()
}

/// The sources in this clone that a list of cargo's names: one line, `PROGRAM: SOURCE SOURCE …`, where a space in a
/// path has a backslash before it.
fn listed(list: &str, workspace: &Path) -> impl Iterator<Item = PathBuf> {
    let sources =
        list.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, sources)| sources);
    // No path holds the character that stands in for an escaped space here.
    let unescaped = sources.replace("\\ ", "\0");
    let paths: Vec<_> = unescaped.split(' ').map(|source| source.replace('\0', " ")).collect();
    paths
        .into_iter()
        .filter_map(move |source| Path::new(&source).strip_prefix(workspace).map(Path::to_owned).ok())
}

/// A source and the manifests that may decide how it is compiled.
fn with_manifests(source: PathBuf, workspace: &Path) -> Vec<PathBuf> {
    let manifests = source.ancestors().skip(1).map(|folder| folder.join("Cargo.toml"));
    let mut all: Vec<_> = manifests.filter(|manifest| workspace.join(manifest).is_file()).collect();
    all.push(source);
    all
}

fn digest(workspace: &Path, sources: &BTreeSet<PathBuf>) -> io::Result<String> {
    let mut hash = Sha256::new();
    for source in sources {
        let content = fs::read(workspace.join(source))?;
        for part in [source.as_os_str().as_encoded_bytes(), &content] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    Ok(hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;

    /// A clone with a crate of one file, and the program that was built from it.
    fn clone(source: &str) -> (TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("a b/src")).unwrap();
        for (path, text) in [
            ("Cargo.toml", ""),
            ("Cargo.lock", ""),
            ("a b/Cargo.toml", ""),
            ("a b/src/main.rs", source),
            ("a", ""),
        ] {
            fs::write(root.join(path), text).unwrap();
        }
        let (program, place) = (root.join("a"), root.display());
        let list = format!("{place}/a: {place}/a\\ b/src/main.rs /elsewhere/lib.rs\n\n{place}/x.rs:\n");
        fs::write(program.with_extension("d"), list).unwrap();
        (folder, vec![program])
    }

    fn record(folder: &TempDir, programs: &[PathBuf]) -> Record {
        Record::of(folder.path(), programs, SystemTime::now()).unwrap().unwrap()
    }

    #[test]
    fn sources_come_with_their_manifests_and_strangers_do_not_count() {
        let (folder, programs) = clone("fn main() {}");
        let record = record(&folder, &programs);
        let sources: Vec<_> = record.sources.iter().map(|source| source.to_str().unwrap()).collect();
        assert_eq!(sources, ["Cargo.lock", "Cargo.toml", "a b/Cargo.toml", "a b/src/main.rs"]);
    }

    #[test]
    fn another_clone_with_the_same_content_needs_no_build() {
        let ((first, programs), (second, _)) = (clone("fn main() {}"), clone("fn main() {}"));
        let record = record(&first, &programs);
        assert!(record.holds(second.path(), &programs));
    }

    #[test]
    fn what_was_written_during_a_build_may_be_missing_from_it() {
        let (folder, programs) = clone("fn main() {}");
        let began = SystemTime::now() - Duration::from_mins(1);
        assert_eq!(Record::of(folder.path(), &programs, began).unwrap(), None);
    }

    #[rstest]
    #[case::source("a b/src/main.rs")]
    #[case::manifest("a b/Cargo.toml")]
    #[case::workspace("Cargo.toml")]
    #[case::versions("Cargo.lock")]
    #[case::program("a")]
    fn whatever_changes_asks_for_a_build(#[case] changed: &str) {
        let (folder, programs) = clone("fn main() {}");
        let record = record(&folder, &programs);
        assert!(record.holds(folder.path(), &programs));
        fs::write(folder.path().join(changed), "changed").unwrap();
        assert!(!record.holds(folder.path(), &programs));
    }
}
