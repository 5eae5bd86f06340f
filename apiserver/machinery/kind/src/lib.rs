//! What a virtual kind is, as plain data: its descriptor, its columns, its row of a table.
//!
//! A type that implements [`Kind`] can be encoded; one that implements [`Resource`] can be served. Routes,
//! discovery, `OpenAPI`, authorization attributes, tables and role manifests are computed from what is here.
//! No I/O, no async: a program that only prints manifests needs nothing else.

pub mod age;
pub mod column;
pub mod descriptor;

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::Serialize;

pub use column::{Cell, Column, ColumnType, Format, Row};
pub use descriptor::{Answer, Descriptor, Entry, Gvk, Scope, Subresource, Verb};

/// A type whose values are Kubernetes objects: metadata, and a row of a table.
///
/// It serializes as `{"metadata": …, "spec": …, "status": …}`. `apiVersion` and `kind` come from [`Kind::GVK`] and
/// are not fields of the type.
pub trait Kind: Serialize + JsonSchema + Clone + Send + Sync + 'static {
    /// Group, version and kind.
    const GVK: Gvk;
    /// Columns of the table; the first one is [`Column::NAME`].
    const COLUMNS: &'static [Column];

    /// The object's metadata.
    fn metadata(&self) -> &ObjectMeta;

    /// The object's metadata, for the server to stamp.
    fn metadata_mut(&mut self) -> &mut ObjectMeta;

    /// One cell per column.
    fn row(&self) -> Row;

    /// The value of a selectable field; `metadata.name` and `metadata.namespace` need no word here.
    fn field(&self, _path: &str) -> Option<Cow<'_, str>> {
        None
    }

    /// The object without what changes at every look (the time of observation): only a change in the rest makes a
    /// new resource version and an event.
    fn settled(&self) -> Cow<'_, Self> {
        Cow::Borrowed(self)
    }
}

/// A kind that has a place of its own in the API.
pub trait Resource: Kind {
    /// Where and how it is served. Its `gvk` is [`Kind::GVK`].
    const DESCRIPTOR: Descriptor;
}
