//! The end of a RestateDeployment: its unfinished work is waited for or abandoned, its versions are deregistered, the
//! finalizer goes. The objects follow by their owner references.
//!
//! Stage in the flow: plan. Invariants: only unfinished work holds a deletion, never that Restate still routes to a
//! version; what is unknown holds it, and `deletePolicy: force` overrides that; a namespace that goes and a cluster
//! that is gone never make it hang. Not for single versions: that is `retire.rs`.

mod pending;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use restate_crd::RestateDeployment;
use restate_crd::condition::Reason;
use restate_crd::deployment::{DeletePolicy, DeletionPhase, DeletionStatus, OnTimeout, PendingInvocations};

use super::concern::Interest;
use super::draft::Draft;
use super::plan::admin;
use super::seen::{ClusterSeen, Decision, Demand, Next};
use super::survey::Survey;
use super::validate::{DeletionTerms, Error, Spec, Valid};
use super::version::Version;
use super::{replica_set, retire, service, status};
use crate::step::Version as Carrier;
use crate::{Admin, Deregistration, EventKind, Finalizer, ObjectRef, Proof, Step, Uid};
use pending::{
    Doomed, PATIENCE, Pending, doomed, elsewhere, had_no_versions, is_asked, is_silent, kept_elsewhere,
    pending, since, started,
};

/// Decides for an object with a deletion timestamp.
pub(super) fn decide(survey: &Survey<'_>, valid: Result<&Valid, &Error>) -> Decision {
    let terms = DeletionTerms::of(&survey.seen.object.spec.restate);
    let force = terms.policy == DeletePolicy::Force;
    if survey.seen.cluster == ClusterSeen::Absent {
        let held = kept_elsewhere(survey).filter(|_| !force && !survey.seen.namespace_terminating);
        if let Some(held) = held {
            return hold(survey, terms, Reason::UsageUnknown, &elsewhere(held), Demand::default());
        }
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

/// A deletion that asks its Restate.
struct Case<'s> {
    survey: &'s Survey<'s>,
    terms: DeletionTerms,
    admin: &'s Admin,
    doomed: Vec<Doomed<'s>>,
}

fn with_restate(survey: &Survey<'_>, terms: DeletionTerms, admin: &Admin, spec: Option<&Spec>) -> Decision {
    let case = Case { survey, terms, admin, doomed: doomed(survey) };
    let waited = survey.now.duration_since(started(survey));
    if survey.seen.namespace_terminating {
        // The namespace's own controller may have taken the replica sets, and with them what was recorded: what is
        // registered is then found in a fresh answer only.
        return if waited > PATIENCE {
            release(survey, "its namespace goes and Restate did not answer: what is registered there stays")
        } else if is_asked(survey) {
            case.abandon("the namespace is being deleted")
        } else {
            case.ask()
        };
    }
    if terms.policy == DeletePolicy::Force {
        return case.force("deletePolicy: force");
    }
    if case.doomed.is_empty() && had_no_versions(survey) {
        return release(survey, "no version was ever made");
    }
    let overdue = waited > terms.timeout;
    match pending(survey, &case.doomed) {
        Pending::Nothing { asked_at } => case.finish(asked_at),
        Pending::Work(_) | Pending::Unknown { .. } if overdue && terms.on_timeout == OnTimeout::Force => {
            case.force("drain.onTimeout: force")
        }
        Pending::Unknown { reason, why, next } => hold(survey, terms, reason, &why, case.demand(next)),
        Pending::Work(work) => {
            let mut decision = wait(survey, terms, work, case.demand(Next::News));
            decision.plan.steps.extend(spec.and_then(|spec| revived(survey, spec, &case.doomed)));
            decision
        }
    }
}

impl Case<'_> {
    fn demand(&self, next: Next) -> Demand {
        let interest = Interest::of(self.survey);
        Demand { admin: Some(self.admin.clone()), registry: true, usage: true, next, interest }
    }

    fn ask(&self) -> Decision {
        let why = "Restate is asked what is registered";
        hold(self.survey, self.terms, Reason::RestateUnreachable, why, self.demand(Next::Registry))
    }

    /// Its owner does not want to wait for work. A registration that a crash has hidden from us is found in a fresh
    /// answer only.
    fn force(&self, by: &str) -> Decision {
        if is_silent(self.survey) {
            self.give_up(by)
        } else if is_asked(self.survey) {
            self.abandon(by)
        } else {
            self.ask()
        }
    }

    /// Nothing is left: deregister in order, then the finalizer goes.
    fn finish(&self, asked_at: Timestamp) -> Decision {
        let mut draft = Draft::default();
        let proof = Proof::Deleted { asked_at };
        for one in &self.doomed {
            remove(&mut draft, self.survey, self.admin, one, &proof);
        }
        self.done(draft)
    }

    /// What is left is abandoned; people are told what it was, as far as it is known.
    fn abandon(&self, by: &str) -> Decision {
        let (survey, mut draft) = (self.survey, Draft::default());
        let proof = Proof::Abandoned { by: by.to_owned() };
        let counts = self.doomed.iter().map(|one| {
            let load = survey.knowledge.usage.and_then(|usage| usage.value.load(&one.id));
            let left = load.map_or_else(|| "unknown".to_owned(), |load| load.pinned.total().to_string());
            format!("{} ({}: {left} invocations)", one.name, one.id)
        });
        let counts = counts.collect::<Vec<_>>().join(", ");
        if !self.doomed.is_empty() {
            let message = format!("abandoning unfinished work because of {by}: {counts}");
            draft.note(EventKind::Warning, "ForcedDeletion", "Delete", message);
        }
        for one in &self.doomed {
            if survey.seen.namespace_terminating {
                // Its replica set may be gone already: nothing is recorded on it any more.
                draft.push(deregistration(survey, self.admin, one, &proof));
            } else {
                remove(&mut draft, survey, self.admin, one, &proof);
            }
        }
        self.done(draft)
    }

    /// Nobody answers whom a deregistration could be sent to.
    fn give_up(&self, by: &str) -> Decision {
        let mut draft = Draft::default();
        if !self.doomed.is_empty() {
            let left = self.doomed.iter().map(|one| format!("{} ({})", one.name, one.id));
            let left = left.collect::<Vec<_>>().join(", ");
            let message = format!(
                "abandoning what is registered because of {by}: Restate does not answer, and still has {left} when it returns"
            );
            draft.note(EventKind::Warning, "ForcedDeletion", "Delete", message);
        }
        self.done(draft)
    }

    /// The end, unless a step fails: then Restate is still asked, and what it says decides what comes next.
    fn done(&self, draft: Draft) -> Decision {
        Decision { demand: self.demand(Next::Registry), ..done(self.survey, draft) }
    }
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
        offers: Vec::new(),
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
    let ends = deletion.policy == DeletePolicy::Force || survey.seen.namespace_terminating;
    if ends && given_up > survey.now {
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
