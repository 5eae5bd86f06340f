//! Fewer nodes: the highest ordinals are emptied, stopped and removed, all together, in stages.
//!
//! A stage is recognised by what the cluster and its stateful set show; remembered is only, on the RestateCluster,
//! from which ordinal up nodes are being removed, so that whoever takes over knows which drained nodes are ours to
//! bring back when the wish changes. Nothing is asked at rest.
//!
//! Invariants: a node is stopped, and its entry removed, only in a pass whose own answers say that no partition, no
//! segment of any log and no metadata server is on it; an entry goes only after its pod; ordinals below the wanted
//! count are never touched; what cannot be told stops everything. Until its entry is removed a node can come back.
//!
//! All together, because partitions and logs that leave one node would else move to the next one that goes; only the
//! metadata servers leave one by one, because their quorum changes by one at a time.

mod check;
mod stage;
mod survey;
mod volumes;

use restate_crd::RestateCluster;
use restate_crd::condition::{ConditionStatus, Reason, Verdict};

use super::{Seen, Valid, stateful_set, status, storage};
use crate::{ObjectRef, Step};

pub use survey::{Log, Metadata, Partition, Placed, Segment, Storage, Survey, Surveyed, Worker};
pub use volumes::REMOVED;

/// Annotation of the RestateCluster with the lowest ordinal of those that are being removed.
pub const REMOVING: &str = "restate.dev/removing-nodes-from";

/// Where a shrinking stands, and what comes next.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shrinking {
    pub(super) status: ConditionStatus,
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) steps: Vec<Step>,
}

/// Whether a pass must ask where everything is: where fewer nodes are wanted than run, and while nodes are being
/// removed or brought back.
pub fn asks_survey(valid: &Valid, seen: &Seen) -> bool {
    let found = seen.children.stateful_set.as_ref().filter(|found| !storage::is_going(found));
    let fewer = found.is_some() && valid.replicas < running(seen);
    valid.provisioned && found.is_some() && (fewer || removing_from(valid).is_some())
}

/// The gRPC addresses that a survey may ask: of the nodes that stay.
pub fn survey_addresses(valid: &Valid, seen: &Seen) -> Vec<String> {
    let stay = valid.replicas.min(running(seen)).min(removing_from(valid).unwrap_or(i32::MAX)).max(1);
    super::node_addresses(&valid.name, stay, &seen.operator.dns_suffix)
}

/// Whether the nodes hold the metadata themselves, so that a survey must ask for its servers.
pub fn has_metadata_servers(valid: &Valid) -> bool {
    let env = valid.compute.env.as_deref().unwrap_or_default();
    super::settings::has_replicated_metadata(&valid.settings, env)
}

/// Where it stands; none where nothing is to be removed.
pub(super) fn decide(valid: &Valid, seen: &Seen) -> Option<Shrinking> {
    if !asks_survey(valid, seen) || status::foreign_stateful_set(valid, &seen.children) {
        return None;
    }
    let unknown = |why: &str| Shrinking {
        status: ConditionStatus::Unknown,
        reason: Reason::RestateUnreachable,
        message: why.to_owned(),
        steps: Vec::new(),
    };
    match &seen.survey {
        Surveyed::NotAsked => Some(unknown("nobody asked where everything is")),
        Surveyed::Unknown { why } => Some(unknown(why)),
        Surveyed::Known(survey) => Some(stage::decide(valid, seen, survey)),
    }
}

/// The condition; none where nothing is to be removed.
pub(super) fn verdict(valid: &Valid, seen: &Seen) -> Option<Verdict> {
    let Shrinking { status, reason, message, steps: _ } = decide(valid, seen)?;
    Some(Verdict::new(status, reason, message))
}

/// How many nodes there may be now, where so many are wanted and so many run: no pod is made that would find the disk
/// of a node that was removed.
pub(super) fn most(valid: &Valid, seen: &Seen, running: i32) -> i32 {
    let fresh = volumes::stale(valid, &seen.children, running..valid.replicas);
    let most = fresh.first().map_or(valid.replicas, |(ordinal, _)| *ordinal);
    let Some(from) = removing_from(valid).filter(|_| seen.children.stateful_set.is_some()) else {
        return most;
    };
    let Surveyed::Known(survey) = &seen.survey else { return running.min(most) };
    // A node that was not removed yet finds its own disk.
    let waits = |ordinal: &i32| {
        let known = !survey.of(|found| found == *ordinal).is_empty();
        *ordinal >= from && !known && volumes::is_there(valid, &seen.children, *ordinal)
    };
    (running..most).find(waits).unwrap_or(most)
}

/// What keeps a cluster from growing: volumes of removed nodes that were to be retained.
pub(super) fn retained(valid: &Valid, seen: &Seen) -> Option<String> {
    let running = running(seen);
    let stale = volumes::stale(valid, &seen.children, running..valid.replicas);
    let names: Vec<_> = stale.into_iter().map(|(_, name)| name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "spec.compute.replicas: {} nodes are not made: {} hold disks of nodes that were removed and cannot come \
             back, and are retained by spec.storage.deletionPolicy; delete these claims",
            valid.replicas,
            names.join(", ")
        )
    })
}

/// How many pods there should be by the stateful set.
fn running(seen: &Seen) -> i32 {
    seen.children.stateful_set.as_ref().map_or(0, stateful_set::observed_replicas)
}

/// From which ordinal up nodes are being removed. What cannot be read counts as none.
fn removing_from(valid: &Valid) -> Option<i32> {
    valid.annotation(REMOVING)?.parse().ok().filter(|from| *from > 0)
}

fn note(valid: &Valid, from: Option<i32>) -> Step {
    let object = ObjectRef::of::<RestateCluster>(None, &valid.name);
    let annotations = [(REMOVING.to_owned(), from.map(|from| from.to_string()))].into();
    Step::Annotate { object, uid: valid.uid.clone(), annotations }
}
