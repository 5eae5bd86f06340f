//! The namespace of a cluster. One that exists and is not ours is used as it is, and never changed or owned.

use k8s_openapi::api::core::v1::Namespace;

use super::{Valid, metadata};
use crate::{Step, applied};

pub(super) fn namespace(valid: &Valid) -> Namespace {
    Namespace { metadata: metadata::unplaced(valid, &valid.name), ..Namespace::default() }
}

/// What to do about the namespace: create it, keep our own as wanted, leave a foreign one alone.
pub(super) fn steps(valid: &Valid, observed: Option<&Namespace>) -> Option<Step> {
    match observed {
        None => Some(Step::Create(Box::new(applied::stamped(namespace(valid)).into()))),
        Some(found) if metadata::is_ours(valid, &found.metadata) => {
            applied::apply_unless_same(namespace(valid), Some(found))
        }
        Some(_) => None,
    }
}

/// Whether the namespace is on its way out: nothing can be made in it.
pub(super) fn is_terminating(observed: Option<&Namespace>) -> bool {
    observed.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some())
}
