//! What has to be asked of Restate.
//!
//! Stage in the flow: plan, for the poller. Invariant: at rest nothing is asked. Not for when to ask.

use super::concern::Interest;
use super::drain::Drain;
use super::history::surplus;
use super::seen::{Demand, Next};
use super::survey::{Fate, Routing, Survey, Target};
use super::validate::Spec;
use super::version::Version;

/// What a living object needs to know.
pub(super) fn demand(survey: &Survey<'_>, spec: &Spec, target: &Target<'_>) -> Demand {
    let wanted = target.version.filter(|version| !version.deleting);
    let unsettled = wanted.is_some_and(|version| needs_routing(survey, version));
    let others = survey.versions.iter().filter(|version| target.version != Some(*version));
    // Where Restate was seen to route to a version, nothing becomes of it before we register another one.
    let drains: Vec<Next> = others
        // What is registered elsewhere too is held whatever this Restate says.
        .filter(|version| version.former.is_empty() || version.abandoned)
        .filter_map(|version| match survey.fate(version, spec.drain_delay) {
            Fate::Drains { drain, .. } if !is_routed(survey, version) => Some(next(survey, version, drain)),
            Fate::Drains { .. } | Fate::Rests | Fate::Abandoned => None,
        })
        .collect();
    let usage = !drains.is_empty();
    let trims = surplus(survey, spec, target).iter().any(|version| version.replicas == 0);
    let registry = unsettled || usage || trims;
    let next = if unsettled || trims { Next::Registry } else { drains.into_iter().max().unwrap_or_default() };
    Demand { admin: Some(spec.admin.clone()), registry, usage, next, interest: Interest::of(survey) }
}

/// Which answer that says the same as the last one would change anything: where it counts when it was asked.
fn next(survey: &Survey<'_>, version: &Version, drain: Drain) -> Next {
    match drain {
        Drain::Keep => Next::News,
        Drain::Wait { until } if until > survey.now => Next::News,
        Drain::Hold | Drain::Wait { .. } | Drain::Begin { .. } | Drain::Retire { .. } => {
            survey.lacking(version)
        }
    }
}

fn needs_routing(survey: &Survey<'_>, version: &Version) -> bool {
    if let Some(rejection) = survey.rejection(version) {
        let asked = survey.knowledge.registry.is_some_and(|reading| reading.asked_at > rejection.at);
        return version.desired > 0 && !asked;
    }
    match survey.routing(version) {
        // An intent to deregister it is void by a newer answer alone.
        Routing::Routed => version.deregistering.is_some(),
        // Pods that are not there yet need no answer; it is asked for when the first of them may be registered.
        Routing::Unregistered { .. } => version.available > 0,
        Routing::Unverified | Routing::Missing | Routing::Elsewhere(_) | Routing::Foreign(_) => true,
    }
}

fn is_routed(survey: &Survey<'_>, version: &Version) -> bool {
    survey.id(version).is_some_and(|id| !survey.knowledge.routed(&id).is_empty())
}
