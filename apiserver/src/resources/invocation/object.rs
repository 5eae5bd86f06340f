//! The object of one invocation.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use restate_apiservice::{
    InvocationAttempts, InvocationCaller, InvocationState, RestateInvocation, RestateInvocationStatus,
};
use restate_model::{Attempts, Caller, Invocation, Status};
use uuid::Uuid;

use crate::atlas::{Owner, Territory};
use crate::resources::service::{owner_reference, service_type};
use crate::resources::version::label_value;

/// The object of an invocation that a version of this owner serves.
pub(super) fn object(
    territory: &Territory,
    owner: &Owner,
    invocation: &Invocation,
    now: Timestamp,
) -> RestateInvocation {
    let key = territory.admin.key.to_string();
    let Invocation { id: _, target, state, pinned, times, attempts, caller, failure, restarted_from } =
        invocation.clone();
    let state = shown(state);
    let status = RestateInvocationStatus {
        cluster: owner.cluster.clone(),
        endpoint_key: Some(key.clone()).filter(|_| owner.cluster.is_empty()),
        deployment: owner.deployment.clone(),
        version: owner.version.clone(),
        pinned: territory.is_pinned(invocation),
        deployment_id: pinned.map(|id| id.to_string()),
        service: target.service.to_string(),
        service_type: service_type(target.kind),
        handler: target.handler,
        key: target.key,
        state,
        succeeded: (state == InvocationState::Completed).then_some(failure.is_none()),
        failure,
        attempts: shown_attempts(attempts),
        invoked_by: shown_caller(caller),
        restarted_from: restarted_from.map(|id| id.to_string()),
        scheduled_start_at: times.scheduled_start,
        started_at: times.started,
        modified_at: times.modified,
        completed_at: times.completed,
        observed_at: Some(now),
    };
    RestateInvocation { metadata: metadata(&key, owner, invocation, state), status }
}

/// A state in our words.
pub(super) fn shown(state: restate_model::InvocationState) -> InvocationState {
    match state {
        restate_model::InvocationState::Completed => InvocationState::Completed,
        restate_model::InvocationState::Unfinished(status) => match status {
            Status::Running => InvocationState::Running,
            Status::BackingOff => InvocationState::BackingOff,
            Status::Suspended => InvocationState::Suspended,
            Status::Paused => InvocationState::Paused,
            Status::Ready => InvocationState::Ready,
            Status::Inboxed => InvocationState::Inboxed,
            Status::Scheduled => InvocationState::Scheduled,
            Status::Other => InvocationState::Unknown,
        },
    }
}

fn shown_attempts(attempts: Attempts) -> Option<InvocationAttempts> {
    let Attempts { count, deployment, next, failure } = attempts;
    (count > 0).then(|| {
        let (failure, failure_code) =
            failure.map_or((None, None), |failure| (Some(failure.message), failure.code));
        let deployment_id = deployment.map(|id| id.to_string());
        InvocationAttempts { count, next_at: next, failure, failure_code, deployment_id }
    })
}

fn shown_caller(caller: Caller) -> InvocationCaller {
    let Caller { kind, service, invocation } = caller;
    InvocationCaller {
        kind,
        service: service.map(|name| name.to_string()),
        invocation: invocation.map(|id| id.to_string()),
    }
}

fn metadata(key: &str, owner: &Owner, invocation: &Invocation, state: InvocationState) -> ObjectMeta {
    let labels = [
        ("restate.dev/deployment", label_value(&owner.deployment)),
        ("restate.dev/cluster", label_value(&owner.cluster)),
        ("restate.dev/service", label_value(invocation.target.service.as_str())),
        ("restate.dev/state", state.to_string()),
    ];
    let identity = format!("{key} {}", invocation.id);
    ObjectMeta {
        name: Some(invocation.id.to_string()),
        namespace: Some(owner.namespace.clone()),
        uid: Some(Uuid::new_v5(&Uuid::NAMESPACE_OID, identity.as_bytes()).to_string()),
        creation_timestamp: invocation.times.created.map(Time),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
        owner_references: Some(vec![owner_reference(owner)]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use restate_model::AttemptFailure;

    use super::*;
    use crate::atlas::tests::{invocation, territory};

    fn shown_of(invocation: &Invocation) -> RestateInvocation {
        let territory = territory();
        let owner = territory.owner(invocation).unwrap();
        object(&territory, owner, invocation, "2026-11-22T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn an_invocation_names_its_version_and_whether_it_is_bound_to_it() {
        let running = restate_model::InvocationState::Unfinished(Status::Running);
        let pinned = shown_of(&invocation("Greeter", Some("dp_old"), running)).status;
        assert_eq!((pinned.version.as_str(), pinned.pinned, pinned.succeeded), ("greeter-1", true, None));
        let unpinned = shown_of(&invocation("Greeter", None, running)).status;
        assert_eq!((unpinned.version.as_str(), unpinned.pinned), ("greeter-2", false));
        let homeless = shown_of(&invocation("Greeter", Some("dp_gone"), running)).status;
        assert_eq!((homeless.version.as_str(), homeless.pinned), ("greeter-2", false));
        assert_eq!(homeless.deployment_id.as_deref(), Some("dp_gone"));
    }

    #[test]
    fn labels_are_what_selectors_can_name() {
        let paused = restate_model::InvocationState::Unfinished(Status::Paused);
        let object = shown_of(&invocation("Greeter", None, paused));
        let labels = object.metadata.labels.unwrap();
        let of = |name: &str| labels[&format!("restate.dev/{name}")].as_str();
        assert_eq!(
            ["deployment", "cluster", "service", "state"].map(of),
            ["greeter", "prod", "Greeter", "Paused"]
        );
        assert_eq!(object.metadata.namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn failures_of_attempts_and_the_end_are_two_things() {
        let mut failed = invocation("Greeter", None, restate_model::InvocationState::Completed);
        failed.failure = Some("[409] killed".to_owned());
        let last = AttemptFailure { message: "no luck".to_owned(), code: Some("RT0007".to_owned()) };
        failed.attempts = Attempts { count: 2, failure: Some(last), ..Attempts::default() };
        let status = shown_of(&failed).status;
        assert_eq!((status.succeeded, status.failure.as_deref()), (Some(false), Some("[409] killed")));
        let attempts = status.attempts.unwrap();
        assert_eq!((attempts.count, attempts.failure.as_deref()), (2, Some("no luck")));
    }
}
