//! A snapshot: the newest answers of one Restate, each with the moment at which it was asked for.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Registry, UsageReport};

/// An answer and its age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading<T> {
    /// When the first request behind this answer *started*. Whatever happened after this moment may be missing.
    pub asked_at: Timestamp,
    /// What the answer said.
    pub value: T,
}

impl<T> Reading<T> {
    /// Whether the question was asked after `moment`, so that the answer must know what happened until then.
    pub fn is_newer_than(&self, moment: Timestamp) -> bool {
        self.asked_at > moment
    }
}

/// The newest good answers of one Restate. A failed, partial or malformed answer leaves its reading as it was and
/// sets `failure`; the reading then grows old by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Registered deployments and routing.
    pub registry: Option<Reading<Arc<Registry>>>,
    /// Unfinished work.
    pub usage: Option<Reading<UsageReport>>,
    /// Why the last round did not give a new reading; `None` after a round that did.
    pub failure: Option<Failure>,
}

impl Snapshot {
    /// Whether something was said, and the oldest of it was asked for longer than `age` before `moment`.
    pub fn is_older_than(&self, age: SignedDuration, moment: Timestamp) -> bool {
        let registry = self.registry.as_ref().map(|reading| reading.asked_at);
        let usage = self.usage.as_ref().map(|reading| reading.asked_at);
        registry.into_iter().chain(usage).min().is_some_and(|oldest| moment.duration_since(oldest) > age)
    }
}

/// Why Restate could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// What kind of failure.
    pub kind: FailureKind,
    /// What was seen, for people: no header, no token.
    pub message: String,
}

/// Kinds of failure, for conditions and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// No connection.
    Unreachable,
    /// No answer within the deadline.
    TimedOut,
    /// A connection that broke, or an answer that is not what was asked for.
    Malformed,
    /// Restate answered that it cannot answer (5xx: partitions unplaced, overload).
    Unavailable,
    /// Restate or what stands before it refused (4xx).
    Refused,
}
