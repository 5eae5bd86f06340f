//! Is an image's archive still what its recipe would give? Answered without reading hundreds of megabytes: from the
//! sizes and times of the files, and from the archive that the last build left.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::recipe::Recipe;

/// Device, number, size and time of a file: another one or another content has another.
pub(super) type Identity = (u64, u64, u64, i64, i64);

/// Which file it is, without reading it.
pub(super) fn identity(file: &Path) -> io::Result<Identity> {
    let seen = fs::metadata(file)?;
    Ok((seen.dev(), seen.ino(), seen.len(), seen.mtime(), seen.mtime_nsec()))
}

/// Changes when anything changes that the image is made of. Equal stamps mean equal images.
pub(super) fn of(recipe: &Recipe) -> io::Result<String> {
    let Recipe { name, tag, config, layers } = recipe;
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(&(name, tag, config))?);
    for layer in layers {
        hash.update(layer.outline().as_bytes());
        for source in layer.sources() {
            hash.update(serde_json::to_vec(&identity(source)?)?);
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// What the last build of an image left.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Record {
    /// Of the recipe that was built.
    pub(super) stamp: String,
    /// The image's full name, digest included.
    pub(super) image: String,
    /// The archive.
    pub(super) archive: PathBuf,
    /// The size of its layers.
    pub(super) size: u64,
}

impl Record {
    /// The record at this path, if the archive that it names is still there.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let record: Self = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        record.archive.is_file().then_some(record)
    }

    /// Keeps the record.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = fs::File::create(path)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::{Layer, base};

    fn recipe(layer: Layer) -> Recipe {
        Recipe { name: "thing", tag: None, config: base::config("/thing", &[]), layers: vec![layer] }
    }

    #[test]
    fn a_stamp_changes_with_files_names_and_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "1").unwrap();
        let layer = Layer::new().program("/thing", &program);
        let first = of(&recipe(layer.clone())).unwrap();
        assert_eq!(first, of(&recipe(layer.clone())).unwrap());
        assert_ne!(first, of(&Recipe { tag: Some("v1"), ..recipe(layer.clone()) }).unwrap());
        assert_ne!(first, of(&recipe(layer.clone().file("/etc/hosts", ""))).unwrap());
        assert_ne!(first, of(&recipe(Layer::new().copy("/thing", &program))).unwrap(), "the mode counts");
        fs::write(&program, "22").unwrap();
        assert_ne!(first, of(&recipe(layer)).unwrap());
    }

    #[test]
    fn a_record_without_its_archive_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, archive) = (folder.path().join("record"), folder.path().join("archive"));
        let record =
            Record { stamp: "s".to_owned(), image: "i".to_owned(), archive: archive.clone(), size: 1 };
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path), None);
        fs::write(archive, "").unwrap();
        assert_eq!(Record::read(&path), Some(record));
    }
}
