//! How far logs and partitions have followed a replication that was raised: each log by its newest segment, each
//! partition by the nodes that run it. Asked for only until all have. What was written before keeps the copies that it
//! has until it is trimmed.

use std::collections::BTreeSet;

use restate_crd::condition::{ConditionStatus, Reason, Verdict};

use super::replication::{self, Replication};
use super::{Member, Seen, Valid, status};

/// What was seen of logs and partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Followed {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// Nobody could tell.
    Unknown {
        /// Why, for people.
        why: String,
    },
    /// It is this.
    Known(Copies),
}

/// Where logs and partitions are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Each log, with the replication of its newest segment; none where that is not replicated.
    pub logs: Vec<(u32, Option<String>)>,
    /// Each partition with a node that runs it.
    pub partitions: Vec<(u32, u32)>,
    /// The nodes.
    pub members: Vec<Member>,
}

/// Whether a pass must ask: where the configuration is as wanted, until everything has followed it.
pub fn asks_progress(valid: &Valid, seen: &Seen) -> bool {
    valid.provisioned
        && !valid.said.replication_followed
        && valid.replicas > 0
        && status::is_rolled_out(valid, &seen.children)
        && replication::is_settled(valid, seen)
}

/// How far; none where nobody asked.
pub(super) fn verdict(valid: &Valid, seen: &Seen) -> Option<Verdict> {
    let wanted = replication::wanted(valid)?;
    let copies = match &seen.followed {
        Followed::NotAsked => return None,
        Followed::Unknown { why } => {
            return Some(Verdict::new(ConditionStatus::Unknown, Reason::RestateUnreachable, why.clone()));
        }
        Followed::Known(copies) => copies,
    };
    let logs = copies.logs.iter().filter(|(_, found)| follows(found.as_deref(), &wanted)).count();
    // Each log has the partition of its number.
    let partitions = copies.logs.iter().filter(|(id, _)| runs(*id, copies, &wanted)).count();
    let all = copies.logs.len();
    if all > 0 && (logs, partitions) == (all, all) {
        let message = format!("all {all} logs write, and all {all} partitions run, with {wanted}");
        return Some(Verdict::new(ConditionStatus::True, Reason::ReplicationFollowed, message));
    }
    let message =
        format!("{logs} of {all} logs write, and {partitions} of {all} partitions run, with {wanted}");
    Some(Verdict::new(ConditionStatus::False, Reason::ReplicationFollowing, message))
}

/// Whether another look is needed although nothing changes.
pub(super) fn is_awaited(valid: &Valid, seen: &Seen) -> bool {
    let done = verdict(valid, seen).is_none_or(|verdict| verdict.status == ConditionStatus::True);
    asks_progress(valid, seen) && !done
}

fn follows(found: Option<&str>, wanted: &Replication) -> bool {
    found.and_then(|found| found.parse::<Replication>().ok()).is_some_and(|found| found.covers(wanted))
}

/// Whether as many nodes run a partition, as far apart as they should be.
fn runs(partition: u32, copies: &Copies, wanted: &Replication) -> bool {
    let nodes: BTreeSet<u32> =
        copies.partitions.iter().filter(|(of, _)| *of == partition).map(|(_, node)| *node).collect();
    let members: Vec<_> = copies.members.iter().filter(|member| nodes.contains(&member.id)).collect();
    wanted.is_spread_over(&members)
}
