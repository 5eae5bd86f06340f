//! Small kinds for the tests of this crate.

mod shown;

use std::borrow::Cow;

use apiserver_kind::{Answer, Cell, Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Subresource, Verb};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use shown::{Listed, Shown};

/// A book.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Book {
    pub(crate) metadata: ObjectMeta,
    /// What the author wants.
    pub(crate) spec: BookSpec,
    /// What there is.
    #[serde(default)]
    pub(crate) status: BookStatus,
}

/// What the author wants.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BookSpec {
    /// Number of pages.
    pub(crate) pages: i64,
    /// Title, if it has one yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
}

/// What there is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BookStatus {
    /// How far it is.
    #[serde(default)]
    pub(crate) state: String,
    /// When somebody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) observed_at: Option<Timestamp>,
}

impl Kind for Book {
    const GVK: Gvk = Gvk { group: "demo.example", version: "v1", kind: "Book" };
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("State", "How far it is."),
        Column::integer("Pages", "Number of pages.").wide(),
        Column::AGE,
    ];

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        let created = self.metadata.creation_timestamp.as_ref().map(|time| time.0);
        vec![
            self.metadata.name.clone().into(),
            self.status.state.as_str().into(),
            self.spec.pages.into(),
            Cell::Age(created),
        ]
    }

    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        (path == "status.state").then(|| self.status.state.as_str().into())
    }

    fn settled(&self) -> Cow<'_, Self> {
        if self.status.observed_at.is_none() {
            return Cow::Borrowed(self);
        }
        let mut settled = self.clone();
        settled.status.observed_at = None;
        Cow::Owned(settled)
    }
}

impl Resource for Book {
    const DESCRIPTOR: Descriptor = Descriptor {
        gvk: Self::GVK,
        plural: "books",
        singular: "book",
        short_names: &["bk"],
        categories: &["demo"],
        scope: Scope::Namespaced,
        verbs: &[Verb::Get, Verb::List, Verb::Watch, Verb::Create],
        selectable_fields: &["status.state"],
        subresources: &[
            Subresource {
                name: "copies",
                gvk: Self::GVK,
                verbs: &[Verb::Get, Verb::Create],
                answer: Answer::List,
            },
            Subresource {
                name: "proxy",
                gvk: Self::GVK,
                verbs: &[Verb::Get, Verb::Create],
                answer: Answer::Stream,
            },
        ],
    };
}

/// A book of this namespace, name, state and number of pages.
pub(crate) fn book(namespace: &str, name: &str, state: &str, pages: i64) -> Book {
    Book {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            uid: Some(format!("uid-{namespace}-{name}")),
            labels: Some([("state".to_owned(), state.to_owned())].into()),
            creation_timestamp: "2026-01-01T00:00:00Z".parse().ok().map(Time),
            ..ObjectMeta::default()
        },
        spec: BookSpec { pages, title: None },
        status: BookStatus { state: state.to_owned(), observed_at: None },
    }
}
