//! Where each resource is, and what can be done there (O7).

use std::collections::BTreeMap;

use apiserver_kind::{Answer, Gvk, Verb};
use serde_json::{Map, Value, json};

use super::{
    operation::{Operation, capitalized, method},
    parameters::Set,
    schemas::Schemas,
};
use crate::api::{Mount, SubMount};

/// Operations by path and method.
type Paths = BTreeMap<String, BTreeMap<&'static str, Operation>>;

pub(super) fn v3(mounts: &[Mount], schemas: &Schemas) -> Value {
    let in_path = |name: &str| json!({"name": name, "in": "path", "required": true, "description": of_path(name), "schema": {"type": "string", "uniqueItems": true}});
    written(mounts, schemas, (in_path, Operation::v3))
}

pub(super) fn v2(mounts: &[Mount], schemas: &Schemas) -> Value {
    let in_path = |name: &str| json!({"name": name, "in": "path", "required": true, "description": of_path(name), "type": "string", "uniqueItems": true});
    written(mounts, schemas, (in_path, Operation::v2))
}

fn written(
    mounts: &[Mount],
    schemas: &Schemas,
    (in_path, write): (impl Fn(&str) -> Value, impl Fn(&Operation) -> Value),
) -> Value {
    let mut all = Paths::new();
    for mount in mounts {
        Collector { mount, schemas, paths: &mut all }.collect();
    }
    let mut paths = Map::new();
    for (path, operations) in &all {
        let mut item: Map<String, Value> =
            operations.iter().map(|(method, operation)| ((*method).to_owned(), write(operation))).collect();
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        item.insert("parameters".to_owned(), names.map(&in_path).collect());
        paths.insert(path.clone(), item.into());
    }
    paths.into()
}

fn of_path(name: &str) -> &'static str {
    match name {
        "namespace" => "object name and auth scope, such as for teams and projects",
        "path" => "path below the subresource",
        _ => "name of the object",
    }
}

struct Collector<'a> {
    mount: &'a Mount,
    schemas: &'a Schemas,
    paths: &'a mut Paths,
}

impl Collector<'_> {
    fn collect(mut self) {
        for verb in self.mount.descriptor.verbs {
            self.add_verb(*verb);
        }
        for sub in &self.mount.subresources {
            for verb in sub.declared.verbs {
                self.add_subresource(sub, *verb);
            }
        }
    }

    fn base(&self) -> String {
        format!("/apis/{}", self.mount.descriptor.gvk.api_version())
    }

    /// Path of the collection that objects are in.
    fn collection(&self) -> String {
        let (base, plural) = (self.base(), self.mount.descriptor.plural);
        if self.mount.descriptor.is_namespaced() {
            format!("{base}/namespaces/{{namespace}}/{plural}")
        } else {
            format!("{base}/{plural}")
        }
    }

    fn add_verb(&mut self, verb: Verb) {
        let descriptor = self.mount.descriptor;
        let (gvk, collection) = (descriptor.gvk, self.collection());
        let name = self.schemas.name(gvk).map(ToOwned::to_owned);
        let list = name.as_ref().map(|name| format!("{name}List"));
        let kind = gvk.kind;
        match verb {
            Verb::Get => {
                let operation = self.operation("get", (gvk, ""), format!("read the specified {kind}"));
                self.insert(format!("{collection}/{{name}}"), verb, Operation { gives: name, ..operation });
            }
            Verb::List => {
                let parameters = if descriptor.has(Verb::Watch) { Set::Watch } else { Set::List };
                let operation = self.operation("list", (gvk, ""), format!("list objects of kind {kind}"));
                let operation = Operation { gives: list, parameters, ..operation };
                if descriptor.is_namespaced() {
                    let id = format!("{}ForAllNamespaces", operation.id.replacen("Namespaced", "", 1));
                    let everywhere = format!("{}/{}", self.base(), descriptor.plural);
                    self.insert(everywhere, verb, Operation { id, ..operation.clone() });
                }
                self.insert(collection, verb, operation);
            }
            Verb::Create => {
                let operation = self.operation("post", (gvk, ""), format!("create a {kind}"));
                let operation =
                    Operation { takes: name.clone(), gives: name, parameters: Set::Create, ..operation };
                self.insert(collection, verb, operation);
            }
            Verb::Watch | Verb::Delete | Verb::DeleteCollection | Verb::Patch | Verb::Update => {}
        }
    }

    fn add_subresource(&mut self, sub: &SubMount, verb: Verb) {
        let declared = sub.declared;
        let path = format!("{}/{{name}}/{}", self.collection(), declared.name);
        let name = self.schemas.name(declared.gvk).map(ToOwned::to_owned);
        let (kind, parent) = (declared.gvk.kind, self.mount.descriptor.gvk.kind);
        let suffix = capitalized(declared.name);
        if declared.answer == Answer::Stream {
            let text =
                format!("connect {} requests to {} of {parent}", method(verb).to_uppercase(), declared.name);
            let operation = self.operation("connect", (declared.gvk, &suffix), text);
            let id = format!("{}{}", operation.id, capitalized(method(verb)));
            let operation = Operation { id, parameters: Set::Connect, ..operation };
            let below = Operation { id: format!("{}WithPath", operation.id), ..operation.clone() };
            self.insert(path.clone(), verb, operation);
            self.insert(format!("{path}/{{path}}"), verb, below);
            return;
        }
        let gives = name.as_ref().map(|name| match declared.answer {
            Answer::List if verb == Verb::Get => format!("{name}List"),
            Answer::List | Answer::Object | Answer::Stream => name.clone(),
        });
        let operation = if verb == Verb::Create {
            let text = format!("create {} ({kind}) of a {parent}", declared.name);
            let operation = self.operation("post", (declared.gvk, &suffix), text);
            Operation { takes: name, parameters: Set::Create, ..operation }
        } else {
            self.operation(
                "get",
                (declared.gvk, &suffix),
                format!("read {} of the specified {parent}", declared.name),
            )
        };
        self.insert(path, verb, Operation { gives, ..operation });
    }

    fn operation(&self, action: &'static str, (gvk, suffix): (Gvk, &str), description: String) -> Operation {
        let descriptor = self.mount.descriptor;
        let group: String = descriptor.gvk.group.split('.').map(capitalized).collect();
        let word = match action {
            "get" => "read",
            "post" => "create",
            other => other,
        };
        let scope = if descriptor.is_namespaced() { "Namespaced" } else { "" };
        let version = capitalized(descriptor.gvk.version);
        Operation {
            id: format!("{word}{group}{version}{scope}{}{suffix}", descriptor.gvk.kind),
            description,
            action,
            gvk,
            parameters: Set::Get,
            takes: None,
            gives: None,
        }
    }

    fn insert(&mut self, path: String, verb: Verb, operation: Operation) {
        self.paths.entry(path).or_default().insert(method(verb), operation);
    }
}
