//! Manifests of this repository, as they are published and as a server is to refuse them.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::Result;

/// One file with one object.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The file, for messages.
    pub file: String,
    /// What it holds.
    pub object: Value,
    /// A part of the words with which a server is to refuse it, where its first line says so.
    pub refusal: Option<String>,
}

impl Manifest {
    /// All manifests of a folder, which is given from the root of the repository.
    pub fn all(folder: &str) -> Result<Vec<Self>> {
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(folder);
        let files = fs::read_dir(&root).with_context(|| format!("failed to read {folder}"))?;
        let manifests = files.map(|file| Self::read(file?.path())).collect::<Result<Vec<_>>>()?;
        ensure!(!manifests.is_empty(), "{folder} has no manifest");
        Ok(manifests)
    }

    /// In another namespace, where its kind has one: that of the file need not exist.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        let kind = self.object["kind"].as_str().unwrap_or_default();
        if !["Namespace", "RestateCluster"].contains(&kind) {
            self.object["metadata"]["namespace"] = namespace.into();
        }
        self
    }

    fn read(path: PathBuf) -> Result<Self> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).with_context(|| file.clone())?;
        let object = serde_saphyr::from_str(&text).with_context(|| file.clone())?;
        let refusal = text.lines().next().and_then(|line| line.strip_prefix("# refused: "));
        Ok(Self { object, refusal: refusal.map(str::to_owned), file })
    }
}
