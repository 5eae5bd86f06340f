//! Why a step was not done. The variant's name is its category in metrics and conditions.

use std::time::Duration;

use restate_plan::{ObjectRef, Registration};

/// Why a step was not done.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub(crate) enum Error {
    /// The Lease is not ours for long enough.
    #[error("{step} needs the Lease for {} s more", needed.as_secs())]
    Lease { step: &'static str, needed: Duration },
    /// Others change the same, one after the other or a few at a time.
    #[error("{step} waits for its turn at {at}")]
    Busy { step: &'static str, at: String },
    /// Somebody else was faster, or it is another object by now: look again.
    #[error("{object} is not as it was seen")]
    Overtaken { object: Box<ObjectRef> },
    /// The API server refused or failed.
    #[error("failed to {verb} {object}")]
    Api { verb: &'static str, object: Box<ObjectRef>, source: Box<kube::Error> },
    /// The API server did not answer in time.
    #[error("failed to {verb} {object}: no answer in time")]
    Slow { verb: &'static str, object: Box<ObjectRef> },
    /// A plan's object is none that can be sent.
    #[error("failed to encode {object}")]
    Encode { object: Box<ObjectRef>, source: serde_json::Error },
    /// Restate refuses a registration for good.
    #[error("Restate refuses {}", registration.uri)]
    Rejected { registration: Box<Registration>, rejection: Rejection },
    /// A registration did not succeed, and may later.
    #[error("failed to register {uri}: {words}")]
    Register { uri: String, words: String, rest: Duration },
    /// A registration did not succeed lately, and is not tried again yet.
    #[error("failed to register {uri}: {words}")]
    Resting { uri: String, words: String, rest: Duration },
    /// A deployment could not be removed from Restate.
    #[error("failed to deregister {deployment}")]
    Deregister { deployment: String, source: Box<crate::restates::Error> },
    /// A cluster could not be provisioned.
    #[error("failed to provision {cluster}")]
    Provision { cluster: String, source: Box<crate::restates::Error> },
    /// A cluster's configuration could not be read or changed.
    #[error("failed to configure {cluster}")]
    Configure { cluster: String, source: Box<crate::restates::Error> },
    /// A cluster's nodes, logs or metadata servers could not be changed.
    #[error("failed to {verb} of {cluster}")]
    Nodes { verb: &'static str, cluster: String, source: Box<crate::restates::Error> },
    /// A node did not answer when it was asked for the last time before the provisioning.
    #[error("node {node} does not answer: {why}")]
    Silent { node: String, why: String },
    /// A call to Restate took longer than it may.
    #[error("no answer in time: {what}")]
    Deadline { what: &'static str },
}

/// Restate's own words for a refusal that no retry will change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// Restate's code, `META0006`.
    pub(crate) code: String,
    /// Its words.
    pub(crate) message: String,
}

impl Error {
    /// What an answer of the API server means.
    pub(crate) fn of_api(object: &ObjectRef, verb: &'static str, source: kube::Error) -> Self {
        if is_overtaken(&source) {
            return Self::Overtaken { object: Box::new(object.clone()) };
        }
        Self::Api { verb, object: Box::new(object.clone()), source: Box::new(source) }
    }

    /// How long to wait before the next look, where the failure says so itself.
    pub(crate) fn rest(&self) -> Option<Duration> {
        match self {
            Self::Register { rest, .. } | Self::Resting { rest, .. } => Some(*rest),
            Self::Lease { .. }
            | Self::Busy { .. }
            | Self::Overtaken { .. }
            | Self::Api { .. }
            | Self::Slow { .. }
            | Self::Encode { .. }
            | Self::Rejected { .. }
            | Self::Deregister { .. }
            | Self::Provision { .. }
            | Self::Configure { .. }
            | Self::Nodes { .. }
            | Self::Silent { .. }
            | Self::Deadline { .. } => None,
        }
    }

    /// Whether somebody said no to this step: others may be done. Where nobody answers, nothing else would be.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Api { source, .. } => matches!(**source, kube::Error::Api(_)),
            Self::Busy { .. }
            | Self::Overtaken { .. }
            | Self::Register { .. }
            | Self::Resting { .. }
            | Self::Deregister { .. } => true,
            Self::Lease { .. }
            | Self::Slow { .. }
            | Self::Encode { .. }
            | Self::Rejected { .. }
            | Self::Provision { .. }
            | Self::Configure { .. }
            | Self::Nodes { .. }
            | Self::Silent { .. }
            | Self::Deadline { .. } => false,
        }
    }

    /// Whether it only means that somebody else was faster, or comes first.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Overtaken { .. } | Self::Lease { .. } | Self::Busy { .. })
    }
}

/// A precondition did not hold: 409, or 422 where a uid in a patch is another than the object's, or 404.
fn is_overtaken(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    match status.code {
        409 => true,
        422 => status.message.contains("metadata.uid"),
        404 => {
            status.details.as_ref().is_some_and(|details| !details.name.is_empty()) && !of_namespace(status)
        }
        _ => false,
    }
}

/// A missing namespace is no race: somebody has to make it.
fn of_namespace(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_some_and(|details| details.kind == "namespaces")
}
