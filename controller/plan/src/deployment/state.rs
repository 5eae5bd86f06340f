//! What people are shown of each version: where it stands and why it is still there.
//!
//! Stage in the flow: status, and the aggregated API. Invariant: computed from the same survey as the plan, so what
//! is shown is what will happen. Not for deciding anything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use restate_crd::deployment::{KeptBecause, KeptReason, VersionState};
use restate_model::{Counts, DeploymentId, ServiceName};

use super::drain::Drain;
use super::hash::TemplateHash;
use super::seen::Seen;
use super::survey::{Fate, Routing, Survey, Target};
use super::target::endpoint;
use super::usage::Usage;
use super::validate::{Spec, Valid, drain_delay_of, validate};
use super::version::{Rejection, Version};
use crate::Uid;

/// One version, as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Name of its replica set and Service.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Uid of its replica set.
    pub uid: Uid,
    /// Its hash.
    pub hash: TemplateHash,
    /// When its replica set was made.
    pub created_at: Option<Timestamp>,
    /// When Restate had taken it, by our record.
    pub registered_at: Option<Timestamp>,
    /// Whether it is the version that the stored template wants.
    pub wanted: bool,
    /// Restate's id of it.
    pub deployment_id: Option<DeploymentId>,
    /// Where Restate calls it, as Restate stores it where it knows it.
    pub endpoint: String,
    /// Images of its containers.
    pub images: Vec<String>,
    /// Its services.
    pub services: Vec<ViewedService>,
    /// Where it stands.
    pub state: VersionState,
    /// Why it is still there.
    pub kept_because: Vec<KeptBecause>,
    /// When it goes, as recorded on it.
    pub remove_at: Option<Timestamp>,
    /// Unfinished work that only this version can do; `None` where nobody could tell.
    pub pinned: Option<Counts>,
    /// Unfinished work that is bound to no version and would go to this one.
    pub unpinned: Option<Counts>,
    /// Pods wanted.
    pub desired: i32,
    /// Pods ready.
    pub ready: i32,
    /// Pods that have been ready for long enough.
    pub available: i32,
    /// Restate's words where it refused the version for good.
    pub rejection: Option<Rejection>,
    /// When Restate was asked for what is shown here.
    pub observed_at: Option<Timestamp>,
}

/// A service of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewedService {
    /// Its name.
    pub name: ServiceName,
    /// The revision that this version has of it.
    pub revision: u32,
    /// Whether new calls to it go to this version.
    pub latest: bool,
}

/// What people are shown of each version, the newest first.
///
/// Works for any stored object, also for one that cannot be acted on: no version of such a one counts as wanted.
pub fn views(seen: &Seen, now: Timestamp) -> Vec<View> {
    let survey = Survey::of(seen, now);
    let spec = match validate(&seen.object, &seen.dns_suffix) {
        Ok(Valid::Spec(spec)) => Some(spec),
        Ok(Valid::Held(_)) | Err(_) => None,
    };
    let target = spec.as_ref().map(|spec| survey.target(spec));
    views_of(&survey, spec.as_deref(), target.as_ref())
}

/// The same for a survey that has been made already.
pub(super) fn views_of(survey: &Survey<'_>, spec: Option<&Spec>, target: Option<&Target<'_>>) -> Vec<View> {
    let wanted = target.and_then(|target| target.version).map(|version| &version.uid);
    survey.versions.iter().map(|version| view(survey, spec, version, wanted == Some(&version.uid))).collect()
}

fn view(survey: &Survey<'_>, spec: Option<&Spec>, version: &Version, wanted: bool) -> View {
    let id = survey.id(version);
    let registered = id.as_ref().and_then(|id| survey.knowledge.registered(id));
    let delay = drain_delay_of(&survey.seen.object.spec.restate);
    let fate = survey.fate(version, delay);
    let (state, kept_because) =
        if wanted { wanted_state(survey, version) } else { other_state(survey, version, fate) };
    let path = spec.filter(|_| wanted).and_then(|spec| spec.identity.service_path.as_deref());
    let suffix = &survey.seen.dns_suffix;
    View {
        name: version.name.clone(),
        namespace: version.namespace.clone(),
        uid: version.uid.clone(),
        hash: version.hash.clone(),
        created_at: version.created_at,
        registered_at: version.registered_at,
        wanted,
        endpoint: registered.map_or_else(
            || endpoint(&version.name, &version.namespace, suffix, path),
            |it| it.endpoint.clone(),
        ),
        images: version.images.clone(),
        services: id.as_ref().map(|id| services(survey, id)).unwrap_or_default(),
        remove_at: shown_stamp(version, wanted, fate),
        pinned: id.as_ref().and_then(|id| pinned(survey, id)),
        unpinned: id.as_ref().and_then(|id| survey.knowledge.unpinned(&[id.clone()].into())),
        desired: version.desired,
        ready: version.ready,
        available: version.available,
        rejection: survey.rejection(version).cloned(),
        observed_at: survey
            .knowledge
            .registry
            .map(|reading| survey.knowledge.asked_at().unwrap_or(reading.asked_at)),
        deployment_id: id,
        state,
        kept_because,
    }
}

/// The stamp, where it still means something.
fn shown_stamp(version: &Version, wanted: bool, fate: Fate) -> Option<Timestamp> {
    let counts = !wanted && matches!(fate, Fate::Drains { .. });
    version.stamp.filter(|_| counts).map(|stamp| stamp.at)
}

fn pinned(survey: &Survey<'_>, id: &DeploymentId) -> Option<Counts> {
    survey.knowledge.usage?.value.load(id).map(|load| load.pinned)
}

fn services(survey: &Survey<'_>, id: &DeploymentId) -> Vec<ViewedService> {
    let offered = survey.knowledge.registered(id).into_iter().flat_map(|it| &it.services);
    let mut services: BTreeMap<_, _> = offered.map(|it| (it.name.clone(), (it.revision, false))).collect();
    for routed in survey.knowledge.routed(id) {
        services.insert(routed.name.clone(), (routed.revision, true));
    }
    services.into_iter().map(|(name, (revision, latest))| ViewedService { name, revision, latest }).collect()
}

fn wanted_state(survey: &Survey<'_>, version: &Version) -> (VersionState, Vec<KeptBecause>) {
    if survey.rejection(version).is_some() {
        return (VersionState::Rejected, Vec::new());
    }
    let routed = survey.id(version).map_or(0, |id| survey.knowledge.routed(&id).len());
    match survey.routing(version) {
        Routing::Routed => (VersionState::Current, vec![kept(KeptReason::Routed, None)]),
        Routing::Elsewhere(_) | Routing::Foreign(_) if routed > 0 => {
            (VersionState::Current, vec![kept(KeptReason::Routed, None)])
        }
        Routing::Unregistered { .. } | Routing::Elsewhere(_) | Routing::Foreign(_) => {
            (VersionState::Pending, Vec::new())
        }
        Routing::Unverified | Routing::Missing => {
            (VersionState::Unknown, vec![kept(KeptReason::UsageUnknown, None)])
        }
    }
}

fn other_state(survey: &Survey<'_>, version: &Version, fate: Fate) -> (VersionState, Vec<KeptBecause>) {
    let (usage, drain) = match fate {
        Fate::Rests => return (VersionState::Retired, vec![kept(KeptReason::RevisionHistory, None)]),
        Fate::Abandoned => return (VersionState::Drained, Vec::new()),
        Fate::Drains { usage, drain } => (usage, drain),
    };
    match usage {
        Usage::Unknown => unknown_state(survey, version),
        Usage::Active { routed, load } => {
            let state = if routed > 0 { VersionState::Current } else { VersionState::Draining };
            let unpinned = survey.id(version).and_then(|id| survey.knowledge.unpinned(&[id].into()));
            let causes = [
                (KeptReason::Routed, u64::from(routed > 0), false),
                (KeptReason::PinnedInvocations, load.pinned.total(), true),
                (KeptReason::UnpinnedInvocations, unpinned.map_or(0, |counts| counts.total()), true),
                (KeptReason::AttemptInFlight, load.in_flight_unpinned, true),
            ];
            let holding = causes.into_iter().filter(|(_, count, _)| *count > 0);
            (state, holding.map(|(reason, count, counted)| kept(reason, counted.then_some(count))).collect())
        }
        Usage::Idle { .. } => (VersionState::Drained, vec![delayed(drain)]),
    }
}

/// Routing alone may be known where usage is not.
fn unknown_state(survey: &Survey<'_>, version: &Version) -> (VersionState, Vec<KeptBecause>) {
    let routed = survey.id(version).is_some_and(|id| !survey.knowledge.routed(&id).is_empty());
    if routed {
        return (VersionState::Current, vec![kept(KeptReason::Routed, None)]);
    }
    (VersionState::Unknown, vec![kept(KeptReason::UsageUnknown, None)])
}

fn delayed(drain: Drain) -> KeptBecause {
    let until = match drain {
        Drain::Begin { until } | Drain::Wait { until } => Some(Time(until)),
        Drain::Hold | Drain::Keep | Drain::Retire { .. } => None,
    };
    KeptBecause { reason: KeptReason::DrainDelay, count: None, until }
}

fn kept(reason: KeptReason, count: Option<u64>) -> KeptBecause {
    let count = count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    KeptBecause { reason, count, until: None }
}
