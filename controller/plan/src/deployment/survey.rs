//! Everything that was seen, brought together: versions, what may be believed of Restate's answers, which version is
//! wanted, and where that version stands.
//!
//! Stage in the flow: plan, before any decision. Invariant: planning, status and views read the same survey, so that
//! what people are shown is what will happen. Not for steps.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use restate_crd::label::OWNED_BY;
use restate_crd::{ConditionStatus, ConditionType};
use restate_model::{DeploymentId, Reading, Registered, Registry, ServiceName};

use super::drain::{Drain, drain};
use super::hash::TemplateHash;
use super::seen::{Next, Seen};
use super::usage::{Knowledge, Usage};
use super::validate::Spec;
use super::version::{Rejection, Version, found};
use super::{metadata, plan, target};
use crate::{Routes, Uid};

/// How many taken names are tried in one pass.
const MOST_COLLISIONS: i32 = 32;
/// How long a version stays that Restate never knew: longer than a registration can be under way.
const UNREGISTERED_DELAY: SignedDuration = SignedDuration::from_secs(30);

/// What is known in one pass.
#[derive(Clone, Debug)]
pub(super) struct Survey<'a> {
    pub(super) seen: &'a Seen,
    pub(super) now: Timestamp,
    /// The newest first.
    pub(super) versions: Vec<Version>,
    pub(super) knowledge: Knowledge<'a>,
}

/// The version that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target<'s> {
    pub(super) name: String,
    pub(super) hash: TemplateHash,
    pub(super) collisions: Option<i32>,
    /// Its replica set, once it exists.
    pub(super) version: Option<&'s Version>,
}

/// Where a version stands with Restate.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Routing {
    /// No id is recorded. Where Restate knows its address and routes elsewhere among ours, that takes force.
    Unregistered { elsewhere: Option<Routes> },
    /// Registered, and nothing newer says where Restate routes.
    Unverified,
    /// Registered once, and Restate does not know it any more.
    Missing,
    /// Registered, and Restate routes some of its services to others of ours: all of them, to these.
    Elsewhere(Routes),
    /// Registered, and Restate routes these services to somebody else's deployment.
    Foreign(Vec<(ServiceName, DeploymentId)>),
    /// Restate routes all of its services to it.
    Routed,
}

/// What becomes of a version that is not the wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is kept as history, or is being deleted by somebody.
    Rests,
    /// It drains.
    Drains { usage: Usage, drain: Drain },
    /// People gave it up.
    Abandoned,
}

impl<'a> Survey<'a> {
    pub(super) fn of(seen: &'a Seen, now: Timestamp) -> Self {
        let owner = seen.object.metadata.uid.clone().map(Uid);
        let observe = |set: &ReplicaSet| owner.as_ref().and_then(|owner| Version::observe(set, owner));
        let mut versions: Vec<_> = seen.replica_sets.iter().filter_map(|set| observe(set)).collect();
        versions.sort_by(|one, other| (other.created_at, &other.name).cmp(&(one.created_at, &one.name)));
        if let Some(admin) = plan::admin(&seen.object, &seen.dns_suffix) {
            for version in &mut versions {
                version.seen_from(admin.key.as_str());
            }
        }
        let knowledge = Knowledge::of(seen.snapshot.as_deref(), &versions, now);
        place(&mut versions, seen);
        Self { seen, now, versions, knowledge }
    }

    /// The version that `spec` wants: an existing one of the same content, else the first name that is free.
    pub(super) fn target(&self, spec: &Spec) -> Target<'_> {
        let counted = self.seen.object.status.as_ref().and_then(|status| status.collision_count);
        let until = counted.unwrap_or(0).max(0);
        let known = (0..=until).map(|count| (count > 0).then_some(count));
        let reused =
            known.map(|count| self.candidate(spec, count)).find(|candidate| candidate.version.is_some());
        let free = (until..=until.saturating_add(MOST_COLLISIONS)).map(|count| (count > 0).then_some(count));
        let next = || {
            let candidates = free.map(|count| self.candidate(spec, count));
            let mut usable = candidates.filter(|it| it.version.is_some() || !self.is_taken(&it.name));
            usable.next().unwrap_or_else(|| self.candidate(spec, counted))
        };
        let target = reused.unwrap_or_else(next);
        Target { collisions: target.collisions.max(counted), ..target }
    }

    fn candidate(&self, spec: &Spec, collisions: Option<i32>) -> Target<'_> {
        let hash = TemplateHash::of(&spec.identity, collisions);
        let name = format!("{}-{hash}", spec.name);
        let same = |version: &&Version| {
            version.name == name
                && version.hash == hash
                && version.text.as_deref() == Some(&*spec.identity.text)
        };
        Target { version: self.versions.iter().find(same), name, hash, collisions }
    }

    /// Whether a replica set or a Service has this name that is not the version that we would make.
    fn is_taken(&self, name: &str) -> bool {
        let is_ours = |uid: &Uid| self.versions.iter().any(|version| version.uid == *uid);
        let service = found(&self.seen.services, name).map(|service| &service.metadata);
        let is_foreign = |meta: &ObjectMeta| {
            let mut owners = meta.owner_references.iter().flatten();
            !owners.any(|owner| is_ours(&Uid(owner.uid.clone()))) && !self.is_left_over(meta)
        };
        service.is_some_and(is_foreign) || found(&self.seen.replica_sets, name).is_some()
    }

    /// A Service of a version of ours whose replica set is gone already: it goes by itself.
    fn is_left_over(&self, service: &ObjectMeta) -> bool {
        let owned_by = metadata::label(service, OWNED_BY);
        owned_by.is_some() && owned_by == self.seen.object.metadata.name.as_deref()
    }

    /// Restate's id of a version.
    pub(super) fn id(&self, version: &Version) -> Option<DeploymentId> {
        self.knowledge.id(version, &self.seen.dns_suffix)
    }

    /// What a version offers, unless all goes with the object.
    pub(super) fn offers(&self, version: &Version) -> Vec<ServiceName> {
        if self.seen.object.metadata.deletion_timestamp.is_some() {
            return Vec::new();
        }
        let registered = self.id(version).and_then(|id| self.knowledge.registered(&id));
        registered.into_iter().flat_map(|it| &it.services).map(|service| service.name.clone()).collect()
    }

    /// Ids that Restate has for versions of this object.
    pub(super) fn ids(&self) -> BTreeSet<DeploymentId> {
        self.versions.iter().filter_map(|version| self.id(version)).collect()
    }

    /// Where the wanted version stands.
    pub(super) fn routing(&self, version: &Version) -> Routing {
        let Some(id) = &version.deployment_id else {
            let known = self.knowledge.at_address(version, &self.seen.dns_suffix);
            let elsewhere = known.and_then(|(id, it)| match self.classify(id, it) {
                Routing::Elsewhere(routes) => Some(routes),
                _ => None,
            });
            return Routing::Unregistered { elsewhere };
        };
        if self.knowledge.registry.is_none() {
            return if self.was_verified(version) { Routing::Routed } else { Routing::Unverified };
        }
        self.knowledge.registered(id).map_or(Routing::Missing, |registered| self.classify(id, registered))
    }

    fn classify(&self, id: &DeploymentId, registered: &Registered) -> Routing {
        let Some(registry) = self.knowledge.registry else { return Routing::Unverified };
        let (mut elsewhere, mut foreign) = (false, Vec::new());
        for offered in &registered.services {
            // An answer that contradicts itself was overtaken by a change: the next one tells.
            let Some(service) = registry.value.services.get(&offered.name) else {
                return Routing::Unverified;
            };
            let Some(other) = registry.value.deployments.get(&service.deployment) else {
                return Routing::Unverified;
            };
            match service.deployment == *id {
                true => {}
                false if self.is_ours(&service.deployment, other) => elsewhere = true,
                false => foreign.push((offered.name.clone(), service.deployment.clone())),
            }
        }
        match (foreign.is_empty(), elsewhere) {
            (false, _) => Routing::Foreign(foreign),
            (true, true) => Routing::Elsewhere(routes(registry, registered)),
            (true, false) => Routing::Routed,
        }
    }

    /// Whether a deployment is a version of this object, be it that its replica set is gone.
    fn is_ours(&self, id: &DeploymentId, registered: &Registered) -> bool {
        let meta = &self.seen.object.metadata;
        let (name, namespace) =
            (meta.name.as_deref().unwrap_or_default(), meta.namespace.as_deref().unwrap_or_default());
        self.versions.iter().any(|version| version.deployment_id.as_ref() == Some(id))
            || target::version_at(&registered.endpoint, name, namespace, &self.seen.dns_suffix).is_some()
    }

    /// Whether the stored status says that Restate routed to this version after the last registration of ours: what
    /// a controller that has just started may rest on until it is contradicted.
    fn was_verified(&self, version: &Version) -> bool {
        let Some(status) = &self.seen.object.status else { return false };
        let Some(registered) = status.conditions.get(ConditionType::Registered) else { return false };
        let same =
            status.deployment_id.as_deref() == version.deployment_id.as_ref().map(DeploymentId::as_str);
        let said = registered.status == ConditionStatus::True.as_ref();
        let Some(since) = registered.last_transition_time.as_ref().map(|time| time.0) else { return false };
        // A condition's time has whole seconds. That this version's own registration came first is sure, as nothing
        // verifies one that is not recorded; that of another within the same second may have come later.
        let covers = |other: &Version| {
            let second = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
            other.registered_at.is_none_or(|at| since > at || (other == version && since >= second(at)))
        };
        same && said && self.versions.iter().all(covers)
    }

    /// Why Restate refused the version, if that still holds for what is stored now.
    pub(super) fn rejection<'v>(&self, version: &'v Version) -> Option<&'v Rejection> {
        let generation = self.seen.object.metadata.generation;
        version.rejection.as_ref().filter(|rejection| Some(rejection.generation) == generation)
    }

    /// What becomes of a version that is not the wanted one.
    pub(super) fn fate(&self, version: &Version, delay: SignedDuration) -> Fate {
        if version.deleting || self.is_history(version) {
            return Fate::Rests;
        }
        let id = self.id(version);
        let usage = match self.registration(version, id.as_ref()) {
            Some(id) => self.knowledge.usage(id),
            None => self.knowledge.absence(version, &self.seen.dns_suffix),
        };
        if version.abandoned && self.is_known_unrouted(id.as_ref()) {
            return Fate::Abandoned;
        }
        if !version.former.is_empty() {
            // Nobody is asked who could tell.
            return Fate::Drains { usage: Usage::Unknown, drain: Drain::Hold };
        }
        // What an earlier controller wrote on a version without pods, or on one that is not recorded as registered,
        // is not relied on: it gets its own delay.
        let relied_on = |ours: bool| ours || (version.deployment_id.is_some() && version.desired > 0);
        let stamp = version.stamp.filter(|stamp| relied_on(stamp.ours)).map(|stamp| stamp.at);
        let delay = if id.is_some() { delay } else { UNREGISTERED_DELAY };
        Fate::Drains { usage, drain: drain(usage, stamp, delay, self.now) }
    }

    /// This id of a version, unless we have taken the registration away.
    fn registration<'i>(&self, version: &Version, id: Option<&'i DeploymentId>) -> Option<&'i DeploymentId> {
        id.filter(|id| !self.is_deregistered(version, id))
    }

    /// Which answer would tell whether a version is in use, or tell it as of a later moment.
    pub(super) fn lacking(&self, version: &Version) -> Next {
        let id = self.id(version);
        self.registration(version, id.as_ref()).map_or(Next::Registry, |id| self.knowledge.lacking(id))
    }

    /// Whether a version neither runs nor is registered. A registration that a crash kept from being recorded counts;
    /// what an answer says that was asked before we took the registration away does not.
    pub(super) fn is_history(&self, version: &Version) -> bool {
        let taken_away = |id: DeploymentId| version.deregistering.as_ref() == Some(&id);
        version.is_retired() && self.id(version).is_none_or(taken_away)
    }

    /// Whether we were about to deregister this id, and Restate does not know it any more.
    pub(super) fn is_deregistered(&self, version: &Version, id: &DeploymentId) -> bool {
        let intended = version.deregistering.as_ref() == Some(id);
        intended && self.knowledge.registry.is_some() && self.knowledge.registered(id).is_none()
    }

    /// Whether what is known was asked after the intent to deregister the version was written, if there is one.
    pub(super) fn outdates_intent(&self, version: &Version) -> bool {
        let since = version.deregistering_since;
        version.deregistering.is_some()
            && self
                .knowledge
                .registry
                .is_some_and(|reading| since.is_none_or(|since| reading.asked_at > since))
    }

    /// Whether a fresh answer says that nothing is routed to this id.
    fn is_known_unrouted(&self, id: Option<&DeploymentId>) -> bool {
        let fresh = self.knowledge.registry.is_some_and(|reading| !self.knowledge.is_stale(reading.asked_at));
        fresh && id.is_none_or(|id| self.knowledge.routed(id).is_empty())
    }
}

/// An id that somebody wrote on a replica set of his proves nothing: where Restate calls it elsewhere it is no id of the
/// version, and what it has there is not known. An id is Restate's own: who knows one of another address is the same.
fn place(versions: &mut [Version], seen: &Seen) {
    let Some(registry) = seen.snapshot.as_ref().and_then(|snapshot| snapshot.registry.as_ref()) else {
        return;
    };
    let called = |id: &DeploymentId| registry.value.deployments.get(id).map(|it| it.endpoint.as_str());
    for Version { name, namespace, deployment_id, former, .. } in versions {
        let is_here = |endpoint: &str| target::is_service(endpoint, name, namespace);
        let elsewhere = deployment_id.as_ref().and_then(called).filter(|endpoint| !is_here(endpoint));
        if let Some((endpoint, id)) = elsewhere.and_then(|endpoint| Some((endpoint, deployment_id.take()?))) {
            former.insert(endpoint.to_owned(), id);
        }
        let same = former.extract_if(.., |_, id| called(id).is_some_and(is_here)).next();
        if let Some((_, id)) = same {
            deployment_id.get_or_insert(id);
        }
    }
}

/// Where each of its services goes.
fn routes(registry: &Reading<Arc<Registry>>, registered: &Registered) -> Routes {
    let services = registered.services.iter().filter_map(|it| registry.value.services.get(&it.name));
    services.map(|service| (service.name.clone(), service.deployment.clone())).collect()
}
