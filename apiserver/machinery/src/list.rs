//! Getting and listing: what is asked for, of which version, and in which portions (R9–R14).

mod kept;
mod options;
mod resume;
mod stored;

use serde::Serialize;

pub(crate) use options::{ListOptions, Version, VersionMatch, version_of};
pub use options::{ListRequest, Selection};
pub(crate) use resume::Bound;
pub(crate) use stored::{Stored, reached, whole_state_for};

use crate::render::Render;

/// Metadata of a list.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListMeta {
    pub(crate) resource_version: String,
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    pub(crate) resume: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remaining_item_count: Option<usize>,
}

impl ListMeta {
    pub(crate) fn at(version: u64) -> Self {
        let resource_version = if version == 0 { String::new() } else { version.to_string() };
        Self { resource_version, ..Self::default() }
    }

    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&serde_json::to_vec(self).unwrap_or_default());
    }
}

/// What a reader of a resource needs to know of its request.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) options: ListOptions,
    pub(crate) render: Render,
}
