//! The documents, from the descriptors alone (S4, S5, S8–S10).

use apiserver_kind::{Descriptor, Scope, Subresource, Verb};
use serde::Serialize;
use serde_json::{Value, json};

/// `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`.
pub(crate) fn aggregated(group: &str, version: &str, descriptors: &[Descriptor]) -> Vec<u8> {
    let resources: Vec<Aggregated<'_>> = descriptors.iter().map(Aggregated::of).collect();
    bytes(&json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [{
            "metadata": {"name": group, "creationTimestamp": null},
            "versions": [{"version": version, "freshness": "Current", "resources": resources}],
        }],
    }))
}

/// `APIGroupList`.
pub(crate) fn group_list(name: &str, version: &str) -> Vec<u8> {
    bytes(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group_of(name, version)]}))
}

/// `APIGroup`.
pub(crate) fn group(name: &str, version: &str) -> Vec<u8> {
    let mut group = group_of(name, version);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    bytes(&group)
}

/// `APIResourceList`.
pub(crate) fn resource_list(group: &str, version: &str, descriptors: &[Descriptor]) -> Vec<u8> {
    let resources: Vec<Legacy<'_>> = descriptors.iter().flat_map(Legacy::of).collect();
    bytes(&json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{group}/{version}"),
        "resources": resources,
    }))
}

fn group_of(name: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/{version}"), "version": version});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn bytes(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

fn verb_names(verbs: &[Verb]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = verbs.iter().map(|verb| verb.name()).collect();
    names.sort_unstable();
    names
}

#[derive(Serialize)]
struct ResponseKind<'a> {
    group: &'a str,
    version: &'a str,
    kind: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Aggregated<'a> {
    resource: &'a str,
    response_kind: ResponseKind<'a>,
    scope: String,
    singular_resource: &'a str,
    verbs: Vec<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    short_names: &'a [&'a str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'a [&'a str],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subresources: Vec<AggregatedSub<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AggregatedSub<'a> {
    subresource: &'a str,
    response_kind: ResponseKind<'a>,
    verbs: Vec<&'static str>,
}

impl<'a> Aggregated<'a> {
    fn of(descriptor: &'a Descriptor) -> Self {
        let gvk = descriptor.gvk;
        Self {
            resource: descriptor.plural,
            response_kind: ResponseKind { group: gvk.group, version: gvk.version, kind: gvk.kind.to_owned() },
            scope: descriptor.scope.to_string(),
            singular_resource: descriptor.singular,
            verbs: verb_names(descriptor.verbs),
            short_names: descriptor.short_names,
            categories: descriptor.categories,
            subresources: descriptor.subresources.iter().map(AggregatedSub::of).collect(),
        }
    }
}

impl<'a> AggregatedSub<'a> {
    fn of(subresource: &'a Subresource) -> Self {
        let (group, version, kind) =
            (subresource.gvk.group, subresource.gvk.version, subresource.response_kind());
        Self {
            subresource: subresource.name,
            response_kind: ResponseKind { group, version, kind },
            verbs: verb_names(subresource.verbs),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Legacy<'a> {
    name: String,
    singular_name: &'a str,
    namespaced: bool,
    group: &'a str,
    version: &'a str,
    kind: String,
    verbs: Vec<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    short_names: &'a [&'a str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'a [&'a str],
}

impl<'a> Legacy<'a> {
    /// The resource, then its subresources.
    fn of(descriptor: &'a Descriptor) -> Vec<Self> {
        let gvk = descriptor.gvk;
        let namespaced = descriptor.scope == Scope::Namespaced;
        let itself = Self {
            name: descriptor.plural.to_owned(),
            singular_name: descriptor.singular,
            namespaced,
            group: gvk.group,
            version: gvk.version,
            kind: gvk.kind.to_owned(),
            verbs: verb_names(descriptor.verbs),
            short_names: descriptor.short_names,
            categories: descriptor.categories,
        };
        let under = |subresource: &'a Subresource| Self {
            name: format!("{}/{}", descriptor.plural, subresource.name),
            singular_name: "",
            namespaced,
            group: subresource.gvk.group,
            version: subresource.gvk.version,
            kind: subresource.response_kind(),
            verbs: verb_names(subresource.verbs),
            short_names: &[],
            categories: &[],
        };
        std::iter::once(itself).chain(descriptor.subresources.iter().map(under)).collect()
    }
}
