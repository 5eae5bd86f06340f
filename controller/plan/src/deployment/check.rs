//! What no plan may contain, checked on each one in debug builds and by the property tests.
//!
//! Stage in the flow: after plan. Invariant: written apart from the code that makes plans, so that a slip there is
//! seen here. Not for repairing a plan.

use restate_crd::annotation::{DEPLOYMENT_ID, DEREGISTERING};
use restate_model::DeploymentId;

use super::seen::Decision;
use super::survey::Survey;
use super::version::Version;
use crate::{Deregistration, Patch, Proof, Step};

/// What is wrong with a decision: nothing, if all is well.
pub(super) fn violations(survey: &Survey<'_>, decision: &Decision) -> Vec<String> {
    let steps: Vec<&Step> = decision.plan.steps.iter().map(Step::inner).collect();
    let mut wrong = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let before = &steps[..index];
        let verdict = match step {
            Step::Deregister(call) => deregistration(survey, call, before),
            Step::Patch(Patch { uid, replicas: Some(0), .. }) => {
                version(survey, &uid.0).map_or(Ok(()), |version| zero(survey, version, &steps[..=index]))
            }
            Step::Delete { uid, .. } => {
                version(survey, &uid.0).map_or(Ok(()), |version| deletion(survey, version))
            }
            Step::Register(call) if survey.seen.object.metadata.deletion_timestamp.is_some() => {
                Err(format!("registers {} of an object that is being deleted", call.uri))
            }
            Step::Register(_)
            | Step::Apply(..)
            | Step::Create(_)
            | Step::Annotate { .. }
            | Step::Patch(_)
            | Step::Owners { .. }
            | Step::TakeOver { .. }
            | Step::Scale { .. }
            | Step::LeavePods { .. }
            | Step::Claim(_)
            | Step::Provision(_)
            | Step::Configure(_)
            | Step::ChangeNodes(_)
            | Step::LeaveMetadata(_)
            | Step::JoinMetadata { .. }
            | Step::Snapshot(_)
            | Step::TrimLog(_)
            | Step::Stop { .. }
            | Step::Note(_)
            | Step::Aside(_) => Ok(()),
        };
        wrong.extend(verdict.err());
    }
    wrong
}

fn version<'s>(survey: &'s Survey<'_>, uid: &str) -> Option<&'s Version> {
    survey.versions.iter().find(|version| version.uid.0 == uid)
}

/// A proof says when it was asked, and the answers of that moment bear it out.
fn deregistration(survey: &Survey<'_>, call: &Deregistration, before: &[&Step]) -> Result<(), String> {
    let id = &call.deployment;
    let deleting = survey.seen.object.metadata.deletion_timestamp.is_some();
    match &call.proof {
        Proof::Abandoned { .. } if deleting => Ok(()),
        Proof::Abandoned { .. } => unrouted(survey, id),
        Proof::Deleted { .. } if !deleting => Err(format!("{id}: the object is not being deleted")),
        Proof::Deleted { asked_at } => idle(survey, id, *asked_at),
        Proof::Idle { asked_at } => {
            let stamp = version(survey, &call.version.uid.0).and_then(|version| version.stamp);
            if stamp.is_none_or(|stamp| stamp.at >= *asked_at) {
                return Err(format!("{id}: asked before its stamp had passed"));
            }
            unrouted(survey, id)?;
            idle(survey, id, *asked_at)?;
            intended(survey, call, before)
        }
    }
}

fn intended(survey: &Survey<'_>, call: &Deregistration, before: &[&Step]) -> Result<(), String> {
    let written = version(survey, &call.version.uid.0)
        .is_some_and(|it| it.deregistering.as_ref() == Some(&call.deployment));
    let writes = before
        .iter()
        .any(|step| sets(step, &call.version.uid.0, DEREGISTERING, Some(call.deployment.as_str())));
    if written || writes {
        Ok(())
    } else {
        Err(format!("{}: no intent is written before the call", call.deployment))
    }
}

fn sets(step: &Step, of: &str, key: &str, value: Option<&str>) -> bool {
    let Step::Patch(Patch { uid, annotations, .. }) = step else { return false };
    uid.0 == of && annotations.get(key).is_some_and(|set| set.as_deref() == value)
}

fn unrouted(survey: &Survey<'_>, id: &DeploymentId) -> Result<(), String> {
    let Some(snapshot) = &survey.seen.snapshot else { return Err(format!("{id}: nothing is known")) };
    let Some(registry) = &snapshot.registry else { return Err(format!("{id}: routing is unknown")) };
    let routed = registry.value.services.values().any(|service| service.deployment == *id);
    if routed { Err(format!("{id} is routed to")) } else { Ok(()) }
}

fn idle(survey: &Survey<'_>, id: &DeploymentId, asked_at: jiff::Timestamp) -> Result<(), String> {
    let snapshot = survey.seen.snapshot.as_ref();
    let (Some(registry), Some(usage)) =
        (snapshot.and_then(|it| it.registry.as_ref()), snapshot.and_then(|it| it.usage.as_ref()))
    else {
        return Err(format!("{id}: usage is unknown"));
    };
    if registry.asked_at.min(usage.asked_at) != asked_at || asked_at > survey.now {
        return Err(format!("{id}: the proof is not of these answers"));
    }
    match usage.value.load(id) {
        Some(load) if load.is_idle() && registry.value.deployments.contains_key(id) => Ok(()),
        Some(_) => Err(format!("{id} has work, or is not registered")),
        None => Err(format!("{id} is not named")),
    }
}

/// Zero pods: by the wish of `spec.replicas`, or no sooner than the id is cleared, or where Restate never knew it.
fn zero(survey: &Survey<'_>, version: &Version, so_far: &[&Step]) -> Result<(), String> {
    let cleared = so_far.iter().any(|step| sets(step, &version.uid.0, DEPLOYMENT_ID, None));
    let wished = survey.seen.object.spec.replicas == 0
        && so_far.iter().all(|step| !matches!(step, Step::Deregister(_)));
    let never_known = version.deployment_id.is_none() && is_unknown_to_restate(survey, version);
    if cleared || wished || never_known {
        Ok(())
    } else {
        Err(format!("{} is scaled to zero while registered", version.name))
    }
}

fn deletion(survey: &Survey<'_>, version: &Version) -> Result<(), String> {
    let gone =
        version.deployment_id.is_none() && version.desired == 0 && is_unknown_to_restate(survey, version);
    if gone { Ok(()) } else { Err(format!("{} is deleted while it may be called", version.name)) }
}

fn is_unknown_to_restate(survey: &Survey<'_>, version: &Version) -> bool {
    let registry = survey.seen.snapshot.as_ref().and_then(|snapshot| snapshot.registry.as_ref());
    let prefix = format!("http://{}.{}.", version.name, version.namespace);
    registry
        .is_some_and(|reading| reading.value.deployments.values().all(|it| !it.endpoint.starts_with(&prefix)))
}
