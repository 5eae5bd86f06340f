use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference, ServiceAccount};
use kube::core::ObjectMeta;
use restate_model::DeploymentId;
use restate_plan::{
    Claim, Deregistration, EventKind, Manager, Note, Object, ObjectRef, Patch, Proof, Propagation,
    Registration, Step, Uid, Version,
};
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::testing::{Kubernetes, Restate, executor};

const LONG: Duration = Duration::from_mins(1);
const SET: &str = "/apis/apps/v1/namespaces/shop/replicasets/greeter-1";

fn set() -> (ObjectRef, Uid) {
    (ObjectRef::of::<ReplicaSet>(Some("shop"), "greeter-1"), Uid("u1".to_owned()))
}

fn scale(replicas: i32) -> Step {
    let (object, uid) = set();
    Step::Scale { object, uid, replicas }
}

fn delete() -> Step {
    let (object, uid) = set();
    Step::Delete { object, uid, propagation: Propagation::Background }
}

fn account() -> Object {
    let metadata = ObjectMeta {
        name: Some("restate".to_owned()),
        namespace: Some("prod".to_owned()),
        ..ObjectMeta::default()
    };
    ServiceAccount { metadata, ..ServiceAccount::default() }.into()
}

fn annotate() -> Step {
    let (object, uid) = set();
    let annotations = [("a", Some("1")), ("b", None)];
    let annotations = annotations.map(|(key, value)| (key.to_owned(), value.map(str::to_owned))).into();
    Step::Annotate { object, uid, annotations }
}

fn registration(admin: restate_plan::Admin) -> Registration {
    let (object, uid) = set();
    Registration {
        admin,
        uri: "http://greeter-1.shop:9080/".to_owned(),
        force: None,
        breaking: false,
        http11: true,
        version: Version { object, uid },
        former: std::collections::BTreeMap::new(),
    }
}

fn deregistration(admin: restate_plan::Admin) -> Step {
    let (object, uid) = set();
    Step::Deregister(Deregistration {
        admin,
        deployment: DeploymentId::from("dp_1"),
        version: Version { object, uid },
        offers: Vec::new(),
        proof: Proof::Idle { asked_at: jiff::Timestamp::UNIX_EPOCH },
    })
}

async fn run(executor: &Executor, steps: &[Step]) -> Done {
    executor.run(steps, &[], &ObjectReference::default()).await
}

/// What the API server is sent for one step.
async fn sent(step: Step) -> String {
    let kubernetes = Kubernetes::default();
    let done = run(&executor(&kubernetes, LONG), &[step]).await;
    assert!(done.complete, "{done:?}");
    kubernetes.asked().join("\n")
}

#[tokio::test]
async fn an_apply_makes_the_fields_ours() {
    insta::assert_snapshot!(sent(Step::Apply(Manager::Operator, Box::new(account()))).await, @r#"PATCH /api/v1/namespaces/prod/serviceaccounts/restate?&force=true&fieldManager=restate-operator apply-patch+yaml {"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"restate","namespace":"prod"}}"#);
}

#[tokio::test]
async fn a_creation_takes_nothing_that_exists() {
    insta::assert_snapshot!(sent(Step::Create(Box::new(account()))).await, @r#"POST /api/v1/namespaces/prod/serviceaccounts?&fieldManager=restate-operator json {"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"restate","namespace":"prod"}}"#);
}

#[tokio::test]
async fn patches_name_the_object_that_was_seen() {
    insta::assert_snapshot!(sent(annotate()).await, @r#"PATCH /apis/apps/v1/namespaces/shop/replicasets/greeter-1?&fieldManager=restate-operator merge-patch+json {"metadata":{"annotations":{"a":"1","b":null},"uid":"u1"}}"#);
    let (object, uid) = set();
    let mut whole = Patch { replicas: Some(0), ..Patch::of(object, uid) };
    whole.annotations.insert("a".to_owned(), None);
    whole.labels.insert("b".to_owned(), Some("1".to_owned()));
    insta::assert_snapshot!(sent(Step::Patch(whole)).await, @r#"PATCH /apis/apps/v1/namespaces/shop/replicasets/greeter-1?&fieldManager=restate-operator merge-patch+json {"metadata":{"annotations":{"a":null},"labels":{"b":"1"},"uid":"u1"},"spec":{"replicas":0}}"#);
    insta::assert_snapshot!(sent(scale(0)).await, @r#"PATCH /apis/apps/v1/namespaces/shop/replicasets/greeter-1?&fieldManager=restate-operator merge-patch+json {"metadata":{"uid":"u1"},"spec":{"replicas":0}}"#);
}

/// adoption.md, rule 3.
#[tokio::test]
async fn owners_change_in_one_write_that_rests_on_what_was_read() {
    let entry = |manager: &str| {
        json!({"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {}}, "apiVersion": "apps/v1"})
    };
    let found = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "greeter-1", "namespace": "shop",
        "uid": "u1", "resourceVersion": "7",
        "managedFields": [entry("restate-operator/scale-down"), entry("restate-operator")]}, "spec": {"selector": {}}});
    let kubernetes = Kubernetes::default().with(SET, found);
    let (object, uid) = set();
    let executor = executor(&kubernetes, LONG);
    let done = run(&executor, &[Step::TakeOver { object: object.clone(), uid }]).await;
    assert!(done.complete, "{done:?}");
    insta::assert_snapshot!(kubernetes.asked().join("\n"));
    let step = Step::TakeOver { object, uid: Uid("another".to_owned()) };
    assert!(run(&executor, &[step]).await.failed.is_some_and(|error| error.is_quiet()));
    assert_eq!(kubernetes.asked().len(), 1, "only looked at");
}

#[tokio::test]
async fn a_deletion_names_the_object_that_was_seen() {
    insta::assert_snapshot!(sent(delete()).await, @r#"DELETE /apis/apps/v1/namespaces/shop/replicasets/greeter-1? json {"preconditions":{"uid":"u1"},"propagationPolicy":"Background"}"#);
}

#[tokio::test]
async fn a_claim_compares_and_swaps() {
    let claim = Claim {
        cluster: "prod".to_owned(),
        uid: Uid("u1".to_owned()),
        resource_version: "42".to_owned(),
        holder: "me".to_owned(),
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    insta::assert_snapshot!(sent(Step::Claim(claim)).await, @r#"PATCH /apis/restate.dev/v1/restateclusters/prod?&fieldManager=restate-operator merge-patch+json {"metadata":{"annotations":{"restate.dev/provisioning-claim":"1970-01-01T00:00:00Z me"},"resourceVersion":"42","uid":"u1"}}"#);
}

#[tokio::test]
async fn what_was_written_is_known_at_once() {
    let seen = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata":
        {"name": "greeter-1", "namespace": "shop", "uid": "u1"}, "spec": {"replicas": 1, "selector": {}}});
    let kubernetes = Kubernetes::default().with(SET, seen);
    let executor = executor(&kubernetes, LONG);
    run(&executor, &[scale(3)]).await;
    let known = executor.stores.replica_sets.get(Some("shop"), "greeter-1").unwrap();
    assert_eq!(known.spec.as_ref().unwrap().replicas, Some(3));
}

#[tokio::test]
async fn a_taken_name_is_looked_at() {
    let taken = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata":
        {"name": "restate", "namespace": "prod", "uid": "other"}});
    let refuse = |method: &http::Method, _: &str| {
        (*method == http::Method::POST).then(|| Kubernetes::no(409, "already exists"))
    };
    let kubernetes =
        Kubernetes::refusing(refuse).with("/api/v1/namespaces/prod/serviceaccounts/restate", taken);
    let executor = executor(&kubernetes, LONG);
    let done = run(&executor, &[Step::Create(Box::new(account()))]).await;
    assert!(matches!(done.failed, Some(Error::Overtaken { .. })), "{done:?}");
    let known = executor.stores.service_accounts.get(Some("prod"), "restate").unwrap();
    assert_eq!(known.metadata.uid.as_deref(), Some("other"), "the next plan sees whose it is");
}

#[rstest]
#[case::conflict(409, "x", true)]
#[case::another_uid(422, "metadata.uid: Invalid value: field is immutable", true)]
#[case::gone(404, "not found", true)]
#[case::invalid(422, "spec.replicas: must not be negative", false)]
#[case::forbidden(403, "no", false)]
#[case::overload(429, "later", false)]
#[tokio::test]
async fn a_race_is_told_from_a_failure(#[case] code: u16, #[case] message: &'static str, #[case] race: bool) {
    let kubernetes = Kubernetes::refusing(move |_, _| Some(Kubernetes::no(code, message)));
    let done = tokio::time::timeout(LONG, run(&executor(&kubernetes, LONG), &[annotate()])).await.unwrap();
    assert_eq!(done.failed.as_ref().is_some_and(Error::is_quiet), race, "{done:?}");
    assert!(!done.complete);
}

#[tokio::test]
async fn what_is_gone_already_was_to_be_deleted() {
    let kubernetes = Kubernetes::refusing(|_, _| Some(Kubernetes::no(404, "not found")));
    assert!(run(&executor(&kubernetes, LONG), &[delete()]).await.complete);
}

#[tokio::test]
async fn nothing_is_done_without_the_lease() {
    let kubernetes = Kubernetes::default();
    let done = run(&executor(&kubernetes, Duration::ZERO), &[annotate()]).await;
    assert!(matches!(done.failed, Some(Error::Lease { .. })), "{done:?}");
    assert_eq!(kubernetes.asked(), [""; 0]);
}

#[rstest]
#[case::to_zero(scale(0))]
#[case::deletion(delete())]
#[case::beside(Step::Aside(Box::new(delete())))]
#[tokio::test]
async fn nothing_irreversible_is_begun_that_the_lease_might_not_outlive(#[case] step: Step) {
    let kubernetes = Kubernetes::default();
    let executor = executor(&kubernetes, Duration::from_secs(5));
    let done = run(&executor, &[step]).await;
    assert!(matches!(done.failed, Some(Error::Lease { .. })), "{done:?}");
    assert!(run(&executor, &[scale(2)]).await.complete, "what can be taken back goes on");
    assert_eq!(kubernetes.asked().len(), 1);
}

#[tokio::test]
async fn a_deregistration_needs_a_lease_that_outlives_it() {
    let restate = Restate::answering(202, json!({})).await;
    let kubernetes = Kubernetes::default();
    let done = run(&executor(&kubernetes, Duration::from_secs(9)), &[deregistration(restate.admin())]).await;
    assert!(matches!(done.failed, Some(Error::Lease { .. })), "{done:?}");
    assert_eq!(restate.asked(), [""; 0]);
    assert!(run(&executor(&kubernetes, LONG), &[deregistration(restate.admin())]).await.complete);
    assert_eq!(restate.asked(), ["DELETE /deployments/dp_1?force=true"]);
}

/// users.md §1b (a version removed too early): somebody may have moved routing by hand since the decision.
#[rstest]
#[case::elsewhere("dp_2", true)]
#[case::to_it("dp_1", false)]
#[tokio::test]
async fn what_new_calls_go_to_by_now_is_not_removed(#[case] routed: &str, #[case] goes: bool) {
    let service = json!({"name": "greeter", "deployment_id": routed, "revision": 1, "ty": "Service"});
    let restate = Restate::answering(200, service).await;
    let Step::Deregister(mut wanted) = deregistration(restate.admin()) else { unreachable!() };
    wanted.offers = vec!["greeter".into()];
    let done = run(&executor(&Kubernetes::default(), LONG), &[Step::Deregister(wanted)]).await;
    assert_eq!(done.complete, goes, "{done:?}");
    let asked = ["GET /services/greeter", "DELETE /deployments/dp_1?force=true"];
    assert_eq!(restate.asked(), asked[..if goes { 2 } else { 1 }]);
}

#[rstest]
#[case::unknown_to_restate(404, json!({"message": "deployment 'dp_1' not found"}), true)]
#[case::a_proxy_says_404(404, json!("default backend"), false)]
#[case::unavailable(503, json!({"message": "later"}), false)]
#[tokio::test]
async fn a_deregistration_is_sent_once(
    #[case] status: u16,
    #[case] body: serde_json::Value,
    #[case] done: bool,
) {
    let restate = Restate::answering(status, body).await;
    let executor = executor(&Kubernetes::default(), LONG);
    assert_eq!(run(&executor, &[deregistration(restate.admin())]).await.complete, done);
    assert_eq!(restate.asked().len(), 1);
}

#[tokio::test]
async fn a_failure_ends_the_pass_unless_it_is_beside_the_path() {
    let refuse =
        |_: &http::Method, path: &str| path.contains("replicasets").then(|| Kubernetes::no(403, "no"));
    let kubernetes = Kubernetes::refusing(refuse);
    let last = || {
        Step::Create(Box::new(
            ConfigMap {
                metadata: ObjectMeta {
                    name: Some("last".to_owned()),
                    namespace: Some("x".to_owned()),
                    ..ObjectMeta::default()
                },
                ..ConfigMap::default()
            }
            .into(),
        ))
    };
    let done = run(&executor(&kubernetes, LONG), &[annotate(), last()]).await;
    assert!(done.failed.is_some() && done.acted == 0);
    assert_eq!(kubernetes.asked().len(), 1);
    let done = run(&executor(&kubernetes, LONG), &[Step::Aside(Box::new(annotate())), last()]).await;
    assert!(done.failed.is_some() && done.acted == 1 && !done.complete, "{done:?}");
    assert_eq!(kubernetes.asked().len(), 2);
}

/// A quota that refuses one thing keeps nothing else from being done; silence does.
#[rstest]
#[case::refused(403, true)]
#[case::nobody_answers(0, false)]
#[tokio::test(start_paused = true)]
async fn a_refusal_ends_its_part_alone(#[case] code: u16, #[case] goes_on: bool) {
    let kubernetes = Kubernetes::refusing(move |method, _| {
        (*method == http::Method::POST && code > 0).then(|| Kubernetes::no(code, "exceeded quota"))
    });
    let first = if code > 0 { Step::Create(Box::new(account())) } else { scale(0) };
    let lease = if code > 0 { LONG } else { Duration::from_secs(5) };
    let executor = executor(&kubernetes, lease);
    let done = executor.run(&[first, scale(3), annotate()], &[2], &ObjectReference::default()).await;
    assert!(done.failed.is_some() && !done.complete, "{done:?}");
    assert_eq!(done.acted, usize::from(goes_on), "the step beside it in its part is left");
}

/// The registry of a Restate is one value: what is changed at the same time fails, or wears Restate out.
#[tokio::test]
async fn a_change_waits_for_its_turn_and_is_then_planned_anew() {
    let (restate, kubernetes) = (Restate::answering(202, json!(null)).await, Kubernetes::default());
    let executor = executor(&kubernetes, LONG);
    let turn = executor.restates.turn(&restate.admin(), PATIENCE).await.unwrap();
    tokio::time::pause();
    let done = run(&executor, &[deregistration(restate.admin()), annotate()]).await;
    assert!(matches!(&done.failed, Some(error @ Error::Busy { .. }) if error.is_quiet()), "{done:?}");
    assert_eq!((restate.asked(), kubernetes.asked()), (vec![], vec![]), "nothing happened");
    tokio::time::resume();
    drop(turn);
    assert!(run(&executor, &[deregistration(restate.admin())]).await.complete);
}

#[tokio::test]
async fn a_lease_that_went_while_waiting_for_the_turn_is_missed() {
    let restate = Restate::answering(202, json!(null)).await;
    let enough = deregister::DEADLINE + Duration::from_millis(200);
    let executor = executor(&Kubernetes::default(), enough);
    let turn = executor.restates.turn(&restate.admin(), PATIENCE).await.unwrap();
    let later = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        drop(turn);
    });
    let done = run(&executor, &[deregistration(restate.admin())]).await;
    later.await.unwrap();
    assert!(matches!(done.failed, Some(Error::Lease { step: "Deregister", .. })), "{done:?}");
    assert_eq!(restate.asked(), [""; 0]);
}

#[tokio::test]
async fn a_registration_is_recorded_as_soon_as_restate_has_answered() {
    let restate = Restate::answering(201, json!({"id": "dp_1", "services": []})).await;
    let kubernetes = Kubernetes::default();
    let before = jiff::Timestamp::now();
    let steps = [Step::Register(registration(restate.admin())), annotate()];
    let done = run(&executor(&kubernetes, LONG), &steps).await;
    assert!(done.complete, "{done:?}");
    insta::assert_snapshot!(restate.asked().join("\n"), @r#"
    POST /deployments {"uri":"http://greeter-1.shop:9080/","force":false,"breaking":false,"use_http_11":true,"dry_run":true}
    POST /deployments {"uri":"http://greeter-1.shop:9080/","force":false,"breaking":false,"use_http_11":true}
    "#);
    let object = kubernetes.object(SET);
    let recorded = &object["metadata"]["annotations"];
    assert_eq!(recorded["restate.dev/deployment-id"], "dp_1");
    assert_eq!(object["metadata"]["labels"]["restate.dev/latest"], "true", "in the same write");
    let at: jiff::Timestamp = recorded["restate.dev/registered-at"].as_str().unwrap().parse().unwrap();
    assert!(at >= before);
    assert_eq!(object["metadata"]["uid"], "u1");
}

/// users.md 2b 3.0.0 (no promotion war): somebody else may have registered after the answers that a rollback rests on.
#[tokio::test]
async fn a_service_that_somebody_took_meanwhile_is_not_moved_by_force() {
    for (deployment, moves) in [("dp_2", true), ("dp_foreign", false)] {
        // What a registration is answered, and the service.
        let answer = json!({"id": "dp_1", "services": [], "name": "greeter", "deployment_id": deployment,
            "revision": 1, "ty": "Service", "public": true, "handlers": []});
        let restate = Restate::answering(200, answer).await;
        let force = Some([("greeter".into(), "dp_2".into())].into());
        let step = Step::Register(Registration { force, ..registration(restate.admin()) });
        let done = run(&executor(&Kubernetes::default(), LONG), &[step]).await;
        assert_eq!(done.complete, moves, "{done:?}");
        let overtaken = done.failed.is_some_and(|error| matches!(error, Error::Overtaken { .. }));
        assert_eq!(overtaken, !moves);
        let asked = restate.asked();
        let order = ["dry_run", "GET /services", "POST /deployments"];
        let expected = &order[..if moves { 3 } else { 2 }];
        assert!(asked.len() == expected.len(), "{asked:?}");
        assert!(asked.iter().zip(expected).all(|(asked, expected)| asked.contains(expected)), "{asked:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_stays_is_told_from_one_that_may_pass() {
    let body = |code: &str| json!({"message": "in its words", "restate_code": code});
    let restate = Restate::answering(409, body("META0006")).await;
    let executor = executor(&Kubernetes::default(), LONG);
    let done = run(&executor, &[Step::Register(registration(restate.admin())), annotate()]).await;
    let rejection = Rejection { code: "META0006".to_owned(), message: "in its words".to_owned() };
    assert_eq!(done.rejected.map(|(_, rejection)| rejection), Some(rejection));
    assert!(done.failed.is_none() && !done.complete && done.acted == 0);

    let restate = Restate::answering(500, body("META0003")).await;
    let done = run(&executor, &[Step::Register(registration(restate.admin()))]).await;
    assert!(done.rejected.is_none());
    let error = crate::engine::Error::from(done.failed.unwrap());
    assert_eq!(error.category(), "Register");
    assert_eq!(error.chain(), "failed to register http://greeter-1.shop:9080/: in its words");

    let done = run(&executor, &[Step::Register(registration(restate.admin()))]).await;
    let again = crate::engine::Error::from(done.failed.unwrap());
    assert!(again.was_said() && again.rest().is_some());
    assert_eq!(again.chain(), error.chain(), "the status does not change");
    assert_eq!(restate.asked().len(), 1, "a wake does not shorten the pause");
}

/// The limit of deployments, which Restate has from 1.8 on: a 400 without a code. Room may be made, so nothing is
/// recorded, and it is tried again with pauses, in its words.
#[tokio::test]
async fn a_limit_that_is_reached_is_no_refusal_for_good() {
    let answer = json!({"message": "2 deployments are there, the limit is 2", "restate_code": null});
    let (restate, kubernetes) = (Restate::answering(400, answer).await, Kubernetes::default());
    let executor = executor(&kubernetes, LONG);
    let done = run(&executor, &[Step::Register(registration(restate.admin())), annotate()]).await;
    assert!(done.rejected.is_none() && done.acted == 0);
    let error = crate::engine::Error::from(done.failed.unwrap());
    assert!(error.chain().ends_with("the limit is 2") && error.rest().is_some(), "{}", error.chain());
    assert_eq!(kubernetes.asked(), [""; 0], "nothing is written");
    let done = run(&executor, &[Step::Register(registration(restate.admin()))]).await;
    assert!(crate::engine::Error::from(done.failed.unwrap()).was_said());
    assert_eq!(restate.asked().len(), 1, "no sooner than its pause is over");
}

#[tokio::test]
async fn the_same_words_are_said_once() {
    let events: std::sync::Arc<std::sync::Mutex<usize>> = std::sync::Arc::default();
    let counted = events.clone();
    let kubernetes = Kubernetes::refusing(move |_, path| {
        *counted.lock().unwrap() += usize::from(path.contains("/events"));
        None
    });
    let executor = executor(&kubernetes, LONG);
    let note = |message: &str| {
        Step::Note(Note { kind: EventKind::Normal, reason: "X", action: "Y", message: message.to_owned() })
    };
    let subject =
        ObjectReference { uid: Some("u".to_owned()), name: Some("x".to_owned()), ..Default::default() };
    let done = executor.run(&[note("a"), note("a"), note("b"), note("a")], &[], &subject).await;
    assert_eq!((done.acted, done.complete), (0, true), "telling is no act");
    assert_eq!(*events.lock().unwrap(), 2);
}
