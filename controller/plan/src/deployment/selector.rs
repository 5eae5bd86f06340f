//! Label selectors: whether one matches, and how it reads as text.
//!
//! Stage in the flow: validate. Invariant: the text is the one that Kubernetes' scale subresource understands. Not
//! for selecting objects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use restate_crd::label;

use super::hash::TemplateHash;

/// Whether it would select everything.
pub(super) fn is_empty(selector: &LabelSelector) -> bool {
    let LabelSelector { match_labels, match_expressions } = selector;
    match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether it selects something with these labels. Fails for a requirement that has no meaning.
pub(super) fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> Result<bool, String> {
    let mut all = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    for requirement in selector.match_expressions.iter().flatten() {
        all &= meets(requirement, labels)?;
    }
    Ok(all)
}

fn meets(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> Result<bool, String> {
    let LabelSelectorRequirement { key, operator, values } = requirement;
    let values = values.as_deref().unwrap_or_default();
    let has_values = !values.is_empty();
    match (operator.as_str(), has_values) {
        ("In", true) => Ok(labels.get(key).is_some_and(|value| values.contains(value))),
        ("NotIn", true) => Ok(labels.get(key).is_none_or(|value| !values.contains(value))),
        ("Exists", false) => Ok(labels.contains_key(key)),
        ("DoesNotExist", false) => Ok(!labels.contains_key(key)),
        ("In" | "NotIn", false) => Err(format!("{operator} of {key} needs values")),
        ("Exists" | "DoesNotExist", true) => Err(format!("{operator} of {key} takes no values")),
        (other, _) => Err(format!("{other:?} of {key} is none of In, NotIn, Exists, DoesNotExist")),
    }
}

/// The same selector for one version alone.
pub(super) fn of_version(selector: &LabelSelector, hash: &TemplateHash) -> LabelSelector {
    let mut selector = selector.clone();
    let labels = selector.match_labels.get_or_insert_default();
    labels.insert(label::POD_TEMPLATE_HASH.to_owned(), hash.to_string());
    selector
}

/// As text.
pub(super) fn text(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(requirement_text);
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

fn requirement_text(requirement: &LabelSelectorRequirement) -> String {
    let LabelSelectorRequirement { key, operator, values } = requirement;
    let values = values.as_deref().unwrap_or_default().join(",");
    match operator.as_str() {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "DoesNotExist" => format!("!{key}"),
        _ => key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!({"matchLabels": {"app": "greeter"}}), Ok(true))]
    #[case(json!({"matchLabels": {"app": "other"}}), Ok(false))]
    #[case(json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["greeter", "x"]}]}), Ok(true))]
    #[case(json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["greeter"]}]}), Ok(false))]
    #[case(json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}), Ok(true))]
    #[case(json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}), Ok(true))]
    #[case(json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}), Ok(false))]
    #[case(json!({"matchExpressions": [{"key": "app", "operator": "In"}]}), Err("In of app needs values"))]
    #[case(json!({"matchExpressions": [{"key": "app", "operator": "Gt", "values": ["1"]}]}),
        Err(r#""Gt" of app is none of In, NotIn, Exists, DoesNotExist"#))]
    fn a_selector_matches(#[case] selector: serde_json::Value, #[case] expected: Result<bool, &str>) {
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        let labels = BTreeMap::from([("app".to_owned(), "greeter".to_owned())]);
        assert_eq!(matches(&selector, &labels), expected.map_err(str::to_owned));
    }

    #[test]
    fn a_selector_reads_as_kubernetes_writes_it() {
        let selector: LabelSelector = serde_json::from_value(json!({
            "matchLabels": {"app": "greeter"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "zone", "operator": "NotIn", "values": ["c"]},
                {"key": "x", "operator": "Exists"},
                {"key": "y", "operator": "DoesNotExist"},
            ],
        }))
        .unwrap();
        let scoped = of_version(&selector, &TemplateHash::found("b5fc4b47b"));
        assert_eq!(
            text(&scoped),
            "app=greeter,pod-template-hash=b5fc4b47b,tier in (a,b),zone notin (c),x,!y"
        );
    }
}
