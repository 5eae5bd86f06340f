//! Which objects a new answer of Restate concerns. Many RestateDeployments share one Restate, and most of what it
//! says concerns one of them.
//!
//! Stage in the flow: between the poller and the queue. Invariant: where a difference does not concern an object,
//! both answers lead to the same decision about it, their moments aside. Not for what follows from an answer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use restate_model::{DeploymentId, Failure, Registered, Registry, ServiceName, Snapshot, UsageReport};

use super::survey::Survey;
use super::target;

/// What of a Restate's answers one object depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    name: String,
    namespace: String,
    dns_suffix: String,
    ids: BTreeSet<DeploymentId>,
    registered_at: Option<Timestamp>,
}

impl Interest {
    pub(super) fn of(survey: &Survey<'_>) -> Self {
        let meta = &survey.seen.object.metadata;
        let versions = &survey.versions;
        Self {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            dns_suffix: survey.seen.dns_suffix.clone(),
            ids: versions.iter().filter_map(|version| version.deployment_id.clone()).collect(),
            registered_at: versions.iter().filter_map(|version| version.registered_at).max(),
        }
    }

    fn is_at(&self, endpoint: &str) -> bool {
        target::version_at(endpoint, &self.name, &self.namespace, &self.dns_suffix).is_some()
    }
}

/// What one answer says otherwise than the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Nobody is left out: it began or ceased to answer, or what it knew is gone.
    everything: bool,
    ids: BTreeSet<DeploymentId>,
    endpoints: BTreeSet<String>,
}

impl Difference {
    /// What `after` says otherwise than `before`.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let (empty, none) = (Registry::default(), UsageReport::default());
        let registries = [before, after].map(|it| it.registry.as_ref().map_or(&empty, |it| &it.value));
        let reports = [before, after].map(|it| it.usage.as_ref().map_or(&none, |it| &it.value));
        let ids = touched(registries, reports);
        let known = ids.iter().flat_map(|id| registries.map(|it| it.deployments.get(id))).flatten();
        Self {
            everything: answered(before) != answered(after),
            endpoints: known.map(|registered| registered.endpoint.clone()).collect(),
            ids: ids.into_iter().cloned().collect(),
        }
    }

    /// Whether a decision about an object with this interest may be another one now.
    pub fn concerns(&self, interest: &Interest) -> bool {
        self.everything
            || !self.ids.is_disjoint(&interest.ids)
            || self.endpoints.iter().any(|endpoint| interest.is_at(endpoint))
    }
}

/// What is known at all, and how a question failed.
fn answered(snapshot: &Snapshot) -> impl PartialEq + use<> {
    let failure = snapshot.failure.as_ref().map(|Failure { kind, at: _, message: _ }| *kind);
    (snapshot.registry.is_some(), snapshot.usage.is_some(), failure)
}

/// Every deployment of which something is said otherwise: itself, its work, or whom one of its services goes to.
fn touched<'s>(registries: [&'s Registry; 2], reports: [&'s UsageReport; 2]) -> BTreeSet<&'s DeploymentId> {
    let mut ids: BTreeSet<_> = differing(registries.map(|it| &it.deployments)).collect();
    let mut services: BTreeSet<_> = differing(registries.map(|it| &it.services)).collect();
    services.extend(differing(reports.map(|it| &it.unpinned)));
    services.extend(routed_to(registries, &ids));
    ids.extend(work(reports));
    for registry in registries {
        ids.extend(services.iter().filter_map(|name| Some(&registry.services.get(*name)?.deployment)));
        if !services.is_empty() {
            ids.extend(registry.deployments.iter().filter(|it| offers(it.1, &services)).map(|it| it.0));
        }
    }
    ids
}

/// The services that go to one of these.
fn routed_to<'s>(
    registries: [&'s Registry; 2],
    ids: &BTreeSet<&DeploymentId>,
) -> impl Iterator<Item = &'s ServiceName> {
    let services = registries.into_iter().flat_map(|it| &it.services);
    services.filter(|(_, service)| ids.contains(&service.deployment)).map(|(name, _)| name)
}

fn offers(registered: &Registered, services: &BTreeSet<&ServiceName>) -> bool {
    registered.services.iter().any(|offered| services.contains(&offered.name))
}

/// Those whose work is said to be another one, or of which it is not told whether there is any.
fn work([before, after]: [&UsageReport; 2]) -> impl Iterator<Item = &DeploymentId> {
    let UsageReport { known, routed, deployments, unpinned: _, handlers: _ } = after;
    let loads = differing([&before.deployments, deployments]);
    let named = before.known.symmetric_difference(known);
    named.chain(before.routed.symmetric_difference(routed)).chain(loads)
}

/// The keys of what is missing in one of both, or is not the same.
fn differing<K: Ord, V: PartialEq>([before, after]: [&BTreeMap<K, V>; 2]) -> impl Iterator<Item = &K> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    gone.chain(after.iter().filter(|(key, value)| before.get(*key) != Some(*value)).map(|(key, _)| key))
}
