//! One operation, in the words of v3 and of v2.

use apiserver_kind::{Gvk, Verb};
use serde_json::{Map, Value, json};

use super::{parameters, parameters::Set, schemas::reference, swagger};

/// An operation before it is written.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) description: String,
    /// As Kubernetes calls it: get, list, post, connect.
    pub(super) action: &'static str,
    pub(super) gvk: Gvk,
    pub(super) parameters: Set,
    /// Name of the schema that is taken.
    pub(super) takes: Option<String>,
    /// Name of the schema that is given; plain text without one.
    pub(super) gives: Option<String>,
}

/// The HTTP method of a verb.
pub(super) fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "post",
        Verb::Delete | Verb::DeleteCollection => "delete",
        Verb::Get | Verb::List | Verb::Watch => "get",
        Verb::Patch => "patch",
        Verb::Update => "put",
    }
}

impl Operation {
    fn code(&self) -> &'static str {
        if self.action == "post" { "201" } else { "200" }
    }

    fn tag(&self) -> String {
        let group: String = self.gvk.group.split('.').map(capitalized).collect();
        let mut letters = group.chars();
        let first = letters.next().map(|letter| letter.to_ascii_lowercase());
        format!("{}{}_{}", first.map(String::from).unwrap_or_default(), letters.as_str(), self.gvk.version)
    }

    fn facts(&self) -> Map<String, Value> {
        let Gvk { group, version, kind } = self.gvk;
        let facts = [
            ("operationId", json!(self.id)),
            ("description", json!(self.description)),
            ("tags", json!([self.tag()])),
            ("x-kubernetes-action", json!(self.action)),
            ("x-kubernetes-group-version-kind", json!({"group": group, "version": version, "kind": kind})),
        ];
        facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    pub(super) fn v3(&self) -> Value {
        let mut operation = self.facts();
        operation.insert("parameters".to_owned(), parameters::v3(self.parameters).into());
        let content = match &self.gives {
            Some(name) => json!({"application/json": {"schema": reference(name)}}),
            None => json!({"*/*": {"schema": {"type": "string"}}}),
        };
        let responses = json!({
            self.code(): {"description": "OK", "content": content},
            "401": {"description": "Unauthorized"},
        });
        operation.insert("responses".to_owned(), responses);
        if let Some(name) = &self.takes {
            let content = json!({"application/json": {"schema": reference(name)}});
            operation.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
        }
        operation.into()
    }

    pub(super) fn v2(&self) -> Value {
        let mut operation = self.facts();
        let mut parameters = parameters::v2(self.parameters);
        if let Some(name) = &self.takes {
            let schema = swagger::schema_of(&reference(name));
            parameters.insert(0, json!({"name": "body", "in": "body", "required": true, "schema": schema}));
        }
        let schema = match &self.gives {
            Some(name) => swagger::schema_of(&reference(name)),
            None => json!({"type": "string"}),
        };
        let responses = json!({
            self.code(): {"description": "OK", "schema": schema},
            "401": {"description": "Unauthorized"},
        });
        let media_type = if self.gives.is_some() { "application/json" } else { "*/*" };
        operation.insert("parameters".to_owned(), parameters.into());
        operation.insert("responses".to_owned(), responses);
        operation.insert("consumes".to_owned(), json!([media_type]));
        operation.insert("produces".to_owned(), json!([media_type]));
        operation.insert("schemes".to_owned(), json!(["https"]));
        operation.into()
    }
}

pub(super) fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| format!("{}{}", first.to_ascii_uppercase(), letters.as_str()))
}
