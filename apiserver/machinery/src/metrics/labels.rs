//! Label sets of the metrics.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::registry::{Metric, Registry};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Outcome {
    /// The caller is known.
    Success,
    /// The caller is not who they claim to be.
    Failure,
    /// The caller may.
    Allowed,
    /// The caller may not.
    Denied,
    /// The question could not be answered.
    Error,
}

/// What a request does to the server's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub enum RequestKind {
    /// It reads.
    ReadOnly,
    /// It writes.
    Mutating,
}

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Upper-case verb: GET, LIST, WATCH, POST, CONNECT, or `other`.
    pub verb: String,
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural name.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// `cluster`, `namespace`, `resource`, or nothing.
    pub scope: String,
    /// `All` for a dry run.
    pub dry_run: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Counted {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: String,
    dry_run: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Terminated {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WatchLabels {
    group: String,
    version: String,
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kind {
    request_kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Result {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Username {
    username: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Code {
    code: CodeValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct CodeValue(Option<u16>);

impl EncodeLabelValue for CodeValue {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> std::fmt::Result {
        match self.0 {
            Some(code) => code.encode(encoder),
            None => "<error>".encode(encoder),
        }
    }
}

impl Counted {
    pub(super) fn new(labels: &RequestLabels, code: u16) -> Self {
        let RequestLabels { verb, group, version, resource, subresource, scope, dry_run } = labels.clone();
        Self { verb, group, version, resource, subresource, scope, dry_run, code }
    }
}

impl Terminated {
    pub(super) fn new(labels: &RequestLabels, code: u16) -> Self {
        let RequestLabels { verb, group, version, resource, subresource, scope, dry_run: _ } = labels.clone();
        Self { verb, group, version, resource, subresource, scope, code }
    }
}

impl WatchLabels {
    pub(super) fn new(group: &str, version: &str, resource: &str) -> Self {
        Self { group: group.to_owned(), version: version.to_owned(), resource: resource.to_owned() }
    }
}

impl Kind {
    pub(super) fn new(kind: RequestKind) -> Self {
        Self { request_kind: kind.into() }
    }
}

impl Result {
    pub(super) fn new(outcome: Outcome) -> Self {
        Self { result: outcome.into() }
    }
}

impl Username {
    /// Upstream names a few of its own components; nobody here is one of them.
    pub(super) fn other() -> Self {
        Self { username: "other" }
    }
}

impl Code {
    pub(super) fn new(code: Option<u16>) -> Self {
        Self { code: CodeValue(code) }
    }
}

/// Registers families that share their labels.
pub(super) struct Component<'a>(&'a mut Registry);

impl<'a> Component<'a> {
    pub(super) fn of(registry: &'a mut Registry) -> Self {
        Self(registry)
    }

    pub(super) fn add<M: Metric + Clone>(&mut self, name: &'static str, help: &'static str, metric: &M) {
        self.0.register(name, help, metric.clone());
    }
}
