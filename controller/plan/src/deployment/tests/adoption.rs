//! Objects that were recorded on a real cluster: nothing of them changes but what has to.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Service;
use restate_crd::RestateDeployment;
use restate_crd::deployment::VersionState;
use restate_model::{Reading, Registered, Registry, ServiceKind, ServiceRevision, Snapshot, UsageReport};
use serde_json::Value;

use super::super::replica_set::replica_set;
use super::super::survey::Survey;
use super::super::*;
use super::world::describe;
use crate::{Object, Outcome};

fn recorded() -> Seen {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(include_str!("../../../testdata/greeter.yaml")).unwrap();
    let kind = |kind: &str| documents.iter().filter(|it| it["kind"] == kind).cloned().collect::<Vec<_>>();
    let decode = |value: Value| serde_json::from_value(value).unwrap();
    let object: RestateDeployment = serde_json::from_value(kind("RestateDeployment").remove(0)).unwrap();
    Seen {
        object: Arc::new(object),
        replica_sets: kind("ReplicaSet").into_iter().map(|it| Arc::new(decode(it))).collect(),
        services: kind("Service")
            .into_iter()
            .map(|it| Arc::new(serde_json::from_value::<Service>(it).unwrap()))
            .collect(),
        autoscalers: Vec::new(),
        cluster: ClusterSeen::Present,
        namespace_terminating: false,
        snapshot: None,
        dns_suffix: "cluster.local".to_owned(),
    }
}

fn now() -> jiff::Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// Restate as it was left: four versions registered, routing to the newest.
fn with_answers(mut seen: Seen) -> Seen {
    let mut registry = Registry::default();
    for set in &seen.replica_sets {
        let name = set.metadata.name.clone().unwrap();
        let id = restate_model::DeploymentId::from(
            set.metadata.annotations.clone().unwrap()["restate.dev/deployment-id"].as_str(),
        );
        let registered = Registered {
            endpoint: format!("http://{name}.default.svc.cluster.local:9080/"),
            created_at: None,
            services: vec![ServiceRevision { name: "greeter".into(), revision: 1 }],
            http11: false,
        };
        registry.deployments.insert(id.clone(), registered.into());
        if name == "greeter-9fc74d9877" {
            let service = restate_model::Service {
                name: "greeter".into(),
                revision: 4,
                deployment: id,
                kind: ServiceKind::Service,
                public: true,
                handlers: Vec::new(),
                idempotency_retention: None,
                workflow_retention: None,
            };
            registry.services.insert("greeter".into(), service.into());
        }
    }
    let usage =
        UsageReport { known: registry.deployments.keys().cloned().collect(), ..UsageReport::default() };
    let asked_at = now();
    seen.snapshot = Some(Arc::new(Snapshot {
        registry: Some(Reading { asked_at, value: registry.into() }),
        usage: Some(Reading { asked_at, value: usage }),
        failure: None,
    }));
    seen
}

fn steps(decision: &Decision) -> Vec<String> {
    decision.plan.steps.iter().map(describe).filter(|step| !step.starts_with("note")).collect()
}

#[test]
fn what_is_found_is_the_version_that_is_wanted_and_is_left_as_it_is() {
    let seen = recorded();
    let decision = decide(&seen, now());
    assert_eq!(steps(&decision), Vec::<String>::new());
    assert_eq!(decision.status.label_selector.as_deref(), Some("app=greeter,pod-template-hash=9fc74d9877"));
    assert!(decision.demand.registry && decision.demand.usage, "its word is not relied on without an answer");
}

/// adoption.md, rule 3: the names under which parts were written end, and what we do not write goes from Services.
#[test]
fn fields_change_hands_once() {
    let former = |name: &str| {
        serde_json::from_value(serde_json::json!([{"manager": format!("restate-operator/{name}")}])).unwrap()
    };
    let mut seen = recorded();
    Arc::make_mut(&mut seen.replica_sets[0]).metadata.managed_fields = former("scale-down");
    let before = steps(&decide(&seen, now()));
    assert_eq!(before, ["take over ReplicaSet"]);
    Arc::make_mut(&mut seen.replica_sets[0]).metadata.managed_fields = None;
    Arc::make_mut(&mut seen.services[0]).metadata.managed_fields = former("deployment-id");
    assert_eq!(steps(&decide(&seen, now())), ["take over Service", "apply Service"]);
    Arc::make_mut(&mut seen.services[0]).metadata.managed_fields = None;
    assert_eq!(steps(&decide(&seen, now())), Vec::<String>::new());
}

#[test]
fn after_the_first_answer_labels_delays_and_the_restate_are_all_that_is_written() {
    let seen = with_answers(recorded());
    let decision = decide(&seen, now());
    let expected = [
        "annotate registered-with remove-version-at",
        "annotate registered-with remove-version-at",
        "annotate registered-with remove-version-at",
        "label ReplicaSet latest=true",
        "label Service latest=true",
        "annotate registered-with",
    ];
    assert_eq!(steps(&decision), expected);
    assert_eq!(decision.status.deployment_id.as_deref(), Some("dp_10PADg0zJXOfcr5jRl0E6kN"));
    assert!(matches!(decision.plan.outcome, Outcome::Waiting { on: "VersionsDraining", .. }));
    let states: Vec<_> = views(&seen, now()).into_iter().map(|view| view.state).collect();
    assert_eq!(
        states,
        [VersionState::Current, VersionState::Drained, VersionState::Drained, VersionState::Drained]
    );
}

/// The replica set that we would make of the same template is the recorded one, field for field, but for what the
/// API server has added.
#[test]
fn what_we_make_is_what_was_made() {
    let seen = recorded();
    let Ok(Valid::Spec(spec)) = validate(&seen.object, "cluster.local") else { panic!() };
    let survey = Survey::of(&seen, now());
    let target = survey.target(&spec);
    let found = target.version.unwrap();
    let Object::Foreign(_, made) = replica_set(&spec, &target.name, &target.hash) else { panic!() };
    let made: ReplicaSet = serde_json::from_value(serde_json::to_value(made).unwrap()).unwrap();
    let observed =
        seen.replica_sets.iter().find(|set| set.metadata.name.as_ref() == Some(&found.name)).unwrap();
    assert!(crate::applied::is_applied(&made.spec, &observed.spec), "{made:?}");
    assert_eq!(made.metadata.labels, observed.metadata.labels);
    assert_eq!(made.metadata.owner_references, observed.metadata.owner_references);
    let text = "restate.dev/pod-template";
    assert_eq!(
        made.metadata.annotations.unwrap()[text],
        observed.metadata.annotations.clone().unwrap()[text]
    );
    let service = service::version_service(&spec, found);
    let observed = seen.services.iter().find(|it| it.metadata.name.as_ref() == Some(&found.name)).unwrap();
    assert!(crate::applied::is_applied(&service.spec, &observed.spec), "{service:?}");
    assert_eq!(service.metadata.labels, observed.metadata.labels);
    assert_eq!(service.metadata.owner_references, observed.metadata.owner_references);
}

#[test]
fn a_namesake_s_replica_sets_are_not_ours() {
    let mut seen = recorded();
    Arc::make_mut(&mut seen.object).metadata.uid = Some("another".to_owned());
    assert!(views(&seen, now()).is_empty(), "op#41");
}
