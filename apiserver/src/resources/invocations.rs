//! `restatedeployments/invocations`: unfinished invocations by version, handler and state.
//!
//! A namespace sees only what its own deployment serves: pinned to one of its versions, or unpinned and of a service
//! that is routed to one of them (Z12).

use std::collections::BTreeMap;

use apiserver_machinery::request_info::RequestInfo;
use apiserver_machinery::resource::{Call, Given, ReadableSubresource};
use apiserver_machinery::status::{Named, Status};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use restate_apiservice::{
    Counts, HandlerInvocations, RestateDeploymentInvocations, RestateDeploymentInvocationsStatus,
};
use restate_model::{DeploymentId, Reading, Registry, Snapshot, UsageReport};
use restate_plan::deployment::View;

use super::version::counts;
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
        let admin = self.world.admin(&parent).ok_or_else(|| nobody_to_ask(&call.info))?;
        self.restates.recent(std::slice::from_ref(&admin)).await;
        let snapshot = self.restates.snapshot(&admin).unwrap_or_default();
        let views = self.world.views(&parent, Some(snapshot.clone()), Timestamp::now());
        // Z12: an id that somebody wrote on an object of his is no id of the view.
        let versions = views.into_iter().filter_map(recorded).collect();
        if let Some(warning) = self.restates.warning_of(&admin) {
            call.warnings.add(warning);
        }
        let status = status(&snapshot, &versions).map_err(|untold| match untold {
            Untold::Everything => self.restates.no_answer(&admin),
            // Counting rests for minutes where it takes seconds: whoever asks again at once learns nothing.
            Untold::Version(name) => {
                self.restates.cannot_tell(&admin, &format!("it has not counted the work of {name} yet"))
            }
        })?;
        let metadata = ObjectMeta {
            name: parent.metadata.name.clone(),
            namespace: parent.metadata.namespace.clone(),
            ..ObjectMeta::default()
        };
        Ok(Given::One(Box::new(RestateDeploymentInvocations { metadata, status })))
    }
}

/// The versions, by Restate's id.
type Versions = BTreeMap<DeploymentId, Recorded>;

/// A version, as it is recorded.
struct Recorded {
    name: String,
    registered_at: Option<Timestamp>,
}

/// Of what Restate has not told yet.
#[derive(Debug, PartialEq, Eq)]
enum Untold {
    Everything,
    /// It was registered after the counting.
    Version(String),
}

fn recorded(view: View) -> Option<(DeploymentId, Recorded)> {
    let View { deployment_id, name, registered_at, .. } = view;
    Some((deployment_id?, Recorded { name, registered_at }))
}

/// 409 for an object that is there and names no Restate.
fn nobody_to_ask(info: &RequestInfo) -> Status {
    let why = "spec.restate.register names no Restate that can be asked from here: it is a Restate Cloud environment, \
        or not valid";
    Status::conflict(Named::from(info), why)
}

/// What was counted, or what Restate has not told yet: unknown is not zero.
fn status(snapshot: &Snapshot, versions: &Versions) -> Result<RestateDeploymentInvocationsStatus, Untold> {
    let usage = snapshot.usage.as_ref().ok_or(Untold::Everything)?;
    let registry = &snapshot.registry.as_ref().ok_or(Untold::Everything)?.value;
    if let Some((_, late)) = versions.iter().find(|(id, version)| is_uncounted(id, version, usage, registry))
    {
        return Err(Untold::Version(late.name.clone()));
    }
    let handlers = handlers(&usage.value, registry, versions);
    let total = handlers.iter().map(|handler| handler.invocations.total()).sum();
    Ok(RestateDeploymentInvocationsStatus { observed_at: Some(usage.asked_at), total, handlers })
}

/// Whether a version that Restate has is not in its counts. One that it does not know any more can have none.
fn is_uncounted(
    id: &DeploymentId,
    version: &Recorded,
    usage: &Reading<UsageReport>,
    registry: &Registry,
) -> bool {
    let came_later = version.registered_at.is_some_and(|at| at >= usage.asked_at);
    !usage.value.known.contains(id) && (came_later || registry.deployments.contains_key(id))
}

/// Work that is pinned to what Restate does not know any more goes where its service is routed, as unpinned work does.
fn handlers(usage: &UsageReport, registry: &Registry, versions: &Versions) -> Vec<HandlerInvocations> {
    let mut found: BTreeMap<(String, String, String), Counts> = BTreeMap::new();
    for ((pinned, service, handler), states) in &usage.handlers {
        let pinned =
            pinned.as_ref().filter(|id| usage.known.contains(id) || registry.deployments.contains_key(id));
        let routed = || registry.services.get(service).map(|service| &service.deployment);
        let Some(version) = pinned.or_else(routed).and_then(|id| versions.get(id)) else { continue };
        let none = Some(restate_model::Counts::default());
        let both = if pinned.is_some() { (Some(*states), none) } else { (none, Some(*states)) };
        let Some(more) = counts(both.0, both.1) else { continue };
        let key = (version.name.clone(), service.to_string(), handler.clone());
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
    use restate_model::{Registered, Service, ServiceKind, ServiceName, Status as State};
    use rstest::rstest;

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
            (Some("dp_gone"), "Mine", "run", 2),
            (Some("dp_gone"), "Theirs", "run", 13),
            (Some("dp_other"), "Theirs", "run", 11),
        ];
        let handlers = rows.map(|(id, service, handler, count)| {
            ((id.map(DeploymentId::from), ServiceName::from(service), handler.to_owned()), states(count))
        });
        let usage = UsageReport {
            known: ["dp_old", "dp_new", "dp_other"].map(DeploymentId::from).into(),
            handlers: handlers.into_iter().collect(),
            ..UsageReport::default()
        };
        let asked_at = "2026-11-22T12:00:00Z".parse().unwrap();
        Snapshot {
            registry: Some(Reading { asked_at, value: registry.into() }),
            usage: Some(Reading { asked_at, value: usage }),
            failure: None,
        }
    }

    fn versions() -> Versions {
        [("dp_old", "greeter-1"), ("dp_new", "greeter-2")]
            .map(|(id, name)| (id.into(), version(name, None)))
            .into()
    }

    fn version(name: &str, registered_at: Option<&str>) -> Recorded {
        let registered_at = registered_at.map(|at| at.parse().unwrap());
        Recorded { name: name.to_owned(), registered_at }
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
        assert_eq!(rows, [("greeter-1", 3, 0), ("greeter-2", 1, 7)], "what has no home goes by routing");
        assert_eq!(status.total, 11);
    }

    #[test]
    fn what_was_not_told_is_not_zero() {
        let untold = Snapshot { usage: None, ..snapshot() };
        assert_eq!(status(&untold, &versions()), Err(Untold::Everything));
    }

    /// E10: a version that came after the counting is not known to have no work.
    #[rstest]
    #[case::after_the_counting(Some("2026-11-22T12:00:01Z"), false, true)]
    #[case::told_of_since(None, true, true)]
    #[case::gone_from_restate(Some("2026-11-22T11:00:00Z"), false, false)]
    fn e10_what_was_registered_after_the_counting_is_not_zero(
        #[case] registered_at: Option<&str>,
        #[case] is_registered: bool,
        #[case] is_untold: bool,
    ) {
        let mut snapshot = snapshot();
        if is_registered {
            let mut registry = (*snapshot.registry.as_ref().unwrap().value).clone();
            registry.deployments.insert("dp_late".into(), registered().into());
            snapshot.registry.as_mut().unwrap().value = registry.into();
        }
        let mut versions = versions();
        versions.insert("dp_late".into(), version("greeter-3", registered_at));
        let untold = status(&snapshot, &versions).err();
        assert_eq!(untold, is_untold.then(|| Untold::Version("greeter-3".to_owned())));
    }

    fn registered() -> Registered {
        Registered {
            endpoint: "http://greeter-3.shop.svc/".to_owned(),
            created_at: None,
            services: vec![],
            http11: false,
        }
    }

    #[test]
    fn e10_who_has_nobody_to_ask_is_there_all_the_same() {
        let status = nobody_to_ask(&RequestInfo::default());
        assert_eq!(status.code().as_u16(), 409, "{status}");
        assert!(status.message.contains("Restate Cloud"), "{status}");
    }
}
