//! One invocation, finished or not, as plain data.
//!
//! Invariant: no payload is in it: neither input nor output nor journal. What a handler called its failure is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DeploymentId, InvocationId, ServiceKind, ServiceName, Status};

/// One invocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// Restate's id of it.
    pub id: InvocationId,
    /// What is invoked.
    pub target: Target,
    /// Where it stands.
    pub state: InvocationState,
    /// The deployment that it is bound to. A completed one keeps it for as long as Restate keeps the invocation.
    pub pinned: Option<DeploymentId>,
    /// Moments of its life.
    pub times: Times,
    /// What was tried.
    pub attempts: Attempts,
    /// Who invoked it.
    pub caller: Caller,
    /// Why it failed for good; none where it succeeded or is not finished.
    pub failure: Option<String>,
    /// The invocation that it was made from by a restart.
    pub restarted_from: Option<InvocationId>,
}

/// What is invoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The service.
    pub service: ServiceName,
    /// The key, for virtual objects and workflows.
    pub key: Option<String>,
    /// The handler.
    pub handler: String,
    /// The kind of service.
    pub kind: ServiceKind,
}

/// The states of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum InvocationState {
    /// There is something left to do.
    Unfinished(Status),
    /// It is done and kept for its retention.
    Completed,
}

impl InvocationState {
    /// Every state that is known here.
    pub const ALL: [Self; 8] = [
        Self::Unfinished(Status::Scheduled),
        Self::Unfinished(Status::Inboxed),
        Self::Unfinished(Status::Ready),
        Self::Unfinished(Status::Running),
        Self::Unfinished(Status::BackingOff),
        Self::Unfinished(Status::Suspended),
        Self::Unfinished(Status::Paused),
        Self::Completed,
    ];
}

/// Moments in the life of an invocation; what has not come is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Restate took it.
    pub created: Option<Timestamp>,
    /// Something changed.
    pub modified: Option<Timestamp>,
    /// It is to start.
    pub scheduled_start: Option<Timestamp>,
    /// It ran for the first time.
    pub started: Option<Timestamp>,
    /// It was done.
    pub completed: Option<Timestamp>,
}

/// What was tried since it ran last without a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// How many.
    pub count: u64,
    /// The deployment of the last one.
    pub deployment: Option<DeploymentId>,
    /// When the next one comes.
    pub next: Option<Timestamp>,
    /// Why the last one failed.
    pub failure: Option<AttemptFailure>,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailure {
    /// In the words of the handler or of Restate.
    pub message: String,
    /// Restate's code.
    pub code: Option<String>,
}

/// Who invoked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// `ingress`, `service`, `subscription`, `restart_as_new`; empty where Restate does not say.
    pub kind: String,
    /// The calling service.
    pub service: Option<ServiceName>,
    /// The calling invocation.
    pub invocation: Option<InvocationId>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_known_state_is_named_once() {
        let states: BTreeSet<_> = InvocationState::ALL.into_iter().collect();
        assert_eq!(states.len(), InvocationState::ALL.len());
        assert!(
            !states.contains(&InvocationState::Unfinished(Status::Other)),
            "what is not known has no name"
        );
    }
}
