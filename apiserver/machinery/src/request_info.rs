//! What a request is about, read from method, path and query before anything is decided (Z2, Z3).
//!
//! Invariant: the authorizer and the handler act on the same reading. Whatever cannot be read is left out, never
//! guessed; what is wrong with a query is said by the handler.

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::{
    authz::{Attributes, Requirement, ResourceAttributes},
    query::Query,
    selector::{FieldSelector, LabelSelector},
};

/// A request, as roles and metrics speak of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// The decoded path.
    pub path: String,
    /// Verb: of the API for resources, else the method in lower case.
    pub verb: String,
    /// Whether an object or a collection is asked for.
    pub is_resource_request: bool,
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace, if the path names one.
    pub namespace: Option<String>,
    /// Plural name of the resource.
    pub resource: String,
    /// Subresource.
    pub subresource: Option<String>,
    /// Name of the object, from the path or from `metadata.name=` alone.
    pub name: Option<String>,
    /// The undecoded path below the subresource; not part of authorization (Z3).
    pub rest: Option<String>,
    /// Whether the path itself names the object.
    pub named_by_path: bool,
    /// Requirements of the field selector.
    pub field_requirements: Vec<Requirement>,
    /// Requirements of the label selector.
    pub label_requirements: Vec<Requirement>,
}

/// Subresources of namespaces themselves.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl RequestInfo {
    /// Reads a request.
    pub fn of(method: &Method, uri: &Uri) -> Self {
        let path = percent_decode_str(uri.path()).decode_utf8_lossy().into_owned();
        let info = Self { verb: method.as_str().to_ascii_lowercase(), ..Self::default() };
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let info = match parts.as_slice() {
            ["apis", group, version, first, rest @ ..] => {
                info.with_resource((group, version), (first, rest), (method, uri))
            }
            ["api", version, first, rest @ ..] => {
                info.with_resource(("", version), (first, rest), (method, uri))
            }
            _ => info,
        };
        Self { path, ..info }
    }

    /// What the authorizer is asked about.
    pub fn attributes(&self) -> Attributes {
        if !self.is_resource_request {
            return Attributes::Path { verb: self.verb.clone(), path: self.path.clone() };
        }
        Attributes::Resource(Box::new(ResourceAttributes {
            verb: self.verb.clone(),
            group: self.group.clone(),
            version: self.version.clone(),
            resource: self.resource.clone(),
            subresource: self.subresource.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            fields: self.field_requirements.clone(),
            labels: self.label_requirements.clone(),
        }))
    }

    /// `resource` or `resource/subresource`.
    pub fn printed_resource(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource),
            None => self.resource.clone(),
        }
    }

    /// Whether the request may run without the deadline of others (C14).
    pub fn is_long_running(&self) -> bool {
        let streams = ["proxy", "log", "attach", "exec", "portforward"];
        self.is_resource_request
            && (self.verb == "watch"
                || self.subresource.as_deref().is_some_and(|name| streams.contains(&name)))
    }

    fn with_resource(
        self,
        (group, version): (&str, &str),
        (first, rest): (&str, &[&str]),
        (method, uri): (&Method, &Uri),
    ) -> Self {
        let info = Self { group: group.to_owned(), version: version.to_owned(), ..self };
        let (special, parts) = match (first, rest) {
            ("watch" | "proxy", []) => return info,
            ("watch" | "proxy", [next, rest @ ..]) => (Some(first), [&[*next], rest].concat()),
            _ => (None, [&[first], rest].concat()),
        };
        let verb = special.map_or_else(|| verb_of(method).to_owned(), ToOwned::to_owned);
        Self { is_resource_request: true, verb, ..info }.with_parts(&parts, uri).with_query(uri)
    }

    fn with_parts(self, parts: &[&str], uri: &Uri) -> Self {
        let (namespace, parts) = match parts {
            ["namespaces", name, next, rest @ ..] if !NAMESPACE_SUBRESOURCES.contains(next) => {
                (Some(name), [&[*next], rest].concat())
            }
            ["namespaces", name, ..] => (Some(name), parts.to_vec()),
            _ => (None, parts.to_vec()),
        };
        let name = parts.get(1).map(|&name| name.to_owned());
        Self {
            namespace: namespace.map(|&name| name.to_owned()),
            resource: parts.first().map(|&resource| resource.to_owned()).unwrap_or_default(),
            named_by_path: name.is_some(),
            name,
            subresource: parts.get(2).filter(|_| self.verb != "proxy").map(|&name| name.to_owned()),
            rest: (parts.len() > 3).then(|| below(uri.path(), parts.len() - 3)),
            ..self
        }
    }

    fn with_query(mut self, uri: &Uri) -> Self {
        let query = Query::of(uri);
        if self.name.is_none() && self.verb == "get" {
            self.name = exact_name(&query);
            if query.flag("watch") { "watch" } else { "list" }.clone_into(&mut self.verb);
        }
        if self.name.is_none() && self.verb == "delete" {
            "deletecollection".clone_into(&mut self.verb);
        }
        if ["list", "watch", "deletecollection"].contains(&self.verb.as_str()) {
            let fields = query.first("fieldSelector").and_then(|text| text.parse::<FieldSelector>().ok());
            let labels = query.first("labelSelector").and_then(|text| text.parse::<LabelSelector>().ok());
            self.field_requirements = fields.unwrap_or_default().requirements();
            self.label_requirements = labels.unwrap_or_default().requirements();
        }
        self
    }
}

fn verb_of(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The name that a list is restricted to; names with `/` or `%`, and dots alone, are no names.
fn exact_name(query: &Query) -> Option<String> {
    let selector: FieldSelector = query.first("fieldSelector")?.parse().ok()?;
    let name = selector.exactly("metadata.name")?;
    let is_name = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%']);
    is_name.then(|| name.to_owned())
}

/// The last `count` segments of a raw path, with its trailing slash if it has one.
fn below(path: &str, count: usize) -> String {
    let trimmed = path.trim_end_matches('/');
    let start = trimmed.rmatch_indices('/').nth(count - 1).map_or(0, |(at, _)| at + 1);
    path[start..].to_owned()
}

#[cfg(test)]
mod tests;
