//! What a cluster's status says: kstatus conventions, the field's own words, nothing that was not seen.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use restate_crd::RestateCluster;
use restate_crd::cluster::RestateClusterStatus;
use restate_crd::condition::{ConditionStatus, ConditionType, Conditions, Reason, Verdict};

use super::{
    Children, Invalid, Provisioning, Seen, Valid, data_loss, identity, location, metadata, pending, plan,
    progress, provisioning, replication, rollout, shrink, stateful_set, storage, upgrade, warnings,
};

/// The status of a cluster whose spec cannot be acted on: what exists stays as it is.
pub fn invalid(object: &RestateCluster, error: &Invalid, now: Timestamp) -> RestateClusterStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let says = |status, reason| {
        Verdict::new(status, reason, error.to_string()).of_generation(object.metadata.generation)
    };
    status.conditions.set(ConditionType::Stalled, says(ConditionStatus::True, Reason::InvalidSpec), now);
    status.conditions.set(ConditionType::Ready, says(ConditionStatus::False, Reason::InvalidSpec), now);
    status.observed_generation = object.metadata.generation;
    status
}

/// The status of a cluster that people asked to leave alone: frozen, and says so.
pub fn paused(object: &RestateCluster, now: Timestamp) -> RestateClusterStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let verdict = crate::pause::verdict().of_generation(object.metadata.generation);
    status.conditions.set(ConditionType::Stalled, verdict, now);
    status
}

/// The status after a pass.
pub fn status(object: &RestateCluster, valid: &Valid, seen: &Seen, now: Timestamp) -> RestateClusterStatus {
    let decision = provisioning::decide(valid, seen, now);
    let done = decision == Provisioning::Done;
    let mut status = object.status.clone().unwrap_or_default();
    status.provisioned = (done || status.provisioned.is_some()).then_some(done);
    status.observed_generation = object.metadata.generation;
    let facts = Facts { valid, seen, decision, rollout: rollout::progress(valid, seen, now) };
    facts.publish(&mut status.conditions, now);
    status
}

/// The status of a cluster that is being deleted: as it was, and what holds the deletion.
pub fn deleting(object: &RestateCluster, seen: &Seen, now: Timestamp) -> RestateClusterStatus {
    let mut status = object.status.clone().unwrap_or_default();
    status.observed_generation = object.metadata.generation;
    let verdict = if plan::is_held(object, seen) {
        let users = seen.users.join(", ");
        let message = format!(
            "the deletion is held by spec.deletionProtection: {users} still register with this cluster; delete them, or \
             set deletionProtection to false"
        );
        Verdict::new(ConditionStatus::True, Reason::DeletionHeld, message)
    } else {
        Verdict::new(ConditionStatus::False, Reason::Idle, "nothing is stuck")
    };
    status.conditions.set(ConditionType::Stalled, verdict.of_generation(object.metadata.generation), now);
    status
}

struct Facts<'a> {
    valid: &'a Valid,
    seen: &'a Seen,
    decision: Provisioning,
    rollout: Option<String>,
}

impl Facts<'_> {
    fn publish(&self, conditions: &mut Conditions, now: Timestamp) {
        let verdicts = [
            (ConditionType::Ready, self.ready()),
            (ConditionType::Progressing, self.progressing()),
            (ConditionType::Available, self.available()),
            (ConditionType::Provisioned, self.provisioned()),
            (ConditionType::Stalled, self.stalled()),
            (ConditionType::NotYetActedOn, self.not_yet_acted_on()),
            (ConditionType::StorageAsWanted, storage::verdict(self.valid, &self.seen.children)),
        ];
        // While the set is replaced its pods run on, and nobody counts them.
        let uncounted = storage::is_being_replaced(self.valid, &self.seen.children);
        let counts = [ConditionType::Ready, ConditionType::Available, ConditionType::Progressing];
        let said = verdicts.into_iter().filter(|(kind, _)| !uncounted || !counts.contains(kind));
        for (kind, verdict) in said {
            conditions.set(kind, verdict.of_generation(self.valid.generation), now);
        }
        self.publish_or_clear(conditions, ConditionType::IdentityReady, self.identity(), now);
        let shrinking = shrink::verdict(self.valid, self.seen);
        self.publish_or_clear(conditions, ConditionType::ScalingDown, shrinking, now);
        self.publish_or_clear(
            conditions,
            ConditionType::NodeLocations,
            location::verdict(self.valid, self.seen),
            now,
        );
        let drift = replication::verdict(self.valid, self.seen);
        if drift.is_some() || !self.valid.said.configuration_settled {
            self.publish_or_clear(conditions, ConditionType::ClusterConfigDrift, drift, now);
        }
        let followed = progress::verdict(self.valid, self.seen);
        if followed.is_some() || !replication::is_settled(self.valid, self.seen) {
            self.publish_or_clear(conditions, ConditionType::ReplicationFollows, followed, now);
        }
        if self.seen.members.is_some() || !data_loss::asks_members(self.valid, self.seen) {
            let lost = data_loss::verdict(self.valid, self.seen);
            self.publish_or_clear(conditions, ConditionType::NodeDataLoss, lost, now);
        }
        for (kind, warning) in warnings::warnings(self.valid, self.seen) {
            let verdict =
                warning.map(|(reason, message)| Verdict::new(ConditionStatus::True, reason, message));
            self.publish_or_clear(conditions, kind, verdict, now);
        }
    }

    fn publish_or_clear(
        &self,
        conditions: &mut Conditions,
        kind: ConditionType,
        verdict: Option<Verdict>,
        now: Timestamp,
    ) {
        match verdict {
            Some(verdict) => conditions.set(kind, verdict.of_generation(self.valid.generation), now),
            None => conditions.clear(kind),
        }
    }

    fn identity(&self) -> Option<Verdict> {
        identity::verdict(self.valid, self.seen)
    }

    fn ready(&self) -> Verdict {
        let provisioned = self.provisioned();
        let available = self.available();
        if let Some(stall) = self.stall() {
            return Verdict::new(ConditionStatus::False, stall.0, stall.1);
        }
        if provisioned.status != ConditionStatus::True {
            return Verdict { status: ConditionStatus::False, ..provisioned };
        }
        if available.status != ConditionStatus::True {
            return available;
        }
        Verdict::new(ConditionStatus::True, Reason::Healthy, available.message)
    }

    fn available(&self) -> Verdict {
        let (ready, wanted) = (ready_replicas(&self.seen.children), self.valid.replicas);
        let message = format!("{ready} of {wanted} nodes are ready");
        if is_rolled_out(self.valid, &self.seen.children) {
            return Verdict::new(ConditionStatus::True, Reason::PodsAvailable, message);
        }
        if let Some(rollout) = &self.rollout {
            let message = format!("{message}; {rollout}");
            return Verdict::new(ConditionStatus::False, Reason::RolloutUnfinished, message);
        }
        Verdict::new(ConditionStatus::False, Reason::PodsNotReady, message)
    }

    fn progressing(&self) -> Verdict {
        let ready = self.ready();
        if ready.status == ConditionStatus::True || self.stall().is_some() {
            return Verdict::new(ConditionStatus::False, Reason::Idle, "nothing is on its way");
        }
        Verdict { status: ConditionStatus::True, ..ready }
    }

    fn provisioned(&self) -> Verdict {
        let wait =
            |message: String| Verdict::new(ConditionStatus::False, Reason::AwaitingProvisioning, message);
        match &self.decision {
            Provisioning::Done => {
                Verdict::new(ConditionStatus::True, Reason::Provisioned, "the nodes belong to a cluster")
            }
            Provisioning::ByHand => wait(format!(
                "provisioning is manual: create a RestateClusterProvision for {} or run restatectl provision",
                self.valid.name
            )),
            Provisioning::ByServer => wait("the server provisions itself (auto-provision = true)".to_owned()),
            Provisioning::NodesSilent { silent } => wait(format!(
                "every node must answer before the cluster is provisioned; {}",
                silent.join("; ")
            )),
            Provisioning::Claimed { by, .. } => wait(format!("{by} claimed the provisioning")),
            Provisioning::Now => {
                wait("every node answered, none belongs to a cluster: provisioning".to_owned())
            }
        }
    }

    fn stall(&self) -> Option<(Reason, String)> {
        if foreign_stateful_set(self.valid, &self.seen.children) {
            let name = &self.valid.name;
            let message =
                format!("stateful set {name}/restate exists and belongs to somebody else; it is left alone");
            return Some((Reason::NameTaken, message));
        }
        if let Some(missing) = self.identity().filter(|verdict| {
            verdict.reason == Reason::IdentityNotInstalled || verdict.reason == Reason::IdentityNotConfigured
        }) {
            return Some((missing.reason, missing.message));
        }
        let held = upgrade::held(self.valid, &self.seen.children)?;
        // A rollout that is on its way ends by itself.
        (held.reason != Reason::RolloutUnfinished).then_some((held.reason, held.message))
    }

    fn stalled(&self) -> Verdict {
        self.stall().map_or_else(
            || Verdict::new(ConditionStatus::False, Reason::Idle, "nothing is stuck"),
            |(reason, message)| Verdict::new(ConditionStatus::True, reason, message),
        )
    }

    fn not_yet_acted_on(&self) -> Verdict {
        let fields = pending::fields(self.valid, self.seen);
        if fields.is_empty() {
            return Verdict::new(ConditionStatus::False, Reason::AllFieldsActedOn, "every field is acted on");
        }
        Verdict::new(ConditionStatus::True, Reason::FieldsNotYetActedOn, fields.join("; "))
    }
}

/// Whether a stateful set of our name belongs to somebody else.
pub(super) fn foreign_stateful_set(valid: &Valid, children: &Children) -> bool {
    children.stateful_set.as_ref().is_some_and(|found| !metadata::is_ours(valid, &found.metadata))
}

fn ready_replicas(children: &Children) -> i32 {
    let status = children.stateful_set.as_ref().and_then(|found| found.status.as_ref());
    status.and_then(|status| status.ready_replicas).unwrap_or(0)
}

/// Whether every node runs the newest template and is ready.
pub(super) fn is_rolled_out(valid: &Valid, children: &Children) -> bool {
    let Some(found) = &children.stateful_set else { return false };
    let Some(status) = &found.status else { return false };
    let running = stateful_set::observed_replicas(found);
    running >= valid.replicas
        && status.observed_generation >= found.metadata.generation
        && status.ready_replicas.unwrap_or(0) >= running
        && status.updated_replicas.unwrap_or(0) >= running
}

/// Names of the config maps that the stateful set's template mounts.
pub(super) fn mounted_config_maps(found: &StatefulSet) -> Vec<String> {
    let volumes = found.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()?.volumes.as_ref());
    let names =
        volumes.into_iter().flatten().filter_map(|volume| Some(volume.config_map.as_ref()?.name.clone()));
    names.collect()
}
