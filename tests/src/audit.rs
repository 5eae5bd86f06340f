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

use crate::{Lab, Result, lab::OPERATOR_NAMESPACE};

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

    /// What our own service accounts wrote on an object so far, or tried to, by verb.
    pub fn own_writes(&self, resource: &str, namespace: &str, name: &str) -> Result<Vec<String>> {
        let user = format!("\"username\":\"system:serviceaccount:{OPERATOR_NAMESPACE}:");
        let requests = self.requests(&[user.as_str(), &format!("\"resource\":\"{resource}\""), name])?;
        let is_write = |verb: &str| matches!(verb, "create" | "update" | "patch" | "delete");
        let is_meant = |it: &Value| {
            let object = &it["objectRef"];
            object["resource"] == resource && object["namespace"] == namespace && object["name"] == name
        };
        let verbs = requests.iter().filter(|it| is_meant(it)).filter_map(|it| it["verb"].as_str());
        Ok(verbs.filter(|verb| is_write(verb)).map(str::to_owned).collect())
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
    use serde_json::json;

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

    #[test]
    fn only_our_own_writes_on_the_object_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let line = |user: &str, verb: &str, namespace: &str, name: &str| {
            let object = json!({"resource": "replicasets", "namespace": namespace, "name": name});
            let user = json!({"username": format!("system:serviceaccount:{user}")});
            format!("{}\n", json!({"user": user, "verb": verb, "objectRef": object}))
        };
        let ours = "restate-operator:restate-operator";
        let lines = [
            line(ours, "create", "here", "one-1"),
            line(ours, "get", "here", "one-1"),
            line(ours, "patch", "here", "one-1"),
            line(ours, "patch", "here", "one-12"),
            line(ours, "delete", "there", "one-1"),
            line("kube-system:replicaset-controller", "update", "here", "one-1"),
        ];
        fs::write(&path, lines.concat()).unwrap();
        let writes = Audit { files: vec![path] }.own_writes("replicasets", "here", "one-1").unwrap();
        assert_eq!(writes, ["create", "patch"]);
    }
}
