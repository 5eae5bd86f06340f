//! A node that comes back with another disk than it had: Restate notices and does not let it start. It is named; what
//! becomes of it is for people to decide, because a copy that was lost may have been the last.

use restate_crd::condition::{ConditionStatus, Reason, Verdict};

use super::{Seen, Valid, replication, status};

/// Whether a pass must ask for the cluster's nodes: where one does not run, while one is known to have lost its
/// disk, and where copies must be apart. A single node that lost its disk has no cluster to tell of it.
pub fn asks_members(valid: &Valid, seen: &Seen) -> bool {
    let stands = !valid.said.has_data_loss && status::is_rolled_out(valid, &seen.children);
    let asks = !stands || replication::asks_places(valid, seen);
    valid.provisioned && valid.replicas > 1 && asks
}

/// The nodes that lost their disk; none where there is none, or nobody could tell.
pub(super) fn verdict(valid: &Valid, seen: &Seen) -> Option<Verdict> {
    let members = seen.members.as_ref()?;
    let (lost, whole): (Vec<_>, Vec<_>) = members.iter().partition(|member| member.lost);
    let names: Vec<_> =
        lost.iter().map(|member| format!("N{} (pod {}/{})", member.id, valid.name, member.name)).collect();
    let message = format!(
        "{} lost its disk and does not start (storage state data-loss); {} other nodes have theirs. Bring the volume \
         back, or let the node begin anew with restateclusters/recover, whose dry run shows whether it may",
        names.join(", "),
        whole.len()
    );
    (!names.is_empty()).then(|| Verdict::new(ConditionStatus::True, Reason::DiskLost, message))
}
