//! The parameters that each action takes (O9).

use serde_json::{Value, json};

/// Name, type, what it says.
type Parameter = (&'static str, &'static str, &'static str);

/// Which parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Get,
    List,
    Watch,
    Create,
    Connect,
}

const PRETTY: Parameter = ("pretty", "string", "If 'true', the output is indented.");

const GET: &[Parameter] = &[
    PRETTY,
    ("resourceVersion", "string", "Which version of the object will do: none asks for the freshest."),
];

const LIST: &[Parameter] = &[
    PRETTY,
    ("continue", "string", "The token with which the last portion ended."),
    ("fieldSelector", "string", "Selects objects by their fields."),
    ("labelSelector", "string", "Selects objects by their labels."),
    ("limit", "integer", "The largest number of objects in one answer."),
    ("resourceVersion", "string", "Which version of the list will do: none asks for the freshest."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("timeoutSeconds", "integer", "After how many seconds a watch ends."),
];

const WATCH: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "Whether events of type BOOKMARK are understood."),
    (
        "sendInitialEvents",
        "boolean",
        "Whether a watch begins with the present objects, and marks where they end.",
    ),
    ("watch", "boolean", "Whether changes are told as they happen, instead of a list."),
];

const CREATE: &[Parameter] = &[
    PRETTY,
    ("dryRun", "string", "With 'All', nothing comes of it, and the answer is what it would have been."),
    ("fieldManager", "string", "Who makes the change."),
    ("fieldValidation", "string", "What happens to unknown fields: Ignore, Warn or Strict."),
];

/// The parameters of a set, in the words of v3.
pub(super) fn v3(set: Set) -> Vec<Value> {
    let described = |(name, kind, description): Parameter| {
        json!({
            "name": name, "in": "query", "description": description,
            "schema": {"type": kind, "uniqueItems": true},
        })
    };
    all(set).map(described).collect()
}

/// The same in the words of v2.
pub(super) fn v2(set: Set) -> Vec<Value> {
    let described = |(name, kind, description): Parameter| json!({"name": name, "in": "query", "description": description, "type": kind, "uniqueItems": true});
    all(set).map(described).collect()
}

fn all(set: Set) -> impl Iterator<Item = Parameter> {
    let parts: [&[Parameter]; 2] = match set {
        Set::Get => [GET, &[]],
        Set::List => [LIST, &[]],
        Set::Watch => [LIST, WATCH],
        Set::Create => [CREATE, &[]],
        Set::Connect => [&[], &[]],
    };
    parts.into_iter().flatten().copied()
}
