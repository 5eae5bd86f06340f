//! Unfinished work, counted by the version that must do it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{DeploymentId, ServiceName};

/// Unfinished invocations of a whole Restate, from one round of usage queries. Completed ones are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    /// Every deployment that the same round named. One that is missing here is unknown, not idle.
    pub known: BTreeSet<DeploymentId>,
    /// Where the same round saw services routed to.
    #[serde(default)]
    pub routed: BTreeSet<DeploymentId>,
    /// Work per deployment; a known deployment without an entry has none.
    pub deployments: BTreeMap<DeploymentId, Load>,
    /// Unpinned work per service: it goes to whatever Restate routes that service to.
    pub unpinned: BTreeMap<ServiceName, Counts>,
    /// Counts by deployment (none: unpinned), service and handler, for people to read.
    pub handlers: BTreeMap<(Option<DeploymentId>, ServiceName, String), Counts>,
}

impl UsageReport {
    /// The work of one deployment; `None` where the report does not name it.
    pub fn load(&self, id: &DeploymentId) -> Option<Load> {
        self.known.contains(id).then(|| self.deployments.get(id).copied().unwrap_or_default())
    }
}

/// What holds one deployment, whatever Restate routes to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Unfinished invocations pinned to it: they can resume nowhere else.
    pub pinned: Counts,
    /// Attempts in flight on it that carry no pin yet: they deserve their moment.
    pub in_flight_unpinned: u64,
}

impl Load {
    /// Whether anything unfinished may still need this deployment.
    pub fn is_idle(&self) -> bool {
        self.pinned.total() == 0 && self.in_flight_unpinned == 0
    }
}

/// The states of an unfinished invocation. `completed` is not one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// An attempt runs.
    Running,
    /// Waits to be tried again after a failure.
    BackingOff,
    /// Waits for a timer, a call or an awakeable.
    Suspended,
    /// Stopped until somebody resumes it.
    Paused,
    /// May run and waits for a slot (also `pending`).
    Ready,
    /// Waits for its turn on a key.
    Inboxed,
    /// Starts at a later time.
    Scheduled,
    /// A state that this version of ours does not know. It counts as work.
    Other,
}

/// How many unfinished invocations are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// See [`Status::Running`].
    pub running: u64,
    /// See [`Status::BackingOff`].
    pub backing_off: u64,
    /// See [`Status::Suspended`].
    pub suspended: u64,
    /// See [`Status::Paused`].
    pub paused: u64,
    /// See [`Status::Ready`].
    pub ready: u64,
    /// See [`Status::Inboxed`].
    pub inboxed: u64,
    /// See [`Status::Scheduled`].
    pub scheduled: u64,
    /// See [`Status::Other`].
    pub other: u64,
}

impl Counts {
    /// Adds `count` invocations in `status`.
    pub fn add(&mut self, status: Status, count: u64) {
        let slot = match status {
            Status::Running => &mut self.running,
            Status::BackingOff => &mut self.backing_off,
            Status::Suspended => &mut self.suspended,
            Status::Paused => &mut self.paused,
            Status::Ready => &mut self.ready,
            Status::Inboxed => &mut self.inboxed,
            Status::Scheduled => &mut self.scheduled,
            Status::Other => &mut self.other,
        };
        *slot = slot.saturating_add(count);
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        let Self { running, backing_off, suspended, paused, ready, inboxed, scheduled, other } = *self;
        [running, backing_off, suspended, paused, ready, inboxed, scheduled, other]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Both together, state by state.
    #[must_use]
    pub fn plus(mut self, more: Self) -> Self {
        let Self { running, backing_off, suspended, paused, ready, inboxed, scheduled, other } = more;
        self.add(Status::Running, running);
        self.add(Status::BackingOff, backing_off);
        self.add(Status::Suspended, suspended);
        self.add(Status::Paused, paused);
        self.add(Status::Ready, ready);
        self.add(Status::Inboxed, inboxed);
        self.add(Status::Scheduled, scheduled);
        self.add(Status::Other, other);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_that_the_report_does_not_name_is_unknown_not_idle() {
        let report = UsageReport { known: [DeploymentId::from("dp_1")].into(), ..UsageReport::default() };
        assert!(report.load(&DeploymentId::from("dp_1")).is_some_and(|load| load.is_idle()));
        assert_eq!(report.load(&DeploymentId::from("dp_2")), None);
    }

    #[test]
    fn every_state_counts_as_work() {
        let all = [
            Status::Running,
            Status::BackingOff,
            Status::Suspended,
            Status::Paused,
            Status::Ready,
            Status::Inboxed,
            Status::Scheduled,
            Status::Other,
        ];
        for status in all {
            let mut pinned = Counts::default();
            pinned.add(status, 2);
            assert_eq!(pinned.plus(pinned).total(), 4, "{status:?}");
            assert!(!Load { pinned, in_flight_unpinned: 0 }.is_idle(), "{status:?}");
        }
        assert!(!Load { pinned: Counts::default(), in_flight_unpinned: 1 }.is_idle());
    }
}
