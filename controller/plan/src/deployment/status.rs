//! What a RestateDeployment says about itself.
//!
//! Stage in the flow: status. Invariants: the same world gives the same status, to the second, so that nothing is
//! written at rest; numbers that change with every answer of Restate are left to the aggregated API. Not for
//! deciding: reasons follow from the survey.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use restate_crd::condition::{ConditionStatus, ConditionType, Reason, Verdict};
use restate_crd::deployment::{DeletionStatus, KeptBecause, VersionState, VersionStatus};
use restate_crd::{Conditions, RestateDeploymentStatus};
use restate_model::{DeploymentId, FailureKind};

use super::notice;
use super::selector;
use super::state::{View, views_of};
use super::survey::{Routing, Survey, Target};
use super::validate::{Error, Held, Spec};
use super::version::Version;

/// One condition's status, reason and words.
type Said = (ConditionStatus, Reason, String);

/// The status of an object that is acted on.
pub(super) fn active(survey: &Survey<'_>, spec: &Spec, target: &Target<'_>) -> RestateDeploymentStatus {
    let old = survey.seen.object.status.clone().unwrap_or_default();
    let views = views_of(survey, Some(spec), Some(target));
    let version = target.version;
    let available = version.map_or(0, |version| version.available);
    let routed = version.filter(|version| survey.routing(version) == Routing::Routed);
    let id = routed.and_then(|version| version.deployment_id.as_ref()).map(DeploymentId::to_string);
    RestateDeploymentStatus {
        deployment_id: id.or(old.deployment_id),
        replicas: version.map_or(0, |version| version.replicas),
        desired_replicas: Some(spec.replicas),
        ready_replicas: Some(version.map_or(0, |version| version.ready)),
        available_replicas: Some(available),
        unavailable_replicas: Some((spec.replicas - available).max(0)),
        label_selector: Some(selector::text(&selector::of_version(&spec.selector, &target.hash))),
        collision_count: target.collisions,
        observed_generation: survey.seen.object.metadata.generation,
        knative: old.knative,
        versions: Some(views.iter().map(stored).collect()),
        deletion: None,
        conditions: conditions(survey, spec, target, &views),
    }
}

/// A view without what changes all the time.
fn stored(view: &View) -> VersionStatus {
    let kept = view.kept_because.iter().map(|kept| KeptBecause {
        count: None,
        until: kept.until.as_ref().map(whole),
        ..kept.clone()
    });
    VersionStatus {
        name: view.name.clone(),
        state: view.state,
        deployment_id: view.deployment_id.as_ref().map(DeploymentId::to_string),
        kept_because: kept.collect(),
        remove_at: view.remove_at.map(|at| whole(&Time(at))),
        pinned: None,
        unpinned: None,
    }
}

/// Stored times have whole seconds.
fn whole(time: &Time) -> Time {
    Time(Timestamp::from_second(time.0.as_second()).unwrap_or(time.0))
}

fn conditions(survey: &Survey<'_>, spec: &Spec, target: &Target<'_>, views: &[View]) -> Conditions {
    let registered = registered(survey, spec, target);
    let available = available(survey, spec, target.version);
    let stalled = stalled(survey, target, &registered);
    let complete = target.version.is_some_and(|version| version.available >= spec.replicas);
    let ready = ready(&registered, &available, target);
    let progressing = match (&stalled, ready.0 == ConditionStatus::True && complete) {
        ((ConditionStatus::True, reason, message), _) => (ConditionStatus::False, *reason, message.clone()),
        (_, true) => {
            (ConditionStatus::False, Reason::Deployed, format!("version {} is complete", target.name))
        }
        (_, false) if ready.0 == ConditionStatus::True => {
            (ConditionStatus::True, Reason::PodsNotReady, available.2.clone())
        }
        (_, false) => (ConditionStatus::True, ready.1, ready.2.clone()),
    };
    let said = [
        (ConditionType::Ready, ready),
        (ConditionType::Progressing, progressing),
        (ConditionType::Available, available),
        (ConditionType::Registered, registered),
        (ConditionType::Stalled, stalled),
        (ConditionType::Draining, draining(views)),
    ];
    told(survey, said)
}

fn told<const N: usize>(survey: &Survey<'_>, said: [(ConditionType, Said); N]) -> Conditions {
    let object = &survey.seen.object;
    let mut conditions = object.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    for (kind, (status, reason, message)) in said {
        let verdict = Verdict::new(status, reason, message).of_generation(object.metadata.generation);
        conditions.set(kind, verdict, survey.now);
    }
    conditions
}

fn available(survey: &Survey<'_>, spec: &Spec, version: Option<&Version>) -> Said {
    let available = version.map_or(0, |version| version.available);
    let message = format!("{available} of {} pods are available", spec.replicas);
    if available > 0 || spec.replicas == 0 {
        return (ConditionStatus::True, Reason::PodsAvailable, message);
    }
    // A version that was refused is to have none.
    let expected = version.filter(|version| version.desired > 0);
    let overdue = expected.is_some_and(|version| survey.now >= notice::overdue_at(survey, version));
    let message = if overdue { message + notice::OVERDUE } else { message };
    (ConditionStatus::False, Reason::PodsNotReady, message)
}

fn registered(survey: &Survey<'_>, spec: &Spec, target: &Target<'_>) -> Said {
    let no = |reason, message| (ConditionStatus::False, reason, message);
    let Some(version) = target.version else {
        return no(Reason::PodsNotReady, format!("version {} has no pods yet", target.name));
    };
    if let Some(rejection) = survey.rejection(version) {
        let message =
            format!("Restate refused version {}: {}: {}", version.name, rejection.code, rejection.message);
        return no(Reason::RegistrationRejected, message);
    }
    match survey.routing(version) {
        Routing::Routed => (
            ConditionStatus::True,
            Reason::Routed,
            format!("Restate routes new calls to version {}", version.name),
        ),
        Routing::Foreign(routes) => {
            let routes = routes
                .iter()
                .map(|(service, id)| format!("{service} to {id}"))
                .collect::<Vec<_>>()
                .join(", ");
            let message = format!(
                "Restate routes {routes}, which is not ours: remove it there, or deploy another version"
            );
            no(Reason::ForeignDeployment, message)
        }
        Routing::Elsewhere(_) => no(
            Reason::AwaitingRouting,
            format!("Restate routes new calls to another version than {}", version.name),
        ),
        Routing::Missing => {
            no(Reason::Registering, format!("Restate does not know version {} any more", version.name))
        }
        Routing::Unverified | Routing::Unregistered { .. }
            if spec.replicas == 0 && version.available == 0 =>
        {
            no(
                Reason::PodsNotReady,
                "spec.replicas is 0: a version is registered at its first available pod".to_owned(),
            )
        }
        Routing::Unregistered { .. } if version.available == 0 => no(
            Reason::PodsNotReady,
            format!("version {} is registered at its first available pod", version.name),
        ),
        Routing::Unverified | Routing::Unregistered { .. } => awaiting_restate(survey, version),
    }
}

fn awaiting_restate(survey: &Survey<'_>, version: &Version) -> Said {
    let failure = survey.seen.snapshot.as_ref().and_then(|snapshot| snapshot.failure.as_ref());
    let (reason, why) = match failure.map(|failure| failure.kind) {
        None => (Reason::Registering, "is being registered"),
        Some(FailureKind::Unreachable) => {
            (Reason::RestateUnreachable, "waits for Restate, which cannot be reached")
        }
        Some(FailureKind::TimedOut) => {
            (Reason::RestateUnreachable, "waits for Restate, which does not answer in time")
        }
        Some(FailureKind::Malformed | FailureKind::Unavailable) => {
            (Reason::RestateUnreachable, "waits for Restate, which cannot answer now")
        }
        Some(FailureKind::Refused) => {
            (Reason::RestateUnreachable, "waits for Restate, which refuses to answer")
        }
    };
    (ConditionStatus::False, reason, format!("version {} {why}", version.name))
}

fn ready(registered: &Said, available: &Said, target: &Target<'_>) -> Said {
    for said in [registered, available] {
        if said.0 != ConditionStatus::True {
            return (ConditionStatus::False, said.1, said.2.clone());
        }
    }
    (ConditionStatus::True, Reason::Deployed, format!("version {} serves new calls", target.name))
}

fn stalled(survey: &Survey<'_>, target: &Target<'_>, registered: &Said) -> Said {
    if matches!(registered.1, Reason::RegistrationRejected | Reason::ForeignDeployment) {
        return (ConditionStatus::True, registered.1, registered.2.clone());
    }
    let service = super::version::found(&survey.seen.services, &target.name);
    let ours = target.version.is_some_and(|version| version.service(&survey.seen.services).is_some());
    if service.is_some() && !ours && target.version.is_some() {
        let message = format!("Service {} exists and belongs to somebody else", target.name);
        return (ConditionStatus::True, Reason::NameTaken, message);
    }
    (ConditionStatus::False, Reason::Idle, "nothing is stuck".to_owned())
}

fn draining(views: &[View]) -> Said {
    let names = |wanted: fn(&View) -> bool| {
        views.iter().filter(|view| wanted(view)).map(|view| view.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let unknown = names(|view| !view.wanted && view.state == VersionState::Unknown);
    if !unknown.is_empty() {
        let message = format!("Restate did not say enough about {unknown}");
        return (ConditionStatus::True, Reason::UsageUnknown, message);
    }
    let drains =
        names(|view| !view.wanted && matches!(view.state, VersionState::Draining | VersionState::Drained));
    if drains.is_empty() {
        return (ConditionStatus::False, Reason::Idle, "no version drains".to_owned());
    }
    (
        ConditionStatus::True,
        Reason::VersionsDraining,
        format!("kept for unfinished work or their delay: {drains}"),
    )
}

/// Everything stays as it was said, but for what stops it.
fn stopped(survey: &Survey<'_>, reason: Reason, message: &str) -> RestateDeploymentStatus {
    let said = |status| (status, reason, message.to_owned());
    let conditions = told(
        survey,
        [
            (ConditionType::Ready, said(ConditionStatus::False)),
            (ConditionType::Progressing, said(ConditionStatus::False)),
            (ConditionType::Stalled, said(ConditionStatus::True)),
        ],
    );
    RestateDeploymentStatus {
        conditions,
        observed_generation: survey.seen.object.metadata.generation,
        ..survey.seen.object.status.clone().unwrap_or_default()
    }
}

/// The status of an object that cannot be acted on.
pub(super) fn invalid(survey: &Survey<'_>, error: &Error) -> RestateDeploymentStatus {
    stopped(survey, error.reason(), &error.to_string())
}

/// The status of an object whose RestateCluster does not exist.
pub(super) fn no_cluster(survey: &Survey<'_>) -> RestateDeploymentStatus {
    let cluster = survey.seen.object.spec.restate.register.cluster().unwrap_or_default();
    let message = format!("RestateCluster {cluster} does not exist");
    let mut status = stopped(survey, Reason::TargetNotFound, &message);
    // One of this name that comes later has nothing of what was registered.
    let verdict = Verdict::new(ConditionStatus::Unknown, Reason::TargetNotFound, message);
    let verdict = verdict.of_generation(survey.seen.object.metadata.generation);
    status.conditions.set(ConditionType::Registered, verdict, survey.now);
    status
}

/// The status of an object in a mode that comes later: what another controller said of its versions stays.
pub(super) fn held(survey: &Survey<'_>, held: Held) -> RestateDeploymentStatus {
    let said = (ConditionStatus::True, Reason::ModeNotSupported, held.message().to_owned());
    let conditions = told(survey, [(ConditionType::Stalled, said)]);
    RestateDeploymentStatus { conditions, ..survey.seen.object.status.clone().unwrap_or_default() }
}

/// The status of an object that people asked to leave alone: frozen, and says so.
pub(super) fn paused(survey: &Survey<'_>) -> RestateDeploymentStatus {
    let verdict = crate::pause::verdict();
    let said = (verdict.status, verdict.reason, verdict.message);
    let conditions = told(survey, [(ConditionType::Stalled, said)]);
    RestateDeploymentStatus { conditions, ..survey.seen.object.status.clone().unwrap_or_default() }
}

/// The status of an object whose deletion waits.
pub(super) fn deleting(
    survey: &Survey<'_>,
    deletion: DeletionStatus,
    reason: Reason,
) -> RestateDeploymentStatus {
    let message = deletion.message.clone().unwrap_or_default();
    let held = reason != Reason::AwaitingInvocations
        || deletion.phase != restate_crd::deployment::DeletionPhase::Draining;
    let stalled = if held {
        (ConditionStatus::True, Reason::DeletionHeld, message.clone())
    } else {
        (ConditionStatus::False, Reason::Idle, "nothing is stuck".to_owned())
    };
    let conditions = told(
        survey,
        [
            (ConditionType::Ready, (ConditionStatus::False, reason, message.clone())),
            (ConditionType::Draining, (ConditionStatus::True, reason, message)),
            (ConditionType::Stalled, stalled),
        ],
    );
    RestateDeploymentStatus {
        conditions,
        deletion: Some(deletion),
        observed_generation: survey.seen.object.metadata.generation,
        ..survey.seen.object.status.clone().unwrap_or_default()
    }
}

/// The status of an object that is let go.
pub(super) fn released(survey: &Survey<'_>) -> RestateDeploymentStatus {
    RestateDeploymentStatus { deletion: None, ..survey.seen.object.status.clone().unwrap_or_default() }
}
