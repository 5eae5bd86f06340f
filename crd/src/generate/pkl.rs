//! A definition as a Pkl module, for those who write their manifests in Pkl.
//!
//! Stage in the flow: none at run time. Invariant: a module amends Kubernetes' own Pkl package, whose types
//! stand in for those of Kubernetes; every other object of the schema is a class. Not for types that come
//! from elsewhere.

use std::{collections::BTreeSet, fmt::Write};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

/// The Pkl package of Kubernetes' own kinds.
const PACKAGE: &str = "package://pkg.pkl-lang.org/pkl-k8s/k8s@1.0.1#";

/// Kubernetes' own types: by property, the type and the file that has it.
const KUBERNETES: [(&str, &str, &str); 19] = [
    ("admin", "NetworkPolicy.NetworkPolicyPeer", "api/networking/v1/NetworkPolicy"),
    ("affinity", "PodSpec.Affinity", "api/core/v1/PodSpec"),
    ("dnsConfig", "PodSpec.PodDNSConfig", "api/core/v1/PodSpec"),
    ("env", "EnvVar", "api/core/v1/EnvVar"),
    ("extraVolumeMounts", "VolumeMount", "api/core/v1/VolumeMount"),
    ("extraVolumes", "Volume", "api/core/v1/Volume"),
    ("imagePullSecrets", "LocalObjectReference", "api/core/v1/LocalObjectReference"),
    ("ingress", "NetworkPolicy.NetworkPolicyPeer", "api/networking/v1/NetworkPolicy"),
    ("lifecycle", "Lifecycle", "api/core/v1/Lifecycle"),
    ("metrics", "NetworkPolicy.NetworkPolicyPeer", "api/networking/v1/NetworkPolicy"),
    ("networkEgressRules", "NetworkPolicy.NetworkPolicyEgressRule", "api/networking/v1/NetworkPolicy"),
    ("node", "NetworkPolicy.NetworkPolicyPeer", "api/networking/v1/NetworkPolicy"),
    ("resources", "ResourceRequirements", "api/core/v1/ResourceRequirements"),
    ("selector", "LabelSelector", "apimachinery/pkg/apis/meta/v1/LabelSelector"),
    ("sidecars", "PodSpec.Container", "api/core/v1/PodSpec"),
    ("template", "PodTemplateSpec", "api/core/v1/PodTemplateSpec"),
    ("tolerations", "Toleration", "api/core/v1/Toleration"),
    ("topologySpreadConstraints", "PodSpec.TopologySpreadConstraint", "api/core/v1/PodSpec"),
    ("metadata", "ObjectMeta", "apimachinery/pkg/apis/meta/v1/ObjectMeta"),
];

/// The module of a definition; empty where a definition has no schema, which none of ours is.
pub(super) fn module(definition: &CustomResourceDefinition) -> String {
    let spec = &definition.spec;
    let version = spec.versions.first();
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let (Some(version), Some(schema)) = (version, schema) else { return String::new() };
    let mut classes = Classes::default();
    let body = classes.root(schema);
    let mut text = doc(schema, "");
    let group: Vec<&str> = spec.group.rsplit('.').collect();
    text.extend([format!("module {}.{}.{}\n\n", group.join("."), version.name, spec.names.kind)]);
    text.extend([format!("extends \"{PACKAGE}/K8sResource.pkl\"\n\n")]);
    text.extend(classes.imports.iter().map(|file| format!("import \"{PACKAGE}/{file}.pkl\"\n")));
    text.extend([format!("\nfixed apiVersion: \"{}/{}\"\n", spec.group, version.name)]);
    text.extend([format!("\nfixed kind: \"{}\"\n", spec.names.kind)]);
    text + &body + &classes.written
}

#[derive(Default)]
struct Classes {
    imports: BTreeSet<&'static str>,
    names: BTreeSet<String>,
    written: String,
}

impl Classes {
    /// The properties of the object itself; whatever they need becomes a class.
    fn root(&mut self, schema: &JSONSchemaProps) -> String {
        let file = "apimachinery/pkg/apis/meta/v1/ObjectMeta";
        self.imports.insert(file);
        let metadata =
            "\n/// Name, labels and annotations of the object.\nmetadata: ObjectMeta?\n".to_owned();
        let others = properties(schema).filter(|(name, _)| *name != "metadata");
        let mut pending = Vec::new();
        let body = others.fold(metadata, |text, (name, property)| {
            let required = is_required(schema, name);
            let of = Property { parent: "", name, schema: property, required, many: false };
            text + "\n" + &self.property(&of, "", &mut pending)
        });
        self.write_all(pending);
        body
    }

    fn property<'a>(&mut self, of: &Property<'a, '_>, indent: &str, pending: &mut Vec<Class<'a>>) -> String {
        let (kind, optional) = (self.kind(of, pending), if of.required { "" } else { "?" });
        let default =
            of.schema.default.as_ref().map(|value| default_doc(&value.0, indent)).unwrap_or_default();
        format!("{}{default}{indent}{}: {kind}{optional}\n", doc(of.schema, indent), quoted(of.name))
    }

    fn write_all(&mut self, mut pending: Vec<Class<'_>>) {
        pending.reverse();
        while let Some(Class { name, schema }) = pending.pop() {
            let mut nested = Vec::new();
            let lines: Vec<String> = properties(schema)
                .map(|(property, inner)| {
                    let required = is_required(schema, property);
                    let of = Property { parent: &name, name: property, schema: inner, required, many: false };
                    self.property(&of, "  ", &mut nested)
                })
                .collect();
            let _infallible =
                write!(self.written, "\n{}class {name} {{\n{}}}\n", doc(schema, ""), lines.join("\n"));
            pending.extend(nested.into_iter().rev());
        }
    }

    fn kind<'a>(&mut self, of: &Property<'a, '_>, pending: &mut Vec<Class<'a>>) -> String {
        let schema = of.schema;
        let foreign = KUBERNETES.iter().find(|(property, ..)| *property == of.name);
        if schema.x_kubernetes_int_or_string == Some(true) {
            return "Int|String".to_owned();
        }
        match (schema.type_.as_deref(), foreign) {
            (Some("array"), _) => format!("Listing<{}>", self.item(of, pending)),
            (_, Some((_, name, file))) => {
                self.imports.insert(file);
                (*name).to_owned()
            }
            (Some("object"), None) => self.object(of, pending),
            (Some("integer"), None) => integer(schema),
            (Some("boolean"), None) => "Boolean".to_owned(),
            (Some("string"), None) => string(schema),
            (_, None) => "Any".to_owned(),
        }
    }

    fn item<'a>(&mut self, of: &Property<'a, '_>, pending: &mut Vec<Class<'a>>) -> String {
        let Some(JSONSchemaPropsOrArray::Schema(item)) = &of.schema.items else { return "Any".to_owned() };
        self.kind(&Property { schema: item, many: true, ..*of }, pending)
    }

    fn object<'a>(&mut self, of: &Property<'a, '_>, pending: &mut Vec<Class<'a>>) -> String {
        if let Some(JSONSchemaPropsOrBool::Schema(value)) = &of.schema.additional_properties {
            let value = self.kind(&Property { name: "", schema: value, ..*of }, pending);
            return format!("Mapping<String, {value}>");
        }
        if of.schema.properties.is_none() {
            return "Dynamic".to_owned();
        }
        let name = self.unused(of);
        pending.push(Class { name: name.clone(), schema: of.schema });
        name
    }

    /// A class is named after its property, one of a list in the singular; where the name is taken, after the
    /// class that has the property too.
    fn unused(&mut self, of: &Property<'_, '_>) -> String {
        let singular = if of.many { of.name.strip_suffix('s').unwrap_or(of.name) } else { of.name };
        let name = capitalized(singular);
        let free = if self.names.contains(&name) { format!("{}{name}", of.parent) } else { name };
        self.names.insert(free.clone());
        free
    }
}

#[derive(Clone, Copy)]
struct Property<'a, 'n> {
    parent: &'n str,
    name: &'a str,
    schema: &'a JSONSchemaProps,
    required: bool,
    many: bool,
}

struct Class<'a> {
    name: String,
    schema: &'a JSONSchemaProps,
}

fn properties(schema: &JSONSchemaProps) -> impl Iterator<Item = (&str, &JSONSchemaProps)> {
    schema.properties.iter().flatten().map(|(name, property)| (name.as_str(), property))
}

fn is_required(schema: &JSONSchemaProps, name: &str) -> bool {
    schema.required.iter().flatten().any(|required| required == name)
}

fn integer(schema: &JSONSchemaProps) -> String {
    match (schema.minimum, schema.maximum) {
        (Some(minimum), Some(maximum)) => format!("Int(isBetween({minimum}, {maximum}))"),
        (Some(0.0), None) => "Int(isPositive)".to_owned(),
        (Some(minimum), None) => format!("Int(this >= {minimum})"),
        (None, Some(maximum)) => format!("Int(this <= {maximum})"),
        (None, None) => "Int".to_owned(),
    }
}

fn string(schema: &JSONSchemaProps) -> String {
    if let Some(words) = &schema.enum_ {
        let words: Vec<String> = words.iter().map(|word| word.0.to_string()).collect();
        return format!("({})", words.join("|"));
    }
    let pattern = schema.pattern.as_ref().map(|pattern| format!("matches(Regex(#\"{pattern}\"#))"));
    let shortest = schema.min_length.map(|length| format!("length >= {length}"));
    let longest = schema.max_length.map(|length| format!("length <= {length}"));
    let rules: Vec<String> = [pattern, shortest, longest].into_iter().flatten().collect();
    if rules.is_empty() { "String".to_owned() } else { format!("String({})", rules.join(", ")) }
}

fn doc(schema: &JSONSchemaProps, indent: &str) -> String {
    let lines = schema.description.iter().flat_map(|text| text.lines());
    lines.map(|line| format!("{indent}/// {line}").trim_end().to_owned() + "\n").collect()
}

fn default_doc(value: &Value, indent: &str) -> String {
    format!("{indent}///\n{indent}/// `{value}` unless set.\n")
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// Names that mean something in Pkl stand in backquotes.
fn quoted(name: &str) -> String {
    const KEYWORDS: [&str; 8] =
        ["class", "external", "fixed", "hidden", "import", "local", "module", "delete"];
    if KEYWORDS.contains(&name) { format!("`{name}`") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use kube_core::CustomResourceExt;
    use rstest::rstest;

    use super::*;
    use crate::{RestateCluster, RestateDeployment};

    #[rstest]
    #[case::required("compute: Compute\n")]
    #[case::optional("security: Security?\n")]
    #[case::bounds("storageRequestBytes: Int(this >= 1)\n")]
    #[case::words("provisioning: (\"Auto\"|\"Manual\")?\n")]
    #[case::list("args: Listing<String>?\n")]
    #[case::map("nodeSelector: Mapping<String, String>?\n")]
    #[case::kubernetes("affinity: PodSpec.Affinity?\n")]
    #[case::kubernetes_list("networkEgressRules: Listing<NetworkPolicy.NetworkPolicyEgressRule>?\n")]
    #[case::class("class NetworkPeers {\n")]
    #[case::kind("fixed kind: \"RestateCluster\"\n")]
    #[case::module("module dev.restate.v1.RestateCluster\n")]
    fn a_module_says(#[case] line: &str) {
        let module = module(&RestateCluster::crd());
        assert!(module.contains(line), "{module}");
    }

    #[test]
    fn no_class_has_the_name_of_another() {
        let module = module(&RestateDeployment::crd());
        let names: Vec<&str> = module.lines().filter_map(|line| line.strip_prefix("class ")).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        assert!(
            ["Knative {", "StatusKnative {", "Condition {"].iter().all(|name| names.contains(name)),
            "{names:?}"
        );
    }
}
