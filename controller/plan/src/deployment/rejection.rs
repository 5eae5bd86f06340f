//! The record of a registration that Restate refused for good.
//!
//! Stage in the flow: after execute. Invariant: it holds for one generation of the object: until its spec changes
//! nothing is tried again. Not for failures that pass.

use std::collections::BTreeMap;

use jiff::Timestamp;
use restate_crd::RestateDeployment;
use restate_crd::annotation::REJECTED;

use super::version::Rejection;
use crate::{Patch, Registration, Step};

/// Longest text that is recorded: annotations are limited, and people read this one.
const LONGEST: usize = 2_000;

/// The step that records that `registration` of a version of `object` was refused with these words.
pub fn record_rejection(
    object: &RestateDeployment,
    registration: &Registration,
    (code, message): (&str, &str),
    at: Timestamp,
) -> Step {
    let rejection = Rejection {
        code: code.to_owned(),
        message: message.chars().take(LONGEST).collect(),
        at,
        generation: object.metadata.generation.unwrap_or_default(),
    };
    let text = serde_json::to_string(&rejection).unwrap_or_default();
    let version = &registration.version;
    Step::Patch(Patch {
        annotations: BTreeMap::from([(REJECTED.to_owned(), Some(text))]),
        ..Patch::of(version.object.clone(), version.uid.clone())
    })
}
