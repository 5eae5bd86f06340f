//! An object as it came, and what the server makes of its metadata (C1, C2, C4).

use std::hash::{BuildHasher, RandomState};

use apiserver_kind::Kind;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{CreateOptions, FieldValidation, complaints::Path, decode::Decoded};
use crate::{
    resource::Call,
    status::{FieldError, Status},
};

/// Where an object is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// In its collection, under a name of its own.
    Collection,
    /// Under the parent that the path names.
    Subresource,
}

/// A body that was read, but not yet as a certain type.
#[derive(Debug)]
pub(crate) struct Draft {
    decoded: Decoded,
    target: Target,
}

impl Draft {
    pub(crate) fn new(decoded: Decoded, target: Target) -> Self {
        Self { decoded, target }
    }

    /// The object, whole and valid as far as the server can tell.
    pub(crate) fn finished<K: Kind + DeserializeOwned>(
        self,
        call: &Call,
        options: &CreateOptions,
    ) -> Result<K, Status> {
        let Self { decoded: Decoded { mut value, duplicates: mut complaints }, target } = self;
        check_type::<K>(&mut value)?;
        let unknown = |place: serde_ignored::Path<'_>| complaints.add("unknown", |path| print(&place, path));
        let mut object: K = serde_ignored::deserialize(value, unknown).map_err(cannot_be::<K>)?;
        complain::<K>(complaints.into_texts(), call, options)?;
        settle(object.metadata_mut(), K::GVK.kind, (call, target))?;
        Ok(object)
    }
}

fn print(place: &serde_ignored::Path<'_>, path: &mut Path) {
    use serde_ignored::Path as Place;
    match place {
        Place::Root => {}
        Place::Seq { parent, index } => {
            print(parent, path);
            path.item(*index);
        }
        Place::Map { parent, key } => {
            print(parent, path);
            path.field(key);
        }
        Place::Some { parent } | Place::NewtypeStruct { parent } | Place::NewtypeVariant { parent } => {
            print(parent, path);
        }
    }
}

/// The body may say what it is; then it must be what the path says.
fn check_type<K: Kind>(value: &mut Value) -> Result<(), Status> {
    let Some(map) = value.as_object_mut() else {
        return Err(Status::bad_request("the body is not an object"));
    };
    map.entry("metadata").or_insert_with(|| Value::Object(serde_json::Map::new()));
    for (key, expected) in [("apiVersion", K::GVK.api_version()), ("kind", K::GVK.kind.to_owned())] {
        match map.remove(key) {
            None | Some(Value::Null) => {}
            Some(Value::String(given)) if given == expected => {}
            Some(given) => {
                let message = format!(
                    "the {key} in the data ({given}) does not match the expected {key} ({expected:?})"
                );
                return Err(Status::bad_request(message));
            }
        }
    }
    Ok(())
}

fn cannot_be<K: Kind>(error: impl std::fmt::Display) -> Status {
    let (kind, version) = (K::GVK.kind, K::GVK.version);
    Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {error}"))
}

fn complain<K: Kind>(complaints: Vec<String>, call: &Call, options: &CreateOptions) -> Result<(), Status> {
    match options.field_validation {
        FieldValidation::Strict if !complaints.is_empty() => {
            Err(cannot_be::<K>(format!("strict decoding error: {}", complaints.join(", "))))
        }
        FieldValidation::Warn => {
            for complaint in complaints {
                call.warnings.add(complaint);
            }
            Ok(())
        }
        FieldValidation::Strict | FieldValidation::Ignore => Ok(()),
    }
}

fn settle(metadata: &mut ObjectMeta, kind: &str, (call, target): (&Call, Target)) -> Result<(), Status> {
    settle_namespace(metadata, call)?;
    match target {
        Target::Collection => settle_name(metadata, kind, &call.info.group)?,
        Target::Subresource => settle_parent(metadata, call)?,
    }
    metadata.uid = Some(uuid::Uuid::new_v4().to_string());
    metadata.creation_timestamp = Some(Time(now()));
    metadata.resource_version = None;
    metadata.managed_fields = None;
    metadata.self_link = None;
    metadata.deletion_timestamp = None;
    metadata.deletion_grace_period_seconds = None;
    Ok(())
}

/// To the second, as Kubernetes writes times.
fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

fn settle_namespace(metadata: &mut ObjectMeta, call: &Call) -> Result<(), Status> {
    let given = metadata.namespace.take().filter(|namespace| !namespace.is_empty());
    if given.is_some() && given.as_deref() != call.namespace() {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(message));
    }
    metadata.namespace = call.namespace().map(ToOwned::to_owned);
    Ok(())
}

fn settle_parent(metadata: &mut ObjectMeta, call: &Call) -> Result<(), Status> {
    let given = metadata.name.take().filter(|name| !name.is_empty());
    if let Some(given) = given.filter(|given| given != call.name()) {
        let parent = call.name();
        let message =
            format!("the name of the object ({given}) does not match the name on the URL ({parent})");
        return Err(Status::bad_request(message));
    }
    metadata.name = Some(call.name().to_owned());
    Ok(())
}

fn settle_name(metadata: &mut ObjectMeta, kind: &str, group: &str) -> Result<(), Status> {
    let given = metadata.name.take().filter(|name| !name.is_empty());
    let prefix = metadata.generate_name.as_deref().filter(|prefix| !prefix.is_empty());
    let name = match (given, prefix) {
        (Some(name), _) => name,
        (None, Some(prefix)) => {
            format!("{}{}", &prefix[..prefix.floor_char_boundary(LONGEST_PREFIX)], suffix())
        }
        (None, None) => {
            let error = FieldError::required("metadata.name", "name or generateName is required");
            return Err(Status::invalid(group, kind, "", &[error]));
        }
    };
    if !is_subdomain(&name) {
        let detail = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                      and must start and end with an alphanumeric character";
        return Err(Status::invalid(
            group,
            kind,
            &name,
            &[FieldError::invalid("metadata.name", name.as_str(), detail)],
        ));
    }
    metadata.name = Some(name);
    Ok(())
}

/// Generated names stay below 63 characters.
const LONGEST_PREFIX: usize = 58;
/// No vowels and nothing that looks like one: no words by accident.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five random characters.
fn suffix() -> String {
    let mut random = RandomState::new().hash_one(Timestamp::now().as_nanosecond());
    std::iter::repeat_with(|| {
        let at = usize::try_from(random % ALPHABET.len() as u64).unwrap_or_default();
        random /= ALPHABET.len() as u64;
        char::from(ALPHABET[at])
    })
    .take(5)
    .collect()
}

fn is_subdomain(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner =
            label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("a", true)]
    #[case("a-b.c9", true)]
    #[case("A", false)]
    #[case("a..b", false)]
    #[case("-a", false)]
    #[case("", false)]
    fn c2_names_are_subdomains(#[case] name: &str, #[case] valid: bool) {
        assert_eq!(is_subdomain(name), valid);
    }

    #[test]
    fn c2_generated_names_end_in_five_random_characters() {
        let (one, other) = (suffix(), suffix());
        assert_ne!(one, other);
        assert!(one.len() == 5 && one.bytes().all(|byte| ALPHABET.contains(&byte)));
    }
}
