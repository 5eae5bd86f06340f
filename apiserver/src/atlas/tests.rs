//! Who owns what, and that nobody owns what is another's.

use k8s_openapi::api::apps::v1::ReplicaSet;
use restate_model::{
    Attempts, Caller, FailureKind, InvocationState, Reading, Registered, ServiceKind, ServiceRevision,
    Target, Times,
};
use restate_plan::deployment::{ClusterSeen, Seen};
use rstest::rstest;
use serde_json::json;

use super::*;

/// `shop` serves `Greeter` (new, and an old version) and `Old`; `bank` serves `Ledger`; somebody else `Foreign`.
pub(crate) fn territory() -> Territory {
    let registered = [
        ("dp_old", "greeter-1", "shop", vec!["Greeter", "Old"]),
        ("dp_new", "greeter-2", "shop", vec!["Greeter"]),
        ("dp_bank", "ledger-1", "bank", vec!["Ledger"]),
        ("dp_else", "else-1", "elsewhere", vec!["Foreign", "Greeter"]),
    ];
    let routes = [("Greeter", "dp_new"), ("Old", "dp_old"), ("Ledger", "dp_bank"), ("Foreign", "dp_else")];
    let snapshot = Snapshot {
        registry: Some(Reading {
            asked_at: "2026-11-22T12:00:00Z".parse().unwrap(),
            value: Arc::new(Registry {
                deployments: registered.iter().map(deployment).map(|(id, it)| (id, it.into())).collect(),
                services: routes.iter().map(service).map(|(name, it)| (name, it.into())).collect(),
            }),
        }),
        ..Snapshot::default()
    };
    let admin = Admin { key: "http://restate.prod:9070/".into(), url: "http://restate.prod:9070".into() };
    let mut territory = Territory::new(admin, Arc::new(snapshot));
    for (id, version, namespace, _) in &registered[..3] {
        territory.namespaces.insert((*namespace).to_owned());
        territory.owners.insert((*id).into(), owner(namespace, version));
    }
    territory
}

/// The same, with new calls to this service going to this deployment.
pub(crate) fn routing(mut territory: Territory, name: &str, deployment: &str) -> Territory {
    let mut snapshot = (*territory.snapshot).clone();
    let mut registry = (*snapshot.registry.as_ref().unwrap().value).clone();
    let (name, routed) = service(&(name, deployment));
    registry.services.insert(name, routed.into());
    snapshot.registry.as_mut().unwrap().value = registry.into();
    territory.snapshot = snapshot.into();
    territory
}

/// A Restate that has told nothing: namespaces with a version each, and the id that is written on it.
pub(crate) fn silent(versions: &[(&str, Option<&str>)]) -> Territory {
    having_told(Snapshot::default(), versions)
}

/// The same, of a Restate that has told this.
fn having_told(snapshot: Snapshot, versions: &[(&str, Option<&str>)]) -> Territory {
    let admin = Admin { key: "http://silent:9070/".into(), url: "http://silent:9070".into() };
    let mut territory = Territory::new(admin, Arc::new(snapshot));
    for (namespace, id) in versions {
        let parent = parent(namespace);
        let seen = Seen {
            object: Arc::clone(&parent),
            replica_sets: vec![Arc::new(set(namespace, *id))],
            services: Vec::new(),
            autoscalers: Vec::new(),
            cluster: ClusterSeen::NotNamed,
            namespace_terminating: false,
            snapshot: None,
            dns_suffix: "cluster.local".to_owned(),
        };
        territory.settle(&parent, restate_plan::deployment::views(&seen, Timestamp::UNIX_EPOCH));
    }
    territory
}

fn parent(namespace: &str) -> Arc<RestateDeployment> {
    let object = json!({
        "apiVersion": "restate.dev/v1beta1",
        "kind": "RestateDeployment",
        "metadata": {"name": "greeter", "namespace": namespace, "uid": "u1", "generation": 1},
        "spec": {
            "selector": {"matchLabels": {"app": "greeter"}},
            "restate": {"register": {"url": "http://silent:9070"}},
            "template": {
                "metadata": {"labels": {"app": "greeter"}},
                "spec": {"containers": [{"name": "service", "image": "shop/greeter:2"}]},
            },
        },
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn set(namespace: &str, id: Option<&str>) -> ReplicaSet {
    let owner = json!({
        "apiVersion": "restate.dev/v1beta1", "kind": "RestateDeployment", "name": "greeter", "uid": "u1",
        "controller": true,
    });
    let mut object = json!({
        "metadata": {
            "name": "greeter-1", "namespace": namespace, "uid": "u2", "ownerReferences": [owner],
            "labels": {"pod-template-hash": "1", "restate.dev/owned-by": "greeter"},
        },
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "greeter"}}},
    });
    if let Some(id) = id {
        let registered_at = "2026-11-22T11:59:55.5Z";
        object["metadata"]["annotations"] =
            json!({"restate.dev/deployment-id": id, "restate.dev/registered-at": registered_at});
    }
    serde_json::from_value(object).unwrap()
}

fn owner(namespace: &str, version: &str) -> Owner {
    let (deployment, _) = version.rsplit_once('-').unwrap();
    Owner {
        namespace: namespace.to_owned(),
        deployment: deployment.to_owned(),
        deployment_uid: "1c4c9a1e-0000-0000-0000-000000000000".to_owned(),
        version: version.to_owned(),
        cluster: "prod".to_owned(),
    }
}

fn deployment(given: &(&str, &str, &str, Vec<&str>)) -> (DeploymentId, Registered) {
    let (id, version, namespace, services) = given;
    let services = services.iter().map(|name| ServiceRevision { name: (*name).into(), revision: 1 });
    let registered = Registered {
        endpoint: format!("http://{version}.{namespace}.svc.cluster.local:9080/"),
        created_at: None,
        services: services.collect(),
        http11: false,
    };
    ((*id).into(), registered)
}

fn service(given: &(&str, &str)) -> (ServiceName, Service) {
    let (name, deployment) = *given;
    let service = Service {
        name: name.into(),
        revision: 2,
        deployment: deployment.into(),
        kind: ServiceKind::VirtualObject,
        public: true,
        handlers: vec!["run".to_owned()],
        idempotency_retention: Some("1d".to_owned()),
        workflow_retention: None,
    };
    (name.into(), service)
}

pub(crate) fn invocation(service: &str, pinned: Option<&str>, state: InvocationState) -> Invocation {
    Invocation {
        id: "inv_1gcM2zdaqxx73ieDvWr0x4VrZRl82mzBL7".into(),
        target: Target {
            service: service.into(),
            key: Some("ada".to_owned()),
            handler: "run".to_owned(),
            kind: ServiceKind::VirtualObject,
        },
        state,
        pinned: pinned.map(DeploymentId::from),
        times: Times { created: "2026-11-22T11:00:00Z".parse().ok(), ..Times::default() },
        attempts: Attempts::default(),
        caller: Caller { kind: "ingress".to_owned(), ..Caller::default() },
        failure: None,
        restarted_from: None,
    }
}

fn names<'a>(set: impl IntoIterator<Item = &'a (impl ToString + 'a)>) -> Vec<String> {
    set.into_iter().map(ToString::to_string).collect()
}

/// Z12: what others serve is in nobody else's scope, whatever their services are called.
#[rstest]
#[case("shop", &["dp_new", "dp_old"], &["Greeter", "Old"])]
#[case("bank", &["dp_bank"], &["Ledger"])]
#[case("elsewhere", &[], &[])]
fn z12_a_namespace_sees_what_its_own_deployments_serve(
    #[case] namespace: &str,
    #[case] deployments: &[&str],
    #[case] services: &[&str],
) {
    let scope = territory().scope(|owner| owner.namespace == namespace);
    assert_eq!(
        (names(&scope.deployments), names(&scope.services)),
        (
            deployments.iter().map(ToString::to_string).collect(),
            services.iter().map(ToString::to_string).collect()
        )
    );
}

#[rstest]
#[case::pinned("Greeter", Some("dp_old"), Some("greeter-1"))]
#[case::unpinned("Greeter", None, Some("greeter-2"))]
#[case::pinned_to_what_is_gone("Greeter", Some("dp_gone"), Some("greeter-2"))]
#[case::of_nobody("Foreign", None, None)]
fn an_invocation_belongs_to_its_pin_or_to_where_its_service_goes(
    #[case] service: &str,
    #[case] pinned: Option<&str>,
    #[case] version: Option<&str>,
) {
    let found = invocation(service, pinned, InvocationState::Completed);
    let territory = territory();
    assert_eq!(territory.owner(&found).map(|owner| owner.version.as_str()), version);
}

/// Z12: an id that somebody wrote on a ReplicaSet of theirs proves nothing; the address that Restate calls does.
#[rstest]
#[case("http://greeter-1.shop.svc.cluster.local:9080/", true)]
#[case("http://greeter-1.shop.svc:9080", true)]
#[case("http://greeter-1.shop.svc.cluster.local:9080/some/path", true)]
#[case("http://greeter-1.bank.svc.cluster.local:9080/", false)]
#[case("http://greeter-10.shop.svc.cluster.local:9080/", false)]
#[case("http://greeter-1.shop.svcx:9080/", false)]
#[case("http://other:9080/greeter-1.shop.svc", false)]
#[case("http://user@greeter-1.shop.svc:9080/", false)]
#[case("arn:aws:lambda:greeter-1.shop.svc", false)]
fn z12_only_an_own_service_proves_ownership(#[case] endpoint: &str, #[case] own: bool) {
    assert_eq!(is_service(endpoint, "greeter-1", "shop"), own);
}

#[test]
fn offered_are_services_of_old_versions_too() {
    let territory = territory();
    let old = territory.scope(|owner| owner.version == "greeter-1");
    assert_eq!(names(&old.services), ["Old"]);
    assert_eq!(names(&territory.offered(&old)), ["Greeter", "Old"]);
}

/// W15: an answer of before a registration, of a Restate that does not answer any more, is no word about it.
#[rstest]
#[case::it_answers_and_does_not_know_it(None, false)]
#[case::it_does_not_answer_any_more(Some(1), true)]
#[case::it_answers_and_cannot_count_work(Some(-1), false)]
fn an_old_answer_is_not_the_whole(#[case] failed_after: Option<i64>, #[case] owes: bool) {
    let asked_at: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    let failure = failed_after.map(|millis| Failure {
        at: asked_at + jiff::SignedDuration::from_millis(millis),
        kind: FailureKind::Unavailable,
        message: String::new(),
    });
    let registry = Some(Reading { asked_at, value: Arc::default() });
    let told = Snapshot { registry, failure, ..Snapshot::default() };
    let territory = having_told(told, &[("shop", Some("dp_1")), ("fresh", None)]);
    assert_eq!((territory.owes(Some("shop")), territory.owes(None)), (owes, owes));
    assert!(!territory.owes(Some("fresh")));
}

/// E10: its pods take a while, so it is registered later than it is made.
#[rstest]
#[case::before_it_was_registered("2026-11-22T11:59:55Z", true)]
#[case::after("2026-11-22T11:59:56Z", false)]
fn e10_what_was_told_before_a_registration_cannot_name_it(#[case] told: &str, #[case] owes: bool) {
    let registry = Some(Reading { asked_at: told.parse().unwrap(), value: Arc::default() });
    let told = Snapshot { registry, ..Snapshot::default() };
    assert_eq!(having_told(told, &[("shop", Some("dp_1"))]).owes(Some("shop")), owes);
}

#[test]
fn who_has_told_nothing_owns_nothing() {
    let silent = Territory::new(territory().admin, Arc::default());
    assert_eq!((silent.observed_at(), silent.services().count()), (None, 0));
    assert!(silent.scope(|_| true).is_empty());
}
