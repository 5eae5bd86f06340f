//! The descriptor: everything about a resource that is known before the first request.
//!
//! All of it can be a constant. What is not said here is not served: a handler without an entry, or an entry
//! without a handler, is refused when the API is assembled.

use strum::{AsRefStr, Display, EnumString, IntoStaticStr};

/// Group, version and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gvk {
    /// API group.
    pub group: &'static str,
    /// Version in the group.
    pub version: &'static str,
    /// Kind, in upper camel case.
    pub kind: &'static str,
}

impl Gvk {
    /// `group/version`, or the version alone for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The kind of a list of these.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }
}

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display)]
pub enum Scope {
    /// Each object has a namespace.
    Namespaced,
    /// Objects belong to the cluster.
    Cluster,
}

/// A verb of the API, as roles and discovery write it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, IntoStaticStr, AsRefStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum Verb {
    /// POST.
    Create,
    /// DELETE of one object.
    Delete,
    /// DELETE of a collection.
    DeleteCollection,
    /// GET of one object.
    Get,
    /// GET of a collection.
    List,
    /// PATCH.
    Patch,
    /// PUT.
    Update,
    /// GET of a collection, as a stream of events.
    Watch,
}

impl Verb {
    /// The verb's name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What a subresource gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// One object of the subresource's kind.
    Object,
    /// A list of objects of the subresource's kind.
    List,
    /// Whatever the connection carries (proxies, logs).
    Stream,
}

/// A subresource of a resource: `<plural>/<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// Name in the path.
    pub name: &'static str,
    /// What it answers with (and takes, where it is created); may be a kind of another group.
    pub gvk: Gvk,
    /// Verbs, each with a handler.
    pub verbs: &'static [Verb],
    /// The shape of the answer.
    pub answer: Answer,
}

impl Subresource {
    /// The kind that discovery names: the list's where a list is answered.
    pub fn response_kind(&self) -> String {
        match self.answer {
            Answer::List => self.gvk.list_kind(),
            Answer::Object | Answer::Stream => self.gvk.kind.to_owned(),
        }
    }
}

/// A resource of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Group, version and kind of its objects.
    pub gvk: Gvk,
    /// Name in the path.
    pub plural: &'static str,
    /// Name of one, in lower case.
    pub singular: &'static str,
    /// Short names; none that a core kind has.
    pub short_names: &'static [&'static str],
    /// Categories that `kubectl get` expands; never `all` for what costs a query.
    pub categories: &'static [&'static str],
    /// Namespaced or not.
    pub scope: Scope,
    /// Verbs, each with a handler.
    pub verbs: &'static [Verb],
    /// Fields beside `metadata.name` and `metadata.namespace` that a field selector may name.
    pub selectable_fields: &'static [&'static str],
    /// Subresources.
    pub subresources: &'static [Subresource],
}

/// One line of a role: a resource or subresource with the verbs that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `plural` or `plural/subresource`.
    pub resource: String,
    /// Its verbs.
    pub verbs: &'static [Verb],
}

impl Descriptor {
    /// A resource with nothing beside its verbs; the rest can be set by struct update.
    pub const fn new(
        gvk: Gvk,
        (plural, singular): (&'static str, &'static str),
        scope: Scope,
        verbs: &'static [Verb],
    ) -> Self {
        let (short_names, categories, selectable_fields, subresources) = (&[], &[], &[], &[]);
        Self { gvk, plural, singular, short_names, categories, scope, verbs, selectable_fields, subresources }
    }

    /// Whether objects live in a namespace.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether the resource itself has the verb.
    pub fn has(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }

    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// Whether a field selector may name this field.
    pub fn selects(&self, field: &str) -> bool {
        field == "metadata.name"
            || (field == "metadata.namespace" && self.is_namespaced())
            || self.selectable_fields.contains(&field)
    }

    /// The resource and its subresources as roles name them.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let itself = Entry { resource: self.plural.to_owned(), verbs: self.verbs };
        let under = self
            .subresources
            .iter()
            .map(|sub| Entry { resource: format!("{}/{}", self.plural, sub.name), verbs: sub.verbs });
        std::iter::once(itself).chain(under)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const DEMO: Descriptor = Descriptor {
        gvk: Gvk { group: "demo.example", version: "v1", kind: "Book" },
        plural: "books",
        singular: "book",
        short_names: &["bk"],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: &[Verb::Get],
        selectable_fields: &["status.state"],
        subresources: &[Subresource {
            name: "pages",
            gvk: Gvk { group: "demo.example", version: "v1", kind: "Page" },
            verbs: &[Verb::Get],
            answer: Answer::List,
        }],
    };

    #[test]
    fn roles_name_the_resource_and_each_subresource() {
        let names: Vec<String> = DEMO.entries().map(|entry| entry.resource).collect();
        assert_eq!(names, ["books", "books/pages"]);
    }

    #[rstest]
    #[case("metadata.name", true)]
    #[case("metadata.namespace", true)]
    #[case("status.state", true)]
    #[case("status.other", false)]
    fn r9_only_declared_fields_are_selectable(#[case] field: &str, #[case] selectable: bool) {
        assert_eq!(DEMO.selects(field), selectable);
    }

    #[test]
    fn a_list_answer_is_named_as_a_list() {
        assert_eq!(DEMO.subresources[0].response_kind(), "PageList");
        assert_eq!(DEMO.gvk.api_version(), "demo.example/v1");
    }

    #[rstest]
    #[case(Verb::DeleteCollection, "deletecollection")]
    #[case(Verb::Get, "get")]
    fn verbs_are_written_in_lower_case(#[case] verb: Verb, #[case] name: &str) {
        assert_eq!(verb.name(), name);
    }
}
