//! One layer of an image: files by their path, always written in the same order with the same times and owners,
//! so that the same files give the same digest on every machine.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    path::{Component, Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

/// Directories that nobody asked for by name.
const PLAIN_DIRECTORY: u32 = 0o755;

/// The files of one layer. Directories above a file come by themselves.
#[derive(Clone, Debug, Default)]
pub struct Layer(BTreeMap<PathBuf, Entry>);

#[derive(Clone, Debug)]
enum Entry {
    Directory { mode: u32 },
    Bytes { mode: u32, content: Vec<u8> },
    Copy { mode: u32, source: PathBuf },
    Symlink { target: PathBuf },
}

impl Layer {
    /// A layer without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// A directory with this mode.
    #[must_use]
    pub fn directory(self, path: impl AsRef<Path>, mode: u32) -> Self {
        self.with(path.as_ref(), Entry::Directory { mode })
    }

    /// A file with this text or these bytes, which everybody may read.
    #[must_use]
    pub fn file(self, path: impl AsRef<Path>, content: impl Into<Vec<u8>>) -> Self {
        self.with(path.as_ref(), Entry::Bytes { mode: 0o644, content: content.into() })
    }

    /// A copy of a file of this machine, which everybody may read; links are followed.
    #[must_use]
    pub fn copy(self, path: impl AsRef<Path>, source: impl Into<PathBuf>) -> Self {
        self.with(path.as_ref(), Entry::Copy { mode: 0o644, source: source.into() })
    }

    /// A copy of a program of this machine, which everybody may run; links are followed.
    #[must_use]
    pub fn program(self, path: impl AsRef<Path>, source: impl Into<PathBuf>) -> Self {
        self.with(path.as_ref(), Entry::Copy { mode: 0o755, source: source.into() })
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, path: impl AsRef<Path>, target: impl Into<PathBuf>) -> Self {
        self.with(path.as_ref(), Entry::Symlink { target: target.into() })
    }

    /// The files of this machine that are copied, in the order of their paths in the layer.
    pub fn sources(&self) -> impl Iterator<Item = &Path> {
        self.0.values().filter_map(|entry| match entry {
            Entry::Copy { source, .. } => Some(source.as_path()),
            Entry::Directory { .. } | Entry::Bytes { .. } | Entry::Symlink { .. } => None,
        })
    }

    /// Everything that decides what the layer is, but for the content of the files that are copied.
    pub fn outline(&self) -> String {
        format!("{:?}", self.0)
    }

    /// Writes the layer as a tar stream.
    pub fn write(&self, to: impl Write) -> io::Result<()> {
        let mut archive = Builder::new(to);
        for (path, entry) in &self.0 {
            entry.append(&mut archive, path)?;
        }
        archive.into_inner()?.flush()
    }

    fn with(mut self, path: &Path, entry: Entry) -> Self {
        let path: PathBuf = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            self.0.entry(above.to_owned()).or_insert(Entry::Directory { mode: PLAIN_DIRECTORY });
        }
        self.0.insert(path, entry);
        self
    }
}

impl Entry {
    fn append(&self, archive: &mut Builder<impl Write>, path: &Path) -> io::Result<()> {
        match self {
            Self::Directory { mode } => {
                archive.append_data(&mut header(EntryType::Directory, *mode, 0), path, io::empty())
            }
            Self::Bytes { mode, content } => {
                let size = content.len() as u64;
                archive.append_data(&mut header(EntryType::Regular, *mode, size), path, content.as_slice())
            }
            Self::Copy { mode, source } => {
                let file = File::open(source).map_err(|error| naming(source, &error))?;
                let size = file.metadata()?.len();
                archive.append_data(&mut header(EntryType::Regular, *mode, size), path, file)
            }
            Self::Symlink { target } => {
                archive.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, target)
            }
        }
    }
}

/// Owner, group and time are zero: nothing of this machine is in a layer but what was asked for.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn tar_of(layer: &Layer) -> Vec<u8> {
        let mut bytes = Vec::new();
        layer.write(&mut bytes).unwrap();
        bytes
    }

    fn listing(layer: &Layer) -> Vec<String> {
        let bytes = tar_of(layer);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let line = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let (path, header) = (entry.path().unwrap().display().to_string(), entry.header());
            let link = header.link_name().unwrap().map(|to| format!(" -> {}", to.display()));
            let owner = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
            assert_eq!(owner, (0, 0, 0));
            format!("{:o} {path}{} {content}", header.mode().unwrap(), link.unwrap_or_default())
        };
        archive.entries().unwrap().map(line).collect()
    }

    #[test]
    fn a_layer_holds_what_was_put_into_it_and_the_directories_above() {
        let layer = Layer::new()
            .file("/etc/passwd", "root")
            .symlink("/usr/bin/tool", "/bin/tool")
            .directory("/tmp", 0o1777);
        insta::assert_snapshot!(listing(&layer).join("\n"), @r"
        755 etc 
        644 etc/passwd root
        1777 tmp 
        755 usr 
        755 usr/bin 
        777 usr/bin/tool -> /bin/tool
        ");
    }

    #[test]
    fn the_order_of_calls_and_the_times_of_files_do_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, "#!").unwrap();
        let first = tar_of(&Layer::new().file("/b", "2").program("/a", &program));
        std::fs::File::options()
            .append(true)
            .open(&program)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        let second = tar_of(&Layer::new().program("/a", &program).file("/b", "2"));
        assert_eq!(first, second);
        assert_ne!(first, tar_of(&Layer::new().copy("/a", &program).file("/b", "2")), "the mode counts");
    }

    #[test]
    fn a_path_cannot_leave_the_image() {
        assert_eq!(listing(&Layer::new().file("../../etc/shadow", "")), ["755 etc ", "644 etc/shadow "]);
    }

    #[test]
    fn a_missing_source_is_named() {
        let layer = Layer::new().copy("/a", "/nowhere/at/all");
        let error = layer.write(Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/at/all: "), "{error}");
    }
}
