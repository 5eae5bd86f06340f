//! Who wrote what, as kube-apiserver's audit log says. Leases are not in it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use anyhow::Context as _;
use restate_tests::{Lab, Result, lab::OPERATOR_NAMESPACE};
use serde::Deserialize;

/// The log from a moment on; it is followed when it is rotated.
#[derive(Debug)]
pub(super) struct Audit {
    path: PathBuf,
    open: BufReader<File>,
    /// What the last read ended in the middle of.
    rest: String,
    whose: Whose,
}

/// Whose writes are counted, and where.
#[derive(Debug)]
struct Whose {
    controller: String,
    namespace: String,
}

/// Writes, by who made them.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes {
    /// The controller's, by verb and resource; events left out.
    pub(super) controller: BTreeMap<String, usize>,
    /// Its events.
    pub(super) events: usize,
    /// Those of Kubernetes' own controllers.
    pub(super) kubernetes: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    verb: &'a str,
    user: User,
    object_ref: Option<Object>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Object {
    namespace: Option<String>,
    resource: String,
    subresource: Option<String>,
}

impl Audit {
    /// From now on, in this namespace.
    pub(super) fn follow(lab: &Lab, namespace: &str) -> Result<Self> {
        let path = lab.kubeconfig().with_file_name("log").join("audit.log");
        let mut open = File::open(&path).with_context(|| format!("no audit log at {}", path.display()))?;
        open.seek(SeekFrom::End(0))?;
        let controller = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:restate-operator");
        let whose = Whose { controller, namespace: namespace.to_owned() };
        Ok(Self { path, open: BufReader::new(open), rest: String::new(), whose })
    }

    /// All writes since the last time.
    pub(super) fn read(&mut self) -> Result<Writes> {
        let mut writes = Writes::default();
        loop {
            self.read_open(&mut writes)?;
            let current = std::fs::metadata(&self.path)?;
            if current.ino() == self.open.get_ref().metadata()?.ino() {
                return Ok(writes);
            }
            // It was rotated; what came between the two looks stands at the old one's end.
            self.read_open(&mut writes)?;
            self.open = BufReader::new(File::open(&self.path)?);
        }
    }

    fn read_open(&mut self, writes: &mut Writes) -> Result {
        while self.open.read_line(&mut self.rest)? > 0 {
            if self.rest.ends_with('\n') {
                let line = std::mem::take(&mut self.rest);
                writes.add(&line, &self.whose)?;
            }
        }
        Ok(())
    }
}

impl Writes {
    /// All of the controller's, events left out.
    pub(super) fn count(&self) -> usize {
        self.controller.values().sum()
    }

    /// The kinds of writes, the most frequent first.
    pub(super) fn kinds(&self) -> String {
        let mut kinds: Vec<_> = self.controller.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
    }

    fn add(&mut self, line: &str, whose: &Whose) -> Result {
        let Whose { controller, namespace } = whose;
        if !["\"create\"", "\"update\"", "\"patch\"", "\"delete\""].iter().any(|verb| line.contains(verb)) {
            return Ok(());
        }
        let entry: Entry<'_> =
            serde_json::from_str(line).with_context(|| format!("no audit entry: {line}"))?;
        let Some(object) = entry.object_ref.filter(|_| is_write(entry.verb)) else { return Ok(()) };
        if object.namespace.as_ref() != Some(namespace) {
            return Ok(());
        }
        let name = &entry.user.username;
        if name == controller && object.resource == "events" {
            self.events += 1;
        } else if name == controller && !is_question(&object) {
            *self.controller.entry(object.named(entry.verb)).or_default() += 1;
        } else if name.starts_with("system:serviceaccount:kube-system:") || name.starts_with("system:kube-") {
            self.kubernetes += 1;
        }
        Ok(())
    }
}

impl Object {
    fn named(&self, verb: &str) -> String {
        let subresource = self.subresource.as_ref().map(|name| format!("/{name}"));
        format!("{verb} {}{}", self.resource, subresource.unwrap_or_default())
    }
}

fn is_write(verb: &str) -> bool {
    matches!(verb, "create" | "update" | "patch" | "delete" | "deletecollection")
}

/// What is created and stored nowhere.
fn is_question(object: &Object) -> bool {
    object.resource.ends_with("reviews")
}
