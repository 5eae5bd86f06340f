//! The end of a version: its delay, then, on a fresh proof, deregistration, the clearing of its id, and zero pods.
//!
//! Stage in the flow: plan. Invariants: the order is deregister, then clear and scale to zero in one write, so that no
//! call is ever routed to pods that do not exist; the intent to deregister is written before the call, so that a crash after it leaves
//! no doubt; of the versions that were found without pods, one goes at a time. Not for what proves idleness: that is
//! `usage.rs`.

use jiff::Timestamp;
use restate_crd::annotation::{
    ABANDON, DEPLOYMENT_ID, DEREGISTERING, DEREGISTERING_SINCE, FORMERLY_REGISTERED, REGISTERED_AT,
    REGISTERED_WITH, REMOVE_VERSION_AT,
};
use restate_crd::condition::Reason;
use restate_model::DeploymentId;

use super::draft::Draft;
use super::drain::Drain;
use super::rollout::without_autoscaler;
use super::survey::{Fate, Survey, Target};
use super::usage::Usage;
use super::validate::Spec;
use super::version::Version;
use crate::{Admin, Deregistration, EventKind, Proof, Step};

/// The versions that are not wanted.
pub(super) fn others(draft: &mut Draft, survey: &Survey<'_>, spec: &Spec, target: &Target<'_>) {
    let mut adopted_retired = false;
    for version in survey.versions.iter().filter(|version| target.version != Some(*version)) {
        draft.part();
        match survey.fate(version, spec.drain_delay) {
            Fate::Rests => {}
            Fate::Abandoned => {
                let by = format!("annotation {ABANDON} on ReplicaSet {}", version.name);
                retire(draft, survey, spec, version, &Proof::Abandoned { by });
            }
            Fate::Drains { usage, drain } => {
                let at_zero = version.desired == 0;
                let due = matches!(drain, Drain::Retire { .. });
                if due && at_zero && std::mem::replace(&mut adopted_retired, true) {
                    draft.wait(Reason::VersionsDraining);
                    continue;
                }
                drains(draft, survey, spec, version, (usage, drain));
            }
        }
    }
}

fn drains(draft: &mut Draft, survey: &Survey<'_>, spec: &Spec, version: &Version, fate: (Usage, Drain)) {
    match fate.1 {
        Drain::Hold => draft.wait(Reason::UsageUnknown),
        Drain::Keep => {
            forget_intent(draft, survey, version);
            keep(draft, spec, version, fate.0);
        }
        Drain::Begin { until } => begin(draft, version, until),
        Drain::Wait { until } => draft.wait_until(Reason::VersionsDraining, until),
        Drain::Retire { asked_at } => retire(draft, survey, spec, version, &Proof::Idle { asked_at }),
    }
}

/// An intent to deregister is void once Restate, asked after it was written, has the version. Until then it may have been
/// carried out, and says so should the version be superseded, or the object turn out to be deleted.
pub(super) fn forget_intent(draft: &mut Draft, survey: &Survey<'_>, version: &Version) {
    if survey.outdates_intent(version) {
        draft.annotate(version, [(DEREGISTERING, None), (DEREGISTERING_SINCE, None)]);
    }
}

/// It is in use: no delay runs, and where work waits for pods, there are some.
fn keep(draft: &mut Draft, spec: &Spec, version: &Version, usage: Usage) {
    if version.stamp.is_some() {
        draft.annotate(version, [(REMOVE_VERSION_AT, None)]);
    }
    if version.desired == 0 && spec.replicas > 0 {
        draft.scale(version, spec.replicas);
        let message = format!("version {} has work and no pods: scaled to {}", version.name, spec.replicas);
        draft.note(EventKind::Warning, "VersionRestored", "Scale", message);
    }
    let draining = matches!(usage, Usage::Active { routed: 0, .. });
    if draining {
        draft.wait(Reason::VersionsDraining);
    }
}

fn begin(draft: &mut Draft, version: &Version, until: Timestamp) {
    draft.annotate(version, [(REMOVE_VERSION_AT, Some(until.to_string()))]);
    draft.note(
        EventKind::Normal,
        "VersionDrained",
        "Drain",
        format!("version {} is idle; it goes at {until}", version.name),
    );
    draft.wait_until(Reason::VersionsDraining, until);
}

fn retire(draft: &mut Draft, survey: &Survey<'_>, spec: &Spec, version: &Version, proof: &Proof) {
    let at_zero = version.desired == 0;
    let id = survey.id(version);
    if let Some(id) = &id {
        deregister(draft, survey, &spec.admin, (version, id), proof);
    }
    if let Some(step) = without_autoscaler(survey, spec, version) {
        draft.push(step);
    }
    if id.is_some() {
        forget(draft, version);
    }
    forget_abandoned(draft, version);
    if !at_zero {
        draft.scale(version, 0);
    }
    let message = match proof {
        Proof::Abandoned { by } => {
            format!("retired version {}, abandoning what was left ({by})", version.name)
        }
        Proof::Idle { .. } | Proof::Deleted { .. } if at_zero => {
            format!("deregistered version {}, which was found without pods", version.name)
        }
        Proof::Idle { .. } | Proof::Deleted { .. } => format!("retired version {}", version.name),
    };
    draft.note(EventKind::Normal, "VersionRetired", "Retire", message);
}

/// Says what is going to happen, and does it. A call that a crash has hidden from us is not made again.
pub(super) fn deregister(
    draft: &mut Draft,
    survey: &Survey<'_>,
    admin: &Admin,
    (version, id): (&Version, &DeploymentId),
    proof: &Proof,
) {
    if survey.is_deregistered(version, id) {
        return;
    }
    if version.deregistering.as_ref() != Some(id) || survey.outdates_intent(version) {
        let since = survey.now.to_string();
        draft.annotate(version, [(DEREGISTERING, Some(id.to_string())), (DEREGISTERING_SINCE, Some(since))]);
    }
    draft.push(Step::Deregister(Deregistration {
        admin: admin.clone(),
        deployment: id.clone(),
        version: version.carrier(),
        offers: survey.offers(version),
        proof: proof.clone(),
    }));
}

/// Clears the record of what has been deregistered. The intent stays: it tells what an older answer still lists from
/// a registration that nobody recorded.
pub(super) fn forget(draft: &mut Draft, version: &Version) {
    draft.annotate(version, [(DEPLOYMENT_ID, None), (REGISTERED_AT, None), (REGISTERED_WITH, None)]);
}

/// Clears that people gave a version up, and what they gave up with it: a later life of it is another one.
pub(super) fn forget_abandoned(draft: &mut Draft, version: &Version) {
    if version.abandoned {
        draft.annotate(version, [(ABANDON, None), (FORMERLY_REGISTERED, None)]);
    }
}
