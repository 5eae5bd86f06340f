//! What Restate says about a version: where it routes, and whether work is left.
//!
//! Stage in the flow: plan. Invariants: unknown is not zero. A reading counts only if it was asked after the last
//! registration of ours and is not too old to act on; a row that is missing for a recorded id proves nothing. Not for
//! deciding what follows.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use restate_model::{
    Counts, DeploymentId, Load, Reading, Registered, Registry, Service, ServiceName, Snapshot, UsageReport,
};

use super::seen::Next;
use super::target;
use super::version::Version;

/// An answer that is older than this is not acted on, however it came about that nobody asked again. Longer than
/// the pauses between usage queries on a large Restate (an answer of 10 s at a duty cycle of 2 %).
pub const MAX_AGE: SignedDuration = SignedDuration::from_mins(10);

/// What may be believed of a snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Knowledge<'a> {
    /// Routing, asked after the last registration of ours.
    pub(super) registry: Option<&'a Reading<Arc<Registry>>>,
    /// Work, asked after the last registration of ours.
    pub(super) usage: Option<&'a Reading<UsageReport>>,
    now: Timestamp,
}

/// Whether a version is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It cannot be told.
    Unknown,
    /// It is: Restate routes to it, or work is left.
    Active {
        /// How many of its services are routed to it.
        routed: usize,
        /// Work that nobody else can do.
        load: Load,
    },
    /// It is not, as of this moment.
    Idle {
        /// When the earlier of the two questions was asked.
        asked_at: Timestamp,
    },
}

impl<'a> Knowledge<'a> {
    /// What of `snapshot` may be believed, given the versions that exist.
    pub(super) fn of(snapshot: Option<&'a Snapshot>, versions: &[Version], now: Timestamp) -> Self {
        let last_registration = versions.iter().filter_map(|version| version.registered_at).max();
        let believed =
            |asked_at: Timestamp| asked_at <= now && last_registration.is_none_or(|last| asked_at > last);
        Self {
            registry: snapshot
                .and_then(|it| it.registry.as_ref())
                .filter(|reading| believed(reading.asked_at)),
            usage: snapshot.and_then(|it| it.usage.as_ref()).filter(|reading| believed(reading.asked_at)),
            now,
        }
    }

    /// Restate's id of the version: as recorded, else the one that lives at its address.
    pub(super) fn id(&self, version: &Version, dns_suffix: &str) -> Option<DeploymentId> {
        version
            .deployment_id
            .clone()
            .or_else(|| self.at_address(version, dns_suffix).map(|(id, _)| id.clone()))
    }

    /// What Restate has at the version's address.
    pub(super) fn at_address(
        &self,
        version: &Version,
        dns_suffix: &str,
    ) -> Option<(&'a DeploymentId, &'a Registered)> {
        let deployments = &self.registry?.value.deployments;
        let mut near = deployments
            .iter()
            .filter(|(_, known)| target::may_be_at(&known.endpoint, &version.name))
            .peekable();
        near.peek()?;
        let address = target::origin(&target::endpoint(&version.name, &version.namespace, dns_suffix, None))?;
        let (id, known) =
            near.find(|(_, known)| target::origin(&known.endpoint).as_ref() == Some(&address))?;
        Some((id, known.as_ref()))
    }

    /// What Restate has under this id.
    pub(super) fn registered(&self, id: &DeploymentId) -> Option<&'a Registered> {
        self.registry?.value.deployments.get(id).map(Arc::as_ref)
    }

    /// The services that Restate routes to this id.
    pub(super) fn routed(&self, id: &DeploymentId) -> Vec<&'a Service> {
        let services = self.registry.into_iter().flat_map(|reading| reading.value.services.values());
        services.map(Arc::as_ref).filter(|service| service.deployment == *id).collect()
    }

    /// Whether the version with this id is in use.
    pub(super) fn usage(&self, id: &DeploymentId) -> Usage {
        let (Some(registry), Some(usage)) = (self.registry, self.usage) else {
            return Usage::Unknown;
        };
        let asked_at = registry.asked_at.min(usage.asked_at);
        let named = registry.value.deployments.contains_key(id);
        let Some(load) = usage.value.load(id).filter(|_| named && !self.is_stale(asked_at)) else {
            return Usage::Unknown;
        };
        // Two answers of different age: what either of them routes to is in use.
        let routed = self.routed(id).len().max(usize::from(usage.value.routed.contains(id)));
        if routed > 0 || !load.is_idle() {
            return Usage::Active { routed, load };
        }
        Usage::Idle { asked_at }
    }

    /// Which of both answers would tell more about it, or the same as of a later moment.
    pub(super) fn lacking(&self, id: &DeploymentId) -> Next {
        let named = self.registry.filter(|reading| reading.value.deployments.contains_key(id));
        let work = self.usage.filter(|reading| reading.value.load(id).is_some());
        match (named, work) {
            (None, _) => Next::Registry,
            (Some(registry), Some(usage)) if registry.asked_at < usage.asked_at => Next::Registry,
            (Some(_), Some(_) | None) => Next::Usage,
        }
    }

    /// Whether a version that has no id is known to Restate nevertheless; [`Usage::Idle`] if it is not.
    pub(super) fn absence(&self, version: &Version, dns_suffix: &str) -> Usage {
        match self.registry {
            Some(reading)
                if !self.is_stale(reading.asked_at) && self.at_address(version, dns_suffix).is_none() =>
            {
                Usage::Idle { asked_at: reading.asked_at }
            }
            Some(_) | None => Usage::Unknown,
        }
    }

    /// Work that is pinned to nothing and would go to the services that are routed to these ids.
    pub(super) fn unpinned(&self, ids: &BTreeSet<DeploymentId>) -> Option<Counts> {
        let (registry, usage) = (&self.registry?.value, &self.usage?.value);
        let is_ours =
            |name: &ServiceName| registry.services.get(name).is_some_and(|it| ids.contains(&it.deployment));
        let ours = usage.unpinned.iter().filter(|(name, _)| is_ours(name));
        Some(ours.fold(Counts::default(), |sum, (_, counts)| sum.plus(*counts)))
    }

    /// When the older of the two readings was asked.
    pub(super) fn asked_at(&self) -> Option<Timestamp> {
        Some(self.registry?.asked_at.min(self.usage?.asked_at))
    }

    /// Whether an answer is too old to act on.
    pub(super) fn is_stale(&self, asked_at: Timestamp) -> bool {
        self.now.duration_since(asked_at) > MAX_AGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A registry that says again what it said before, beside an answer that cannot.
    #[test]
    fn where_either_answer_routes_to_is_in_use() {
        let (id, now) = (DeploymentId::from("dp_1"), Timestamp::UNIX_EPOCH);
        let registered =
            Registered { endpoint: String::new(), created_at: None, services: Vec::new(), http11: false };
        let registry =
            Registry { deployments: [(id.clone(), Arc::new(registered))].into(), ..Registry::default() };
        let usage = UsageReport { known: [id.clone()].into(), ..UsageReport::default() };
        let snapshot = |usage: UsageReport| Snapshot {
            registry: Some(Reading { asked_at: now, value: Arc::new(registry.clone()) }),
            usage: Some(Reading { asked_at: now, value: usage }),
            failure: None,
        };
        let said = |usage: UsageReport| Knowledge::of(Some(&snapshot(usage)), &[], now).usage(&id);
        assert_eq!(said(usage.clone()), Usage::Idle { asked_at: now });
        let routed = UsageReport { routed: [id.clone()].into(), ..usage };
        assert!(matches!(said(routed), Usage::Active { routed: 1, .. }));
    }
}
