//! What is known of a deletion: what Restate has for the object, and what holds it.
//!
//! Stage in the flow: plan. Invariant: what is unknown holds a deletion; an answer counts that was asked after the
//! deletion was requested. Not for what follows.

use jiff::{SignedDuration, Timestamp};
use restate_crd::annotation::ABANDON;
use restate_crd::condition::Reason;
use restate_crd::deployment::PendingInvocations;
use restate_model::{DeploymentId, Snapshot};

use super::super::seen::Next;
use super::super::survey::Survey;
use super::super::target;
use super::super::version::Version;

/// For how long a namespace that goes, or a deletion by force, waits for a Restate that does not answer.
pub(super) const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// Deletion times have whole seconds.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// What people read while Restate does not answer.
const SILENCE: &str =
    "Restate has not said yet what is left; set spec.restate.deletePolicy to force to delete without knowing";

/// Something that Restate has for this object.
#[derive(Clone, Debug)]
pub(super) struct Doomed<'s> {
    pub(super) id: DeploymentId,
    pub(super) name: String,
    pub(super) version: Option<&'s Version>,
}

/// What holds a deletion.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pending {
    /// Nothing, as of this moment.
    Nothing { asked_at: Timestamp },
    /// This work.
    Work(Vec<PendingInvocations>),
    /// That it cannot be told; why, and which answer would tell.
    Unknown { reason: Reason, why: String, next: Next },
}

/// Everything that Restate has for this object: what is recorded, and what lives at an address of ours.
pub(super) fn doomed<'s>(survey: &'s Survey<'_>) -> Vec<Doomed<'s>> {
    let known = survey.versions.iter().filter_map(|version| {
        let id = survey.id(version)?;
        Some(Doomed { id, name: version.name.clone(), version: Some(version) })
    });
    let mut doomed: Vec<_> = known.collect();
    let meta = &survey.seen.object.metadata;
    let (name, namespace) =
        (meta.name.as_deref().unwrap_or_default(), meta.namespace.as_deref().unwrap_or_default());
    let registry = survey.knowledge.registry.into_iter().flat_map(|reading| &reading.value.deployments);
    for (id, registered) in registry {
        let ours = target::version_at(&registered.endpoint, name, namespace, &survey.seen.dns_suffix);
        if let Some(name) = ours.filter(|_| doomed.iter().all(|other| other.id != *id)) {
            doomed.push(Doomed { id: id.clone(), name, version: None });
        }
    }
    doomed
}

pub(super) fn started(survey: &Survey<'_>) -> Timestamp {
    survey.seen.object.metadata.deletion_timestamp.as_ref().map_or(survey.now, |time| time.0)
}

/// Whether Restate has said, since the deletion was requested, what is registered.
pub(super) fn is_asked(survey: &Survey<'_>) -> bool {
    survey.knowledge.registry.is_some_and(|reading| reading.asked_at > since(survey))
}

/// Whether Restate has not said for long, although it is asked, what is registered.
pub(super) fn is_silent(survey: &Survey<'_>) -> bool {
    let Some(Snapshot { registry, failure: Some(failure), .. }) = survey.seen.snapshot.as_deref() else {
        return false;
    };
    let told_at = registry.as_ref().map_or(since(survey), |reading| reading.asked_at.max(since(survey)));
    failure.at > told_at && survey.now.duration_since(told_at) > PATIENCE
}

/// Whether none is there, and none is remembered. A foreground deletion takes the replica sets before anybody asks, and
/// with them what was recorded: what is registered is then found in an answer only.
pub(super) fn had_no_versions(survey: &Survey<'_>) -> bool {
    let remembered = survey.seen.object.status.as_ref().is_some_and(|status| {
        status.deployment_id.is_some() || status.versions.iter().flatten().next().is_some()
    });
    survey.versions.is_empty() && !remembered
}

/// What was asked after this moment was asked after the deletion was requested.
pub(super) fn since(survey: &Survey<'_>) -> Timestamp {
    started(survey).saturating_add(RESOLUTION).unwrap_or(survey.now)
}

/// What holds the deletion, by answers that were asked after it was requested.
pub(super) fn pending(survey: &Survey<'_>, doomed: &[Doomed<'_>]) -> Pending {
    if let Some(held) = kept_elsewhere(survey) {
        return Pending::Unknown { reason: Reason::UsageUnknown, why: elsewhere(held), next: Next::News };
    }
    let knowledge = &survey.knowledge;
    let fresh = |asked_at: &Timestamp| *asked_at > since(survey) && !knowledge.is_stale(*asked_at);
    let told_at = knowledge.registry.map(|reading| reading.asked_at).filter(fresh);
    if let Some(asked_at) = told_at.filter(|_| doomed.is_empty()) {
        return Pending::Nothing { asked_at };
    }
    let (Some(usage), Some(asked_at)) = (knowledge.usage, knowledge.asked_at().filter(fresh)) else {
        let next = if is_asked(survey) { Next::Usage } else { Next::Registry };
        return Pending::Unknown { reason: Reason::RestateUnreachable, why: SILENCE.to_owned(), next };
    };
    let mut work = Vec::new();
    for one in doomed {
        if one.version.is_some_and(|version| survey.is_deregistered(version, &one.id)) {
            continue;
        }
        let Some(load) = usage.value.load(&one.id).filter(|_| knowledge.registered(&one.id).is_some()) else {
            let next = knowledge.lacking(&one.id);
            return Pending::Unknown { reason: Reason::UsageUnknown, why: missing(one), next };
        };
        let unpinned = knowledge.unpinned(&[one.id.clone()].into()).unwrap_or_default();
        let (pinned, unpinned) =
            (load.pinned.total(), unpinned.total().saturating_add(load.in_flight_unpinned));
        if pinned > 0 || unpinned > 0 {
            work.push(PendingInvocations {
                version: one.name.clone(),
                deployment_id: Some(one.id.to_string()),
                pinned: clamp(pinned),
                unpinned: Some(clamp(unpinned)),
            });
        }
    }
    if work.is_empty() { Pending::Nothing { asked_at } } else { Pending::Work(work) }
}

/// A version that somebody else may use, who is not asked, and that nobody has given up.
pub(super) fn kept_elsewhere<'s>(survey: &'s Survey<'_>) -> Option<&'s Version> {
    survey.versions.iter().find(|version| !version.former.is_empty() && !version.abandoned)
}

pub(super) fn elsewhere(version: &Version) -> String {
    let places =
        version.former.iter().map(|(with, id)| format!("{id} at {with}")).collect::<Vec<_>>().join(", ");
    format!(
        "version {} is registered elsewhere too ({places}), where nobody asks any more: when that is done, annotate its ReplicaSet with {ABANDON}=true, or set spec.restate.deletePolicy to force",
        version.name
    )
}

fn missing(one: &Doomed<'_>) -> String {
    format!(
        "Restate does not name {} of version {}, which was registered with it: set spec.restate.deletePolicy to force to delete without knowing",
        one.id, one.name
    )
}

pub(super) fn clamp(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
