//! `restatedeployments/invocations`: unfinished invocations by version, handler and state.
//!
//! A namespace sees only what its own deployment serves: pinned to one of its versions, or unpinned and of a service
//! that is routed to one of them (Z12).

use std::collections::BTreeMap;

use apiserver_machinery::resource::{Call, Given, ReadableSubresource};
use apiserver_machinery::status::Status;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use restate_apiservice::{
    Counts, HandlerInvocations, RestateDeploymentInvocations, RestateDeploymentInvocationsStatus,
};
use restate_model::{DeploymentId, Registry, Snapshot, UsageReport};

use super::version::counts;
use crate::atlas::is_service;
use crate::restates::Restates;
use crate::world::World;

/// The counts.
pub(crate) struct Invocations {
    pub(crate) world: World,
    pub(crate) restates: Restates,
}

impl ReadableSubresource for Invocations {
    type Object = RestateDeploymentInvocations;

    async fn get(&self, call: &Call) -> Result<Given<Self::Object>, Status> {
        let found = self.world.deployment(call.namespace().unwrap_or_default(), call.name());
        let parent = found.ok_or_else(|| call.not_found())?;
        let admin = self.world.admin(&parent).ok_or_else(|| call.not_found())?;
        self.restates.recent(std::slice::from_ref(&admin)).await;
        let snapshot = self.restates.snapshot(&admin).unwrap_or_default();
        let views = self.world.views(&parent, Some(snapshot.clone()), Timestamp::now());
        // An id that somebody wrote on an object proves nothing; the address that Restate calls does (Z12).
        let own = views.into_iter().filter(|view| is_service(&view.endpoint, &view.name, &view.namespace));
        let versions = own.filter_map(|view| Some((view.deployment_id?, view.name))).collect();
        let status = status(&snapshot, &versions).ok_or_else(|| self.restates.no_answer(&admin))?;
        let metadata = ObjectMeta {
            name: parent.metadata.name.clone(),
            namespace: parent.metadata.namespace.clone(),
            ..ObjectMeta::default()
        };
        Ok(Given::One(Box::new(RestateDeploymentInvocations { metadata, status })))
    }
}

type Versions = BTreeMap<DeploymentId, String>;

/// None where Restate has not told yet: unknown is not zero.
fn status(snapshot: &Snapshot, versions: &Versions) -> Option<RestateDeploymentInvocationsStatus> {
    let usage = snapshot.usage.as_ref()?;
    let registry = &snapshot.registry.as_ref()?.value;
    let handlers = handlers(&usage.value, registry, versions);
    let total = handlers.iter().map(|handler| handler.invocations.total()).sum();
    Some(RestateDeploymentInvocationsStatus { observed_at: Some(usage.asked_at), total, handlers })
}

fn handlers(usage: &UsageReport, registry: &Registry, versions: &Versions) -> Vec<HandlerInvocations> {
    let mut found: BTreeMap<(String, String, String), Counts> = BTreeMap::new();
    for ((pinned, service, handler), states) in &usage.handlers {
        let routed = || registry.services.get(service).map(|service| &service.deployment);
        let Some(version) = pinned.as_ref().or_else(routed).and_then(|id| versions.get(id)) else { continue };
        let none = Some(restate_model::Counts::default());
        let both = if pinned.is_some() { (Some(*states), none) } else { (none, Some(*states)) };
        let Some(more) = counts(both.0, both.1) else { continue };
        let key = (version.clone(), service.to_string(), handler.clone());
        found.entry(key).and_modify(|counts| *counts = sum(counts, &more)).or_insert(more);
    }
    let entry = |((version, service, handler), invocations)| HandlerInvocations {
        version,
        service,
        handler,
        invocations,
    };
    found.into_iter().map(entry).collect()
}

fn sum(one: &Counts, other: &Counts) -> Counts {
    Counts {
        running: one.running + other.running,
        backing_off: one.backing_off + other.backing_off,
        suspended: one.suspended + other.suspended,
        paused: one.paused + other.paused,
        ready: one.ready + other.ready,
        inboxed: one.inboxed + other.inboxed,
        scheduled: one.scheduled + other.scheduled,
        other: one.other + other.other,
        pinned: one.pinned + other.pinned,
        unpinned: one.unpinned + other.unpinned,
    }
}

#[cfg(test)]
mod tests {
    use restate_model::{Reading, Service, ServiceKind, ServiceName, Status as State};

    use super::*;

    fn states(running: u64) -> restate_model::Counts {
        let mut counts = restate_model::Counts::default();
        counts.add(State::Running, running);
        counts
    }

    fn snapshot() -> Snapshot {
        let service = |name: &str, id: &str| Service {
            name: name.into(),
            revision: 1,
            deployment: id.into(),
            kind: ServiceKind::Service,
            public: true,
            handlers: vec![],
            idempotency_retention: None,
            workflow_retention: None,
        };
        let services = [service("Mine", "dp_new"), service("Theirs", "dp_other")];
        let registry = Registry {
            services: services.into_iter().map(|service| (service.name.clone(), service.into())).collect(),
            ..Registry::default()
        };
        let rows = [
            (Some("dp_old"), "Mine", "run", 3),
            (Some("dp_new"), "Mine", "run", 1),
            (None, "Mine", "run", 5),
            (None, "Theirs", "run", 7),
            (Some("dp_other"), "Theirs", "run", 11),
        ];
        let handlers = rows.map(|(id, service, handler, count)| {
            ((id.map(DeploymentId::from), ServiceName::from(service), handler.to_owned()), states(count))
        });
        let usage = UsageReport { handlers: handlers.into_iter().collect(), ..UsageReport::default() };
        let asked_at = "2026-11-22T12:00:00Z".parse().unwrap();
        Snapshot {
            registry: Some(Reading { asked_at, value: registry.into() }),
            usage: Some(Reading { asked_at, value: usage }),
            failure: None,
        }
    }

    fn versions() -> Versions {
        [("dp_old", "greeter-1"), ("dp_new", "greeter-2")]
            .map(|(id, name)| (id.into(), name.to_owned()))
            .into()
    }

    /// Z12: what other deployments serve is not shown.
    #[test]
    fn only_what_the_deployment_itself_serves_is_counted() {
        let status = status(&snapshot(), &versions()).unwrap();
        let rows: Vec<_> = status
            .handlers
            .iter()
            .map(|row| (row.version.as_str(), row.invocations.pinned, row.invocations.unpinned))
            .collect();
        assert_eq!(rows, [("greeter-1", 3, 0), ("greeter-2", 1, 5)]);
        assert_eq!(status.total, 9);
    }

    #[test]
    fn what_was_not_told_is_not_zero() {
        let untold = Snapshot { usage: None, ..snapshot() };
        assert_eq!(status(&untold, &versions()), None);
    }
}
