//! What every version has beside its pods: its Service, the label that says whether it is the routed one, and the
//! autoscaler while it drains.
//!
//! Stage in the flow: plan. Invariants: an object of somebody else is never touched; nothing is applied that is so
//! already; labels follow what Restate was seen to route, not what we wish. Not for replica counts.

use k8s_openapi::api::core::v1::Service;
use kube_core::Resource;
use restate_crd::annotation::{FORMERLY_REGISTERED, REGISTERED_WITH};
use restate_crd::condition::Reason;
use restate_crd::label::LATEST;

use super::draft::Draft;
use super::survey::{Fate, Routing, Survey, Target};
use super::usage::Usage;
use super::validate::Spec;
use super::version::{Version, found};
use super::{autoscaler, metadata, rollout, service};
use crate::applied::{apply_unless_same, is_applied};
use crate::ownership::is_adopted;
use crate::{Manager, ObjectRef, Step, Uid, record_of};

/// The Service of each version that may be called.
pub(super) fn services(draft: &mut Draft, survey: &Survey<'_>, spec: &Spec, target: &Target<'_>) {
    for version in survey.versions.iter().filter(|version| !version.deleting) {
        let wanted = target.version == Some(version);
        if !wanted && survey.is_history(version) {
            continue;
        }
        let mut desired = service::version_service(spec, version);
        match (found(&survey.seen.services, &version.name), version.service(&survey.seen.services)) {
            (None, _) => {
                // The only one that there is: new calls can go to no other.
                if survey.versions.len() == 1 {
                    let labels = desired.metadata.labels.get_or_insert_default();
                    labels.insert(LATEST.to_owned(), "true".to_owned());
                }
                draft.push(Step::Create(Box::new(desired.into())));
            }
            (Some(_), None) => draft.wait(Reason::NameTaken),
            (Some(_), Some(observed)) if is_applied(&desired.spec, &observed.spec) => {}
            (Some(_), Some(_)) => draft.push(Step::Apply(Manager::Operator, Box::new(desired.into()))),
        }
    }
}

/// What an earlier controller owned of the objects becomes ours; of a Service, what it wrote and we do not, goes.
pub(super) fn ownership(draft: &mut Draft, survey: &Survey<'_>, spec: &Spec) {
    for version in survey.versions.iter().filter(|version| !version.deleting) {
        if !version.adopted {
            let (object, uid) = (version.reference(), version.uid.clone());
            draft.aside(Step::TakeOver { object, uid });
        }
        let found = version.service(&survey.seen.services).map(|service| &service.metadata);
        let Some(meta) = found.filter(|meta| !is_adopted(meta)) else { continue };
        let Some(uid) = meta.uid.clone().map(Uid) else { continue };
        let object = ObjectRef::of::<Service>(Some(&version.namespace), &version.name);
        draft.aside(Step::TakeOver { object, uid });
        let wanted = service::version_service(spec, version);
        draft.aside(Step::Apply(Manager::Operator, Box::new(wanted.into())));
    }
}

/// The labels that say which version is routed to, once a fresh answer says so.
pub(super) fn labels(draft: &mut Draft, survey: &Survey<'_>, target: &Target<'_>) {
    if survey.knowledge.registry.is_none() {
        return;
    }
    // What is about to be registered for the first time keeps the label that its Service was made with.
    let awaited = |version: &Version| {
        target.version == Some(version)
            && version.deployment_id.is_none()
            && survey.rejection(version).is_none()
    };
    for version in survey.versions.iter().filter(|version| !version.deleting && !awaited(version)) {
        let routed = survey.id(version).is_some_and(|id| !survey.knowledge.routed(&id).is_empty());
        if let Some(value) = label_change(routed, version.labelled_latest.as_deref()) {
            draft.label(version.reference(), version.uid.clone(), (LATEST, value));
        }
        let Some(observed) = version.service(&survey.seen.services) else { continue };
        let Some(uid) = observed.metadata.uid.clone().map(Uid) else { continue };
        if let Some(value) = label_change(routed, metadata::label(&observed.metadata, LATEST)) {
            let object = ObjectRef::of::<Service>(Some(&version.namespace), &version.name);
            draft.label(object, uid, (LATEST, value));
        }
    }
}

/// With which Restate a version is registered, where something else is recorded: another address of the same one. What an
/// earlier controller registered is found as it is, and gets the record with whatever else is written on it.
pub(super) fn restate(draft: &mut Draft, survey: &Survey<'_>, spec: &Spec) {
    let key = spec.admin.key.as_str();
    let registered =
        survey.versions.iter().filter(|version| version.deployment_id.is_some() && !version.deleting);
    for version in registered.filter(|version| version.registered_with.as_deref() != Some(key)) {
        if version.registered_with.is_some() {
            draft.annotate(version, [(FORMERLY_REGISTERED, record_of(&version.former))]);
        }
        if draft.writes_on(&version.uid) {
            draft.annotate(version, [(REGISTERED_WITH, Some(key.to_owned()))]);
        }
    }
}

/// Nothing is written on versions that never were routed to.
fn label_change(routed: bool, labelled: Option<&str>) -> Option<&'static str> {
    match (routed, labelled) {
        (true, Some("true")) | (false, None | Some("false")) => None,
        (true, _) => Some("true"),
        (false, Some(_)) => Some("false"),
    }
}

/// An autoscaler for each version that drains, and for no other.
pub(super) fn autoscalers(draft: &mut Draft, survey: &Survey<'_>, spec: &Spec, target: &Target<'_>) {
    for version in
        survey.versions.iter().filter(|version| target.version != Some(*version) && !version.deleting)
    {
        match (&spec.autoscaling, survey.fate(version, spec.drain_delay)) {
            (Some(autoscaling), Fate::Drains { usage, .. })
                if version.desired > 0 && may_drain(survey, version, usage) =>
            {
                let desired = autoscaler::autoscaler(spec, autoscaling, version);
                let observed = version.autoscaler(&survey.seen.autoscalers, &spec.uid);
                let taken = observed.is_none() && found(&survey.seen.autoscalers, &version.name).is_some();
                if let Some(step) = apply_unless_same(desired, observed).filter(|_| !taken) {
                    draft.aside(step);
                }
            }
            // While nothing is known, what is there stays.
            (Some(_), Fate::Drains { usage: Usage::Unknown, .. }) => {}
            (Some(_) | None, Fate::Drains { .. } | Fate::Rests | Fate::Abandoned) => {
                if let Some(step) = rollout::without_autoscaler(survey, spec, version) {
                    draft.aside(step);
                }
            }
        }
    }
}

/// A version that is registered and that Restate was seen not to route to.
fn may_drain(survey: &Survey<'_>, version: &Version, usage: Usage) -> bool {
    let registered = survey.id(version).is_some();
    match usage {
        Usage::Active { routed, .. } => registered && routed == 0,
        Usage::Idle { .. } => registered,
        Usage::Unknown => false,
    }
}

/// The Service of a fixed name, once the wanted version is the routed one.
pub(super) fn stable_service(draft: &mut Draft, survey: &Survey<'_>, spec: &Spec, target: &Target<'_>) {
    let (Some(name), Some(version)) = (&spec.stable_service, target.version) else { return };
    if survey.routing(version) != Routing::Routed {
        return;
    }
    let desired = service::stable_service(spec, name, version);
    match found(&survey.seen.services, name) {
        None => draft.aside(Step::Create(Box::new(desired.into()))),
        Some(observed) if !metadata::is_controlled_by(observed.meta(), &spec.uid) => {
            draft.wait(Reason::NameTaken);
        }
        Some(observed) if is_applied(&desired.spec, &observed.spec) => {}
        Some(_) => draft.aside(Step::Apply(Manager::Operator, Box::new(desired.into()))),
    }
}
