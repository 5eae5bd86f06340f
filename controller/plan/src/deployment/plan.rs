//! The decision about one RestateDeployment: what kind of case it is, and the parts of the plan in their order.
//!
//! Stage in the flow: plan. Invariants: the same world gives the same plan; executing a plan leads to a world in
//! which nothing is planned. What fails harms nothing else: the wanted version, each old one, and the registration are
//! parts of their own. A quota that refuses the new version must not keep old ones from going, nor an old one that does
//! not go the new one from being registered.

use jiff::Timestamp;
use restate_crd::RestateDeployment;

use super::draft::Draft;
use super::seen::{ClusterSeen, Decision, Demand, Seen};
use super::survey::Survey;
use super::validate::{Spec, Valid, validate};
use super::{check, delete, demand, history, notice, retire, rollout, status, target, upkeep};
use crate::{Admin, Finalizer, is_paused};

/// Decides what is to be done and said about one RestateDeployment.
pub fn decide(seen: &Seen, now: Timestamp) -> Decision {
    let survey = Survey::of(seen, now);
    let valid = validate(&seen.object, &seen.dns_suffix);
    let mut decision = if seen.object.metadata.deletion_timestamp.is_some() {
        delete::decide(&survey, valid.as_ref())
    } else if is_paused(&seen.object.metadata) {
        // What can be acted on is not let go without us, although nothing is done for now.
        let finalizer = if matches!(valid, Ok(Valid::Spec(_))) { Finalizer::Keep } else { Finalizer::Leave };
        at_rest(status::paused(&survey), finalizer)
    } else {
        match valid {
            // What is held is only looked at: it gets nothing from us, and keeps what it has.
            Err(error) => at_rest(status::invalid(&survey, &error), Finalizer::Leave),
            Ok(Valid::Held(held)) => at_rest(status::held(&survey, held), Finalizer::Leave),
            Ok(Valid::Spec(_)) if seen.cluster == ClusterSeen::Absent => {
                at_rest(status::no_cluster(&survey), Finalizer::Keep)
            }
            Ok(Valid::Spec(spec)) => act(&survey, &spec),
        }
    };
    notice::tell(&survey, &mut decision);
    debug_assert_eq!(check::violations(&survey, &decision), Vec::<String>::new());
    decision
}

/// The Restate that an object registers with, if it can be told.
pub fn admin(object: &RestateDeployment, dns_suffix: &str) -> Option<Admin> {
    target::admin(&object.spec.restate.register, dns_suffix).ok().flatten()
}

fn at_rest(status: restate_crd::RestateDeploymentStatus, finalizer: Finalizer) -> Decision {
    let demand = Demand::default();
    Decision { plan: Draft::default().finish(false, Timestamp::MIN), status, demand, finalizer }
}

fn act(survey: &Survey<'_>, spec: &Spec) -> Decision {
    let target = survey.target(spec);
    let mut draft = Draft::default();
    if !survey.seen.namespace_terminating {
        rollout::prepare(&mut draft, survey, spec, &target);
        draft.part();
        upkeep::services(&mut draft, survey, spec, &target);
    }
    draft.part();
    upkeep::ownership(&mut draft, survey, spec);
    upkeep::autoscalers(&mut draft, survey, spec, &target);
    retire::others(&mut draft, survey, spec, &target);
    draft.part();
    upkeep::labels(&mut draft, survey, &target);
    upkeep::restate(&mut draft, survey, spec);
    upkeep::stable_service(&mut draft, survey, spec, &target);
    history::trim(&mut draft, survey, spec, &target);
    draft.part();
    if !survey.seen.namespace_terminating {
        rollout::register(&mut draft, survey, spec, &target);
    }
    let demand = demand::demand(survey, spec, &target);
    let status = status::active(survey, spec, &target);
    let plan = draft.finish(demand.registry, survey.now);
    Decision { plan, status, demand, finalizer: Finalizer::Keep }
}
