//! The end of a RestateDeployment: its unfinished work is waited for or abandoned, its versions are deregistered, the
//! finalizer goes. The objects follow by their owner references.
//!
//! Stage in the flow: plan. Invariants: only unfinished work holds a deletion, never that Restate still routes to a
//! version; what is unknown holds it, and `deletePolicy: force` overrides that; a namespace that goes and a cluster
//! that is gone never make it hang. Not for single versions: that is `retire.rs`.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use restate_crd::RestateDeployment;
use restate_crd::condition::Reason;
use restate_crd::deployment::{DeletePolicy, DeletionPhase, DeletionStatus, OnTimeout, PendingInvocations};
use restate_model::{DeploymentId, Failure};

use super::concern::Interest;
use super::draft::Draft;
use super::plan::admin;
use super::seen::{ClusterSeen, Decision, Demand, Next};
use super::survey::Survey;
use super::validate::{DeletionTerms, Error, Spec, Valid};
use super::version::Version;
use super::{replica_set, retire, service, status, target};
use crate::step::Version as Carrier;
use crate::{Admin, Deregistration, EventKind, Finalizer, ObjectRef, Proof, Step, Uid};

/// For how long a namespace that goes, or a deletion by force, waits for a Restate that does not answer.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// Deletion times have whole seconds.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// What people read while Restate does not answer.
const SILENCE: &str =
    "Restate has not said yet what is left; set spec.restate.deletePolicy to force to delete without knowing";

/// Something that Restate has for this object.
#[derive(Clone, Debug)]
struct Doomed<'s> {
    id: DeploymentId,
    name: String,
    version: Option<&'s Version>,
}

/// What holds a deletion.
#[derive(Clone, Debug, PartialEq)]
enum Pending {
    /// Nothing, as of this moment.
    Nothing { asked_at: Timestamp },
    /// This work.
    Work(Vec<PendingInvocations>),
    /// That it cannot be told; why, and which answer would tell.
    Unknown { reason: Reason, why: String, next: Next },
}

/// Decides for an object with a deletion timestamp.
pub(super) fn decide(survey: &Survey<'_>, valid: Result<&Valid, &Error>) -> Decision {
    let terms = DeletionTerms::of(&survey.seen.object.spec.restate);
    let force = terms.policy == DeletePolicy::Force;
    if survey.seen.cluster == ClusterSeen::Absent {
        return release(survey, "its RestateCluster is gone, and with it what was registered");
    }
    let admin = admin(&survey.seen.object, &survey.seen.dns_suffix);
    match (valid, admin) {
        (Ok(Valid::Held(_)), _) if force => {
            release(survey, "deletePolicy is force; this mode is not supported, so nothing was deregistered")
        }
        (Ok(Valid::Held(_)), _) if survey.seen.namespace_terminating => {
            release(survey, "its namespace goes; this mode is not supported, so nothing was deregistered")
        }
        (Ok(Valid::Held(held)), _) => {
            hold(survey, terms, Reason::ModeNotSupported, held.message(), Demand::default())
        }
        (valid, Some(admin)) => with_restate(survey, terms, &admin, spec_of(valid)),
        (_, None) if force || survey.ids().is_empty() || survey.seen.namespace_terminating => {
            release(survey, "nothing can be deregistered: the spec names no Restate that can be asked")
        }
        (_, None) => hold(
            survey,
            terms,
            Reason::InvalidSpec,
            "the spec names no Restate that can be asked",
            Demand::default(),
        ),
    }
}

fn spec_of<'v>(valid: Result<&'v Valid, &Error>) -> Option<&'v Spec> {
    match valid {
        Ok(Valid::Spec(spec)) => Some(spec),
        Ok(Valid::Held(_)) | Err(_) => None,
    }
}

fn with_restate(survey: &Survey<'_>, terms: DeletionTerms, admin: &Admin, spec: Option<&Spec>) -> Decision {
    let doomed = doomed(survey);
    let waited = survey.now.duration_since(started(survey));
    let demand = |next| {
        let interest = Interest::of(survey);
        Demand { admin: Some(admin.clone()), registry: true, usage: true, next, interest }
    };
    let ask = || {
        let why = "Restate is asked what is registered";
        hold(survey, terms, Reason::RestateUnreachable, why, demand(Next::Registry))
    };
    if survey.seen.namespace_terminating {
        // The namespace's own controller may have taken the replica sets, and with them what was recorded: what is
        // registered is then found in a fresh answer only.
        return if waited > PATIENCE {
            release(survey, "its namespace goes and Restate did not answer: what is registered there stays")
        } else if is_asked(survey) {
            abandon(survey, admin, &doomed, "the namespace is being deleted")
        } else {
            ask()
        };
    }
    if terms.policy == DeletePolicy::Force {
        // A registration that a crash has hidden from us is found in a fresh answer only.
        return if is_silent(survey) {
            give_up(survey, &doomed, "deletePolicy: force")
        } else if is_asked(survey) {
            abandon(survey, admin, &doomed, "deletePolicy: force")
        } else {
            ask()
        };
    }
    if doomed.is_empty() && had_no_versions(survey) {
        return release(survey, "no version was ever made");
    }
    let overdue = waited > terms.timeout;
    let pending = pending(survey, &doomed);
    match pending {
        Pending::Nothing { asked_at } => finish(survey, admin, &doomed, asked_at),
        Pending::Work(_) | Pending::Unknown { .. } if overdue && terms.on_timeout == OnTimeout::Force => {
            if is_silent(survey) {
                give_up(survey, &doomed, "drain.onTimeout: force")
            } else {
                abandon(survey, admin, &doomed, "drain.onTimeout: force")
            }
        }
        Pending::Unknown { reason, why, next } => hold(survey, terms, reason, &why, demand(next)),
        Pending::Work(work) => {
            let mut decision = wait(survey, terms, work, demand(Next::News));
            decision.plan.steps.extend(spec.and_then(|spec| revived(survey, spec, &doomed)));
            decision
        }
    }
}

/// Everything that Restate has for this object: what is recorded, and what lives at an address of ours.
fn doomed<'s>(survey: &'s Survey<'_>) -> Vec<Doomed<'s>> {
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

fn started(survey: &Survey<'_>) -> Timestamp {
    survey.seen.object.metadata.deletion_timestamp.as_ref().map_or(survey.now, |time| time.0)
}

/// Whether Restate has said, since the deletion was requested, what is registered.
fn is_asked(survey: &Survey<'_>) -> bool {
    survey.knowledge.registry.is_some_and(|reading| reading.asked_at > since(survey))
}

/// Whether Restate has been asked for long enough since, and does not say what is registered.
fn is_silent(survey: &Survey<'_>) -> bool {
    let Some(snapshot) = &survey.seen.snapshot else { return false };
    let told_at = snapshot.registry.as_ref().map(|reading| reading.asked_at);
    let fails = |failure: &Failure| failure.at > since(survey) && told_at < Some(failure.at);
    survey.now.duration_since(started(survey)) > PATIENCE && snapshot.failure.as_ref().is_some_and(fails)
}

/// Whether none is there, and none is remembered. A foreground deletion takes the replica sets before anybody asks, and
/// with them what was recorded: what is registered is then found in an answer only.
fn had_no_versions(survey: &Survey<'_>) -> bool {
    let remembered = survey.seen.object.status.as_ref().is_some_and(|status| {
        status.deployment_id.is_some() || status.versions.iter().flatten().next().is_some()
    });
    survey.versions.is_empty() && !remembered
}

/// What was asked after this moment was asked after the deletion was requested.
fn since(survey: &Survey<'_>) -> Timestamp {
    started(survey).saturating_add(RESOLUTION).unwrap_or(survey.now)
}

/// What holds the deletion, by answers that were asked after it was requested.
fn pending(survey: &Survey<'_>, doomed: &[Doomed<'_>]) -> Pending {
    let knowledge = &survey.knowledge;
    let fresh = |asked_at: &Timestamp| *asked_at > since(survey) && !knowledge.is_stale(*asked_at);
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

fn missing(one: &Doomed<'_>) -> String {
    format!(
        "Restate does not name {} of version {}, which was registered with it: set spec.restate.deletePolicy to force to delete without knowing",
        one.id, one.name
    )
}

/// A foreground deletion takes the replica sets before anybody asks: what the wanted version has begun is ended by
/// pods that are made again. Of superseded versions nothing is known any more.
fn revived(survey: &Survey<'_>, spec: &Spec, doomed: &[Doomed<'_>]) -> Option<Step> {
    let target = survey.target(spec);
    let Some(version) = target.version else {
        let called = spec.replicas > 0 && doomed.iter().any(|one| one.name == target.name);
        return called
            .then(|| Step::Create(Box::new(replica_set::replica_set(spec, &target.name, &target.hash))));
    };
    let service = version.service(&survey.seen.services);
    let missing = service.is_none() && !version.deleting;
    missing.then(|| Step::Create(Box::new(service::version_service(spec, version).into())))
}

fn clamp(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Nothing is left: deregister in order, then the finalizer goes.
fn finish(survey: &Survey<'_>, admin: &Admin, doomed: &[Doomed<'_>], asked_at: Timestamp) -> Decision {
    let mut draft = Draft::default();
    let proof = Proof::Deleted { asked_at };
    for one in doomed {
        remove(&mut draft, survey, admin, one, &proof);
    }
    done(survey, draft)
}

/// What is left is abandoned; people are told what it was, as far as it is known.
fn abandon(survey: &Survey<'_>, admin: &Admin, doomed: &[Doomed<'_>], by: &str) -> Decision {
    let mut draft = Draft::default();
    let proof = Proof::Abandoned { by: by.to_owned() };
    let counts = doomed.iter().map(|one| {
        let load = survey.knowledge.usage.and_then(|usage| usage.value.load(&one.id));
        let left = load.map_or_else(|| "unknown".to_owned(), |load| load.pinned.total().to_string());
        format!("{} ({}: {left} invocations)", one.name, one.id)
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    if !doomed.is_empty() {
        let message = format!("abandoning unfinished work because of {by}: {counts}");
        draft.note(EventKind::Warning, "ForcedDeletion", "Delete", message);
    }
    for one in doomed {
        if survey.seen.namespace_terminating {
            // Its replica set may be gone already: nothing is recorded on it any more.
            draft.push(deregistration(survey, admin, one, &proof));
        } else {
            remove(&mut draft, survey, admin, one, &proof);
        }
    }
    done(survey, draft)
}

/// Nobody answers whom a deregistration could be sent to: its owner does not want to wait for that.
fn give_up(survey: &Survey<'_>, doomed: &[Doomed<'_>], by: &str) -> Decision {
    let mut draft = Draft::default();
    if !doomed.is_empty() {
        let left =
            doomed.iter().map(|one| format!("{} ({})", one.name, one.id)).collect::<Vec<_>>().join(", ");
        let message = format!(
            "abandoning what is registered because of {by}: Restate does not answer, and still has {left} when it returns"
        );
        draft.note(EventKind::Warning, "ForcedDeletion", "Delete", message);
    }
    done(survey, draft)
}

fn remove(draft: &mut Draft, survey: &Survey<'_>, admin: &Admin, one: &Doomed<'_>, proof: &Proof) {
    match one.version {
        Some(version) if version.deployment_id.is_some() && !version.deleting => {
            retire::deregister(draft, survey, admin, (version, &one.id), proof);
            retire::forget(draft, version);
        }
        Some(_) | None => draft.push(deregistration(survey, admin, one, proof)),
    }
}

fn deregistration(survey: &Survey<'_>, admin: &Admin, one: &Doomed<'_>, proof: &Proof) -> Step {
    Step::Deregister(Deregistration {
        admin: admin.clone(),
        deployment: one.id.clone(),
        version: one.version.map_or_else(|| itself(survey), Version::carrier),
        proof: proof.clone(),
    })
}

/// The object itself stands for a version whose replica set is gone.
fn itself(survey: &Survey<'_>) -> Carrier {
    let meta = &survey.seen.object.metadata;
    let name = meta.name.as_deref().unwrap_or_default();
    Carrier {
        object: ObjectRef::of::<RestateDeployment>(meta.namespace.as_deref(), name),
        uid: Uid(meta.uid.clone().unwrap_or_default()),
    }
}

fn done(survey: &Survey<'_>, draft: Draft) -> Decision {
    Decision {
        plan: draft.finish(false, survey.now),
        status: status::released(survey),
        demand: Demand::default(),
        finalizer: Finalizer::Release,
    }
}

fn release(survey: &Survey<'_>, why: &str) -> Decision {
    let mut draft = Draft::default();
    if !survey.ids().is_empty() {
        draft.note(EventKind::Warning, "DeregistrationSkipped", "Delete", why.to_owned());
    }
    done(survey, draft)
}

fn wait(
    survey: &Survey<'_>,
    terms: DeletionTerms,
    work: Vec<PendingInvocations>,
    demand: Demand,
) -> Decision {
    let total = work.iter().fold(0_i64, |sum, one| {
        sum.saturating_add(one.pinned).saturating_add(one.unpinned.unwrap_or_default())
    });
    let mut deletion = terms_status(survey, terms);
    deletion.message = Some(match deletion.phase {
        DeletionPhase::Draining => format!("waiting for {total} unfinished invocations"),
        DeletionPhase::Overdue | DeletionPhase::Forcing => format!(
            "overdue: {total} unfinished invocations; cancel them, or set spec.restate.deletePolicy to force to abandon them"
        ),
    });
    deletion.total_pending_invocations = Some(total);
    deletion.pending_invocations = Some(work);
    waiting(survey, deletion, Reason::AwaitingInvocations, demand)
}

fn hold(survey: &Survey<'_>, terms: DeletionTerms, reason: Reason, why: &str, demand: Demand) -> Decision {
    let mut deletion = terms_status(survey, terms);
    deletion.message = Some(format!("held: {why}"));
    waiting(survey, deletion, reason, demand)
}

fn waiting(survey: &Survey<'_>, deletion: DeletionStatus, reason: Reason, demand: Demand) -> Decision {
    let mut draft = Draft::default();
    let given_up = since(survey).saturating_add(PATIENCE).unwrap_or(survey.now);
    if deletion.policy == DeletePolicy::Force && given_up > survey.now {
        draft.wait_until(reason, given_up);
    }
    match deletion.deadline.as_ref().filter(|deadline| deadline.0 > survey.now) {
        Some(deadline) => draft.wait_until(reason, deadline.0),
        None => draft.wait(reason),
    }
    Decision {
        plan: draft.finish(demand.registry, survey.now),
        status: status::deleting(survey, deletion, reason),
        demand,
        finalizer: Finalizer::Keep,
    }
}

fn terms_status(survey: &Survey<'_>, terms: DeletionTerms) -> DeletionStatus {
    let DeletionTerms { policy, timeout, on_timeout } = terms;
    let deadline = started(survey).saturating_add(timeout).unwrap_or(survey.now);
    let phase = if survey.now > deadline { DeletionPhase::Overdue } else { DeletionPhase::Draining };
    DeletionStatus {
        policy,
        phase,
        started_at: Some(Time(started(survey))),
        deadline: Some(Time(deadline)),
        on_timeout: Some(on_timeout),
        message: None,
        total_pending_invocations: None,
        pending_invocations: None,
    }
}
