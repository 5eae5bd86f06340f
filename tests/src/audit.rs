//! What kube-apiserver recorded about each request, read from the file that it writes.
//!
//! The lab's policy (`tests/lab/src/node/configuration.rs`, `audit`) records every request to its end with who, what
//! and how it was answered, without bodies; requests for Leases alone are left out. Older files stand beside the one
//! that is being written, up to a limit: what is older than that is forgotten.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::PathBuf,
};

use anyhow::Context as _;
use serde_json::Value;

use crate::{Lab, Result};

/// The files, the oldest first.
#[derive(Clone, Debug)]
pub struct Audit {
    files: Vec<PathBuf>,
}

impl Audit {
    /// Of this cluster; an error on one elsewhere, whose files are not here.
    pub fn of(lab: &Lab) -> Result<Self> {
        let keys = lab.keys()?;
        let folder = keys.with_file_name("log");
        let entries = fs::read_dir(&folder).with_context(|| format!("no logs at {}", folder.display()))?;
        let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        files.retain(|path| is_audit(&path.file_name().unwrap_or_default().to_string_lossy()));
        // `audit-<time>.log` sorts before `audit.log`.
        files.sort();
        Ok(Self { files })
    }

    /// All requests whose record has each of these texts in it, in the order in which they ended.
    pub fn requests(&self, with: &[&str]) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        for path in &self.files {
            let file = File::open(path).with_context(|| format!("no audit log at {}", path.display()))?;
            for line in BufReader::new(file).lines() {
                let line = line?;
                if with.iter().all(|text| line.contains(text)) {
                    // The last line may be half written.
                    found.extend(serde_json::from_str::<Value>(&line));
                }
            }
        }
        Ok(found)
    }
}

fn is_audit(name: &str) -> bool {
    name == "audit.log" || (name.starts_with("audit-") && name.split('.').next_back() == Some("log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_in_all_files_and_half_lines_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("audit-2026-01-01T00-00-00.000.log", "{\"verb\":\"get\",\"n\":1}\n");
        write("audit.log", "{\"verb\":\"get\",\"n\":2}\n{\"verb\":\"list\",\"n\":3}\n{\"verb\":\"get\",\"n");
        let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 2);
        let found = Audit { files }.requests(&["\"get\""]).unwrap();
        let numbers: Vec<_> = found.iter().map(|it| it["n"].as_u64().unwrap()).collect();
        assert_eq!(numbers, [1, 2]);
        assert!(is_audit("audit.log") && !is_audit("kubelet.log") && !is_audit("audit.json"));
    }
}
