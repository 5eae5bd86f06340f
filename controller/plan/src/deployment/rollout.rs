//! The wanted version: made, scaled, registered, and verified by where Restate routes.
//!
//! Stage in the flow: plan. Invariants: an existing version of the same content is used again, its template as found;
//! registration waits for a pod that is available; force is used only where Restate knows the version and routes
//! elsewhere among ours, so there is no war with anybody. Not for versions that are not wanted.

use restate_crd::annotation::REMOVE_VERSION_AT;
use restate_crd::condition::Reason;

use super::draft::Draft;
use super::notice;
use super::replica_set;
use super::retire;
use super::survey::{Routing, Survey, Target};
use super::target::endpoint;
use super::validate::Spec;
use super::version::Version;
use crate::{EventKind, Manager, ObjectRef, Propagation, Registration, Step};

/// Makes the wanted version and gets it ready to be registered.
pub(super) fn prepare(draft: &mut Draft, survey: &Survey<'_>, spec: &Spec, target: &Target<'_>) {
    let Some(version) = target.version else {
        draft.push(Step::Create(Box::new(replica_set::replica_set(spec, &target.name, &target.hash))));
        let message = format!("made version {} with {} replicas", target.name, spec.replicas);
        draft.note(EventKind::Normal, "VersionCreated", "Create", message);
        return draft.wait(Reason::PodsNotReady);
    };
    if version.deleting {
        return draft.wait(Reason::PodsNotReady);
    }
    if version.stamp.is_some() {
        draft.annotate(version, [(REMOVE_VERSION_AT, None)]);
    }
    retire::forget_abandoned(draft, version);
    if let Some(step) = without_autoscaler(survey, spec, version) {
        draft.push(step);
    }
    let seconds = spec.min_ready_seconds.unwrap_or(0);
    if version.min_ready_seconds != seconds {
        let object = replica_set::min_ready_seconds(version, seconds);
        draft.push(Step::Apply(Manager::Operator, Box::new(object)));
    }
    let replicas = wanted_replicas(survey, spec, version);
    if version.desired != replicas {
        draft.scale(version, replicas);
    }
    if version.available == 0 && version.desired > 0 {
        draft.wait_until(Reason::PodsNotReady, notice::overdue_at(survey, version));
    } else if version.available < replicas.max(1) {
        draft.wait(Reason::PodsNotReady);
    }
}

/// Deletes the autoscaler of a version, where it has one of ours.
pub(super) fn without_autoscaler(survey: &Survey<'_>, spec: &Spec, version: &Version) -> Option<Step> {
    let autoscaler = version.autoscaler(&survey.seen.autoscalers, &spec.uid)?;
    let uid = crate::Uid(autoscaler.metadata.uid.clone()?);
    let object = ObjectRef::of::<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>(
        Some(&version.namespace),
        &version.name,
    );
    Some(Step::Delete { object, uid, propagation: Propagation::Background })
}

/// As many as asked for; none where Restate refused the version and was seen not to know it, as it can serve nothing.
fn wanted_replicas(survey: &Survey<'_>, spec: &Spec, version: &Version) -> i32 {
    let Some(rejection) = survey.rejection(version) else { return spec.replicas };
    let asked_since = survey.knowledge.registry.is_some_and(|reading| reading.asked_at > rejection.at);
    let never_served = asked_since && survey.id(version).is_none();
    if never_served || (version.deployment_id.is_none() && version.desired == 0) { 0 } else { spec.replicas }
}

/// Registers the wanted version, where that is due.
pub(super) fn register(draft: &mut Draft, survey: &Survey<'_>, spec: &Spec, target: &Target<'_>) {
    let Some(version) = target.version.filter(|version| !version.deleting) else { return };
    if survey.rejection(version).is_some() {
        return;
    }
    let force = match survey.routing(version) {
        Routing::Unregistered { elsewhere } => elsewhere,
        Routing::Missing => None,
        Routing::Elsewhere(routes) => Some(routes),
        Routing::Unverified => return draft.wait(Reason::AwaitingRouting),
        Routing::Foreign(_) => return,
        Routing::Routed => return retire::forget_intent(draft, survey, version),
    };
    draft.wait(Reason::Registering);
    let reachable = version.available > 0 && version.service(&survey.seen.services).is_some();
    if !reachable {
        return;
    }
    let how = if force.is_some() { "moved routing to" } else { "registered" };
    draft.push(Step::Register(Registration {
        admin: spec.admin.clone(),
        uri: endpoint(
            &version.name,
            &version.namespace,
            &spec.dns_suffix,
            spec.identity.service_path.as_deref(),
        ),
        force,
        breaking: spec.breaking,
        http11: spec.identity.http11,
        version: version.carrier(),
        former: version.former.clone(),
    }));
    draft.note(EventKind::Normal, "VersionRegistered", "Register", format!("{how} version {}", version.name));
}
