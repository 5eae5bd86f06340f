//! From what was asked and answered to what people read. Pure.
//!
//! Invariant: a snapshot counts as made by Restate's own word alone; silence is neither made nor failed.

use std::collections::{BTreeMap, BTreeSet};

use apiserver_machinery::status::{FieldError, Named, Status};
use jiff::Timestamp;
use restate_apiservice::{
    RestateClusterSnapshotSpec, RestateClusterSnapshotStatus, SnapshotOfPartition, SnapshotOutcome,
};
use restate_client::node::{Error, Mode, Replica, Snapshot};

use super::MOST;

/// Restate's words are its store's, and those can be long.
const LONGEST: usize = 400;
/// Partitions whose failures a refusal names.
const NAMED: usize = 3;

/// A partition before its snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) id: u32,
    /// Whether some node says that it processes it.
    pub(super) processed: bool,
    pub(super) applied: Option<u64>,
    pub(super) archived: Option<u64>,
}

/// What came of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It lies in the store.
    Made(Snapshot),
    /// The node that was to make it has no store.
    NoStore(String),
    /// Restate refused, or nobody could be reached.
    Failed(String),
    /// Nobody answered in time.
    Unanswered(String),
    /// No node processes it, so nobody was asked.
    Unprocessed,
    /// The time was over.
    NotAsked,
    /// Nothing was to be done.
    DryRun,
}

impl Answer {
    pub(super) fn of(answer: Result<Snapshot, Error>) -> Self {
        let error = match answer {
            Ok(snapshot) => return Self::Made(snapshot),
            Err(error) => error,
        };
        let words: String = error.to_string().chars().take(LONGEST).collect();
        match error {
            _ if error.lacks_snapshot_store() => Self::NoStore(words),
            Error::TimedOut { .. } => Self::Unanswered(words),
            Error::Address { .. }
            | Error::Unreachable { .. }
            | Error::AlreadyProvisioned { .. }
            | Error::Changed { .. }
            | Error::Refused { .. }
            | Error::Unreadable { .. }
            | Error::Lacks { .. } => Self::Failed(words),
        }
    }

    fn is_made(&self) -> bool {
        matches!(self, Self::Made(_))
    }

    fn why(&self) -> Option<String> {
        match self {
            Self::Made(_) | Self::DryRun => None,
            Self::NoStore(words) => Some(format!(
                "{words}; a node that has it needs worker.snapshots.destination in its configuration"
            )),
            Self::Failed(words) => Some(words.clone()),
            Self::Unanswered(words) => Some(format!("{words}; the snapshot may still be made")),
            Self::Unprocessed => Some("no node says that it processes this partition".to_owned()),
            Self::NotAsked => Some("the time was over before its turn".to_owned()),
        }
    }

    fn outcome(&self) -> SnapshotOutcome {
        match self {
            Self::Made(_) => SnapshotOutcome::Made,
            Self::NoStore(_) | Self::Failed(_) | Self::Unprocessed => SnapshotOutcome::Failed,
            Self::Unanswered(_) => SnapshotOutcome::Unanswered,
            Self::NotAsked => SnapshotOutcome::NotAsked,
            Self::DryRun => SnapshotOutcome::DryRun,
        }
    }
}

/// The partitions that are asked for, in order and once each; or what is wrong with them.
pub(super) fn asked_for(
    spec: &RestateClusterSnapshotSpec,
    partitions: u32,
    replicas: &[Replica],
) -> Result<Vec<Before>, FieldError> {
    let ids: BTreeSet<u32> = match &spec.partitions {
        Some(given) => given.iter().copied().collect(),
        None => (0..partitions).collect(),
    };
    if ids.len() > MOST {
        let why = format!("the cluster has {partitions} partitions: name at most {MOST} of them");
        return Err(FieldError::required("spec.partitions", &why));
    }
    if let Some(unknown) = ids.iter().find(|id| **id >= partitions) {
        let why = format!("the cluster has {partitions} partitions, numbered from 0");
        return Err(FieldError::invalid("spec.partitions", *unknown, &why));
    }
    let mut found = before(replicas);
    Ok(ids.into_iter().map(|id| found.remove(&id).unwrap_or(Before { id, ..Before::default() })).collect())
}

fn before(replicas: &[Replica]) -> BTreeMap<u32, Before> {
    let mut found: BTreeMap<u32, Before> = BTreeMap::new();
    for replica in replicas {
        let id = replica.partition;
        let before = found.entry(id).or_insert(Before { id, processed: true, ..Before::default() });
        before.archived = before.archived.max(replica.archived);
        match replica.mode {
            Mode::Leader => before.applied = before.applied.max(replica.applied),
            Mode::Follower | Mode::Unknown => {}
        }
    }
    found
}

/// Where nothing was made, the whole request failed.
pub(super) fn refuse_where_none_was_made(
    named: Named<'_>,
    answers: &[(Before, Answer)],
) -> Result<(), Status> {
    let done = |answer: &Answer| answer.is_made() || *answer == Answer::DryRun;
    if answers.iter().any(|(_, answer)| done(answer)) {
        return Ok(());
    }
    let why = format!("no snapshot was made: {}", failures(answers));
    if answers.iter().any(|(_, answer)| matches!(answer, Answer::Unanswered(_))) {
        return Err(Status::timeout(why, 0));
    }
    if answers.iter().any(|(_, answer)| matches!(answer, Answer::NoStore(_))) {
        return Err(Status::conflict(named, why));
    }
    Err(Status::unavailable(why))
}

fn failures(answers: &[(Before, Answer)]) -> String {
    let failed = |(before, answer): &(Before, Answer)| {
        answer.why().map(|why| format!("partition {}: {why}", before.id))
    };
    let all: Vec<_> = answers.iter().filter_map(failed).collect();
    let first = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// What is shown.
pub(super) fn status(
    answers: Vec<(Before, Answer)>,
    observed_at: Option<Timestamp>,
    dry_run: bool,
) -> RestateClusterSnapshotStatus {
    let made = answers.iter().filter(|(_, answer)| answer.is_made()).count();
    let complete = made == answers.len();
    let message = if dry_run {
        format!("{} snapshots would be made; nothing was done", answers.len())
    } else if complete {
        format!("{made} snapshots were made")
    } else {
        format!("{made} of {} snapshots were made; {}", answers.len(), failures(&answers))
    };
    RestateClusterSnapshotStatus {
        complete,
        made: u32::try_from(made).unwrap_or(u32::MAX),
        partitions: answers.into_iter().map(partition).collect(),
        message,
        observed_at,
    }
}

fn partition((before, answer): (Before, Answer)) -> SnapshotOfPartition {
    let Before { id, processed: _, applied, archived } = before;
    let (outcome, message) = (answer.outcome(), answer.why());
    let made = match answer {
        Answer::Made(snapshot) => Some(snapshot),
        Answer::NoStore(_)
        | Answer::Failed(_)
        | Answer::Unanswered(_)
        | Answer::Unprocessed
        | Answer::NotAsked
        | Answer::DryRun => None,
    };
    SnapshotOfPartition {
        id,
        outcome,
        snapshot_lsn: made.as_ref().map(|made| made.covers),
        snapshot_id: made.map(|made| made.id),
        applied_lsn: applied,
        archived_lsn: archived,
        message,
    }
}
