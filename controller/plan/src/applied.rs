//! Whether an object that exists is already as wanted, so that nothing is written at rest.
//!
//! Two questions, because the API server adds fields of its own: does every wanted field stand there with the
//! wanted value (drift), and was it this very wish that was applied last (a field that is wanted no more)? The
//! second is answered by a digest in an annotation.

use restate_crd::annotation::APPLIED;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::Object;

/// The wanted object with the digest of the wish in its annotations.
pub fn stamped<T>(mut wanted: T) -> T
where
    T: kube_core::Resource + Serialize,
{
    let digest = digest(&wanted);
    wanted.meta_mut().annotations.get_or_insert_default().insert(APPLIED.to_owned(), digest);
    wanted
}

/// Whether `observed` has everything that the stamped `wanted` says, and was made from the same wish.
pub fn is_applied<T: Serialize>(wanted: &T, observed: &T) -> bool {
    match (serde_json::to_value(wanted), serde_json::to_value(observed)) {
        (Ok(wanted), Ok(observed)) => covers(&observed, &wanted),
        _ => false,
    }
}

/// The apply step for `wanted`, unless `observed` is already so.
pub fn apply_unless_same<T>(wanted: T, observed: Option<&T>) -> Option<crate::Step>
where
    T: kube_core::Resource + Serialize + Into<Object>,
{
    let wanted = stamped(wanted);
    let same = observed.is_some_and(|observed| is_applied(&wanted, observed));
    (!same).then(|| crate::Step::Apply(crate::Manager::Operator, Box::new(wanted.into())))
}

/// Short digest of anything that serialises.
pub fn digest<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let start = Sha256::digest(&text).iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    format!("{start:016x}")
}

fn covers(observed: &Value, wanted: &Value) -> bool {
    match (observed, wanted) {
        (_, Value::Null) => true,
        (observed, Value::Array(wanted)) if wanted.is_empty() => is_empty(observed),
        (Value::Null, Value::Object(wanted)) => wanted.is_empty(),
        (Value::Object(observed), Value::Object(wanted)) => covers_map(observed, wanted),
        (Value::Array(observed), Value::Array(wanted)) => covers_list(observed, wanted),
        (observed, wanted) => observed == wanted || same_quantity(observed, wanted),
    }
}

/// Empty, null and absent are one thing to the API server.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn covers_map(observed: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    wanted.iter().all(|(key, value)| covers(observed.get(key).unwrap_or(&Value::Null), value))
}

fn covers_list(observed: &[Value], wanted: &[Value]) -> bool {
    observed.len() == wanted.len()
        && observed.iter().zip(wanted).all(|(observed, wanted)| covers(observed, wanted))
}

/// `1Gi` and `1073741824` are one quantity. (The library's own equality does not see that.)
fn same_quantity(observed: &Value, wanted: &Value) -> bool {
    let parse = |value: &Value| kube_quantity::ParsedQuantity::try_from(value.as_str()?).ok()?.to_bytes_f64();
    parse(observed).zip(parse(wanted)).is_some_and(|(observed, wanted)| observed.total_cmp(&wanted).is_eq())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::defaulted(json!({"a": 1, "b": 2}), json!({"a": 1}), true)]
    #[case::changed(json!({"a": 1}), json!({"a": 2}), false)]
    #[case::missing(json!({}), json!({"a": 1}), false)]
    #[case::empty_list_is_absent(json!({}), json!({"peers": []}), true)]
    #[case::null_is_absent(json!({"a": []}), json!({"a": null}), true)]
    #[case::emptied_list(json!({"peers": [1]}), json!({"peers": []}), false)]
    #[case::empty_map_is_absent(json!({}), json!({"emptyDir": {}}), true)]
    #[case::longer_list(json!({"a": [1, 2]}), json!({"a": [1]}), false)]
    #[case::defaulted_in_list(json!({"a": [{"n": 1, "x": 2}]}), json!({"a": [{"n": 1}]}), true)]
    #[case::quantity(json!({"storage": "1073741824"}), json!({"storage": "1Gi"}), true)]
    #[case::other_quantity(json!({"storage": "1G"}), json!({"storage": "1Gi"}), false)]
    #[case::text_is_no_quantity(json!({"a": "x"}), json!({"a": "y"}), false)]
    fn what_stands_there_covers_the_wish(#[case] observed: Value, #[case] wanted: Value, #[case] same: bool) {
        assert_eq!(covers(&observed, &wanted), same);
    }

    #[test]
    fn a_wish_withdrawn_is_a_difference() {
        use k8s_openapi::api::core::v1::ServiceAccount;
        let account = |annotation: Option<&str>| {
            let mut account = ServiceAccount::default();
            account.metadata.annotations =
                annotation.map(|key| [(key.to_owned(), "x".to_owned())].into_iter().collect());
            account
        };
        let applied = stamped(account(Some("role")));
        assert!(is_applied(&stamped(account(Some("role"))), &applied));
        assert!(!is_applied(&stamped(account(None)), &applied), "the annotation must go");
    }
}
