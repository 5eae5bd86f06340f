//! Clusters as the existing operator made them, clusters of our own, and what must never happen to either.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::Namespace;
use kube_core::ResourceExt;
use proptest::prelude::*;
use restate_crd::RestateCluster;
use restate_crd::cluster::{ClusterSettings, DeletionPolicy, Provisioning as By};
use restate_crd::condition::ConditionType;
use rstest::rstest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

mod growth;
mod identities;
mod reach;
mod rollout;
mod rules;
mod shrinking;
mod volumes;
mod zones;

use super::*;
use crate::{Object, Outcome, Plan, Step};

const RICH: &str = include_str!("../../testdata/cluster-rich.json");
const SMALL: &str = include_str!("../../testdata/cluster-rs.json");

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn operator() -> Operator {
    Operator {
        namespace: "restate-operator".into(),
        peers: vec![Peer { label: "app".into(), value: "restate-operator".into() }],
        dns_suffix: "cluster.local".into(),
        ca_image: "alpine:3.21".into(),
        identity: "controller-0".into(),
        aws_cluster: None,
        has_gcp_identities: false,
        manages_policies: true,
        manages_provider_classes: true,
    }
}

fn recorded<T: DeserializeOwned>(list: &str, kind: &str) -> Vec<T> {
    let list: Value = serde_json::from_str(list).unwrap();
    let items = list["items"].as_array().unwrap().iter().filter(|item| item["kind"] == kind);
    items.map(|item| serde_json::from_value(item.clone()).unwrap()).collect()
}

fn object(list: &str) -> RestateCluster {
    recorded(list, "RestateCluster").remove(0)
}

fn children(list: &str) -> Children {
    Children {
        namespace: recorded(list, "Namespace").pop(),
        service_account: recorded(list, "ServiceAccount").pop(),
        config_maps: recorded(list, "ConfigMap"),
        services: recorded(list, "Service"),
        stateful_set: recorded(list, "StatefulSet").pop(),
        disruption_budget: recorded(list, "PodDisruptionBudget").pop(),
        policies: recorded(list, "NetworkPolicy"),
        claims: recorded(list, "PersistentVolumeClaim"),
        expandable: [("local-path".to_owned(), true)].into(),
        secret_provider_class: None,
    }
}

fn fresh(list: &str) -> RestateCluster {
    let mut object = object(list);
    object.status = None;
    object
}

fn seen(children: Children) -> Seen {
    Seen { children, operator: operator(), ..Seen::default() }
}

fn nodes(valid: &Valid, identity: &NodeIdentity) -> Vec<Node> {
    let addresses = node_addresses(&valid.name, valid.replicas, "cluster.local");
    addresses.into_iter().map(|address| Node { address, identity: identity.clone() }).collect()
}

fn applied_objects(plan: &Plan) -> Vec<&Object> {
    plan.steps
        .iter()
        .filter_map(|step| match step {
            Step::Apply(_, object) | Step::Create(object) => Some(&**object),
            Step::Aside(step) => match &**step {
                Step::Apply(_, object) => Some(&**object),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// What the API server would hold after the plan.
fn after(children: Children, plan: &Plan) -> Children {
    let mut children = children;
    for object in applied_objects(plan) {
        match object.clone() {
            Object::Namespace(new) => children.namespace = Some(new),
            Object::ServiceAccount(new) => children.service_account = Some(new),
            Object::ConfigMap(new) => replace(&mut children.config_maps, new),
            Object::Service(new) => replace(&mut children.services, new),
            Object::NetworkPolicy(new) => replace(&mut children.policies, new),
            Object::PodDisruptionBudget(new) => children.disruption_budget = Some(new),
            Object::StatefulSet(mut new) => {
                new.metadata.uid = Some("set".into());
                children.stateful_set = Some(new);
            }
            Object::Foreign(_, new) => children.secret_provider_class = Some(new),
            Object::HorizontalPodAutoscaler(_) | Object::PersistentVolumeClaim(_) | Object::ReplicaSet(_) => {
                unreachable!("a cluster has no such object")
            }
        }
    }
    for step in &plan.steps {
        if let Step::Annotate { annotations, .. } = step {
            let found = children.stateful_set.as_mut().unwrap();
            for (key, value) in annotations {
                found.annotations_mut().insert(key.clone(), value.clone().unwrap());
            }
        }
        if let Step::Scale { replicas, .. } = step {
            children.stateful_set.as_mut().unwrap().spec.as_mut().unwrap().replicas = Some(*replicas);
        }
    }
    children
}

fn replace<T: kube_core::Resource>(all: &mut Vec<T>, new: T) {
    all.retain(|old| old.meta().name != new.meta().name);
    all.push(new);
}

fn all_ready(children: &mut Children) {
    let found = children.stateful_set.as_mut().unwrap();
    let replicas = stateful_set::observed_replicas(found);
    found.status = Some(StatefulSetStatus {
        observed_generation: found.metadata.generation,
        ready_replicas: Some(replicas),
        updated_replicas: Some(replicas),
        replicas,
        ..StatefulSetStatus::default()
    });
}

#[rstest]
#[case::rich(RICH, "restate-config-cf60c96c")]
#[case::small(SMALL, "restate-config-b22dc492")]
fn a_configuration_keeps_its_name(#[case] list: &str, #[case] name: &str) {
    let valid = validate(&object(list)).unwrap();
    assert_eq!(config_map::config_map(&valid).unwrap().name_any(), name);
}

/// Adoption: services, policies and the rest are described as they were found.
#[rstest]
#[case::rich(RICH)]
#[case::small(SMALL)]
fn objects_of_the_existing_operator_are_ours_to_the_field(#[case] list: &str) {
    let valid = validate(&object(list)).unwrap();
    let found = children(list);
    let spec = |value: Value| value["spec"].clone();
    let compare = |ours: Value, theirs: Value| {
        assert!(covers(&spec(theirs.clone()), &spec(ours.clone())), "{ours}\n{theirs}");
    };
    for ours in [services::client_service(&valid), services::peer_service(&valid)] {
        let theirs = found.services.iter().find(|theirs| theirs.name_any() == ours.name_any()).unwrap();
        compare(json!(ours), json!(theirs));
    }
    let policies = policies::policies(&valid, &operator());
    assert_eq!(policies.len(), found.policies.len());
    for theirs in &found.policies {
        let ours = policies.iter().find(|ours| theirs.name_any() == ours.name_any()).unwrap();
        compare(json!(ours), json!(theirs));
        compare(json!(theirs), json!(ours));
    }
    compare(json!(disruption_budget::disruption_budget(&valid, &found)), json!(found.disruption_budget));
}

fn covers(observed: &Value, wanted: &Value) -> bool {
    match (observed, wanted) {
        (Value::Object(observed), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| covers(observed.get(key).unwrap_or(&Value::Null), value))
        }
        (Value::Array(observed), Value::Array(wanted)) => {
            observed.len() == wanted.len() && observed.iter().zip(wanted).all(|(o, w)| covers(o, w))
        }
        (observed, wanted) => observed == wanted,
    }
}

/// adoption.md rule 2: the template stays as found, until the user changes a field of it.
#[rstest]
#[case::rich(RICH)]
#[case::small(SMALL)]
fn taking_over_restarts_no_pod(#[case] list: &str) {
    let object = object(list);
    let valid = validate(&object).unwrap();
    let found = children(list);
    let first = plan(&valid, &seen(found.clone()), now());
    assert!(
        !applied_objects(&first).iter().any(|object| matches!(object, Object::StatefulSet(_))),
        "{:#?}",
        first.steps
    );
    let adopted = after(found, &first);
    assert_eq!(plan(&valid, &seen(adopted.clone()), now()).steps, vec![], "a second pass changes nothing");

    let mut changed = object;
    changed.spec.compute.image = "docker.io/restatedev/restate:1.7.13".into();
    let valid = validate(&changed).unwrap();
    let rolled = plan(&valid, &seen(adopted), now());
    let sets = applied_objects(&rolled).into_iter().filter(|object| matches!(object, Object::StatefulSet(_)));
    assert_eq!(sets.count(), 1);
}

#[rstest]
#[case::rich(RICH)]
#[case::small(SMALL)]
fn a_new_cluster_comes_to_rest(#[case] list: &str) {
    let object = fresh(list);
    let valid = validate(&object).unwrap();
    let mut children = Children::default();
    let first = plan(&valid, &seen(children.clone()), now());
    assert!(matches!(first.steps.first(), Some(Step::Create(_))), "the namespace comes first");
    children = after(children, &first);
    all_ready(&mut children);
    let asked = Seen { nodes: nodes(&valid, &NodeIdentity::Blank), ..seen(children.clone()) };
    let second = plan(&valid, &asked, now());
    assert!(
        matches!(second.steps[..], [Step::Claim(_), Step::Provision(_), Step::Note(_)]),
        "{:#?}",
        second.steps
    );
    let member = Seen { nodes: nodes(&valid, &NodeIdentity::Member), ..seen(children) };
    let third = plan(&valid, &member, now());
    assert_eq!(third, Plan { steps: vec![], parts: Vec::new(), outcome: Outcome::Settled });
    let status = status(&object, &valid, &member, now());
    assert_eq!(status.provisioned, Some(true));
    assert!(status.conditions.holds(ConditionType::Ready), "{:#?}", status.conditions);
}

#[test]
fn the_objects_of_a_new_cluster() {
    let valid = validate(&fresh(RICH)).unwrap();
    let set = stateful_set::stateful_set(&valid, &operator(), None);
    insta::assert_yaml_snapshot!("stateful_set", set);
    let account = service_account::service_account(&valid);
    insta::assert_yaml_snapshot!("service_account", account);
}

/// users.md 2b (op#134): every pod of ours passes the restricted profile.
#[test]
fn pods_pass_the_restricted_profile() {
    let mut object = fresh(RICH);
    object.spec.compute.sidecars = None;
    let set = stateful_set::stateful_set(&validate(&object).unwrap(), &operator(), None);
    let pod = set.spec.unwrap().template.spec.unwrap();
    let context = pod.security_context.unwrap();
    assert_eq!(context.run_as_non_root, Some(true));
    assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault");
    let containers: Vec<_> = pod.containers.iter().chain(pod.init_containers.iter().flatten()).collect();
    assert_eq!(containers.len(), 2, "the server and the joiner of bundles");
    for container in containers {
        let own = container.security_context.clone().unwrap();
        assert_eq!(own.allow_privilege_escalation, Some(false));
        assert_eq!(own.capabilities.unwrap().drop, Some(vec!["ALL".to_owned()]));
    }
}

/// users.md 2a, 1.9.0 (op#70): a namespace that is not ours is used and never changed or owned.
#[test]
fn a_foreign_namespace_is_left_alone() {
    let valid = validate(&fresh(SMALL)).unwrap();
    let mut foreign = Namespace::default();
    foreign.metadata.name = Some("rs".into());
    let plan = plan(&valid, &seen(Children { namespace: Some(foreign), ..Children::default() }), now());
    assert!(!applied_objects(&plan).iter().any(|object| matches!(object, Object::Namespace(_))));
    assert!(applied_objects(&plan).iter().any(|object| matches!(object, Object::StatefulSet(_))));
}

/// adoption.md rule 7: never seize.
#[test]
fn a_foreign_stateful_set_is_left_alone_and_said() {
    let object = fresh(SMALL);
    let valid = validate(&object).unwrap();
    let mut found = children(SMALL);
    found.stateful_set.as_mut().unwrap().metadata.owner_references = None;
    let seen = seen(found);
    assert_eq!(plan(&valid, &seen, now()).steps, vec![]);
    let status = status(&object, &valid, &seen, now());
    assert!(status.conditions.holds(ConditionType::Stalled));
}

#[test]
fn growing_scales_and_restarts_nothing() {
    let mut object = object(SMALL);
    object.spec.compute.replicas = Some(3);
    let valid = validate(&object).unwrap();
    let adopted = after(children(SMALL), &plan(&valid, &seen(children(SMALL)), now()));
    let steps = plan(&valid, &seen(adopted), now()).steps;
    assert!(matches!(steps[..], [Step::Scale { replicas: 3, .. }]), "{steps:#?}");
}

#[rstest]
#[case::disabled(true)]
#[case::enabled(false)]
fn policies_come_and_go_with_their_switch(#[case] disabled: bool) {
    let mut object = object(RICH);
    object.spec.security.as_mut().unwrap().disable_network_policies = Some(disabled);
    let valid = validate(&object).unwrap();
    let steps = plan(&valid, &seen(children(RICH)), now()).steps;
    let deletes = |step: &&Step| matches!(step, Step::Aside(inner) if matches!(**inner, Step::Delete { .. }));
    assert_eq!(steps.iter().filter(deletes).count(), if disabled { 7 } else { 0 });
}

#[test]
fn without_access_to_the_admin_port_the_operator_is_no_peer_of_it() {
    let mut object = fresh(RICH);
    let security = object.spec.security.as_mut().unwrap();
    security.allow_operator_access_to_admin = Some(false);
    security.network_peers = None;
    let policies = policies::policies(&validate(&object).unwrap(), &operator());
    let admin = policies.iter().find(|policy| policy.name_any() == "allow-admin-access").unwrap();
    let rules = admin.spec.as_ref().unwrap().ingress.as_ref().unwrap();
    assert_eq!(rules, &vec![], "no peers is no rule: a rule without peers would admit everybody");
}

#[rstest]
#[case::dots("a.b", "metadata.name")]
fn a_name_that_no_namespace_can_have_is_refused(#[case] name: &str, #[case] field: &str) {
    let mut object = fresh(SMALL);
    object.metadata.name = Some(name.into());
    assert!(validate(&object).unwrap_err().to_string().starts_with(field));
}

#[rstest]
#[case::no_toml(json!({"config": "roles = ["}), "spec.config: is not TOML")]
#[case::no_image(json!({"compute": {"image": " "}}), "spec.compute.image: is empty")]
#[case::negative(json!({"compute": {"image": "x", "replicas": -1}}), "spec.compute.replicas: -1")]
#[case::splits(
    json!({"config": "auto-provision = true", "compute": {"image": "x", "replicas": 3}}),
    "spec.config: auto-provision is true"
)]
#[case::volume(
    json!({"compute": {"image": "x", "extraVolumes": [{"name": "storage", "emptyDir": {}}]}}),
    "spec.compute.extraVolumes: volume \"storage\""
)]
#[case::mount(
    json!({"compute": {"image": "x", "extraVolumeMounts": [{"name": "tmp", "mountPath": "/config/"}]}}),
    "spec.compute.extraVolumeMounts: mountPath \"/config/\""
)]
#[case::two_mounts(
    json!({"compute": {"image": "x", "extraVolumeMounts": [
        {"name": "tmp", "mountPath": "/a"}, {"name": "tmp", "mountPath": "/a"}]}}),
    "spec.compute.extraVolumeMounts: mountPath \"/a\""
)]
#[case::missing_volume(
    json!({"compute": {"image": "x", "extraVolumeMounts": [{"name": "y", "mountPath": "/a"}]}}),
    "spec.compute.extraVolumeMounts: there is no volume \"y\""
)]
#[case::authority_mount(
    json!({"compute": {"image": "x", "extraVolumeMounts": [{"name": "tmp", "mountPath": "/trusted-ca-0"}]},
           "security": {"trustedCaCerts": [{"secretName": "a", "key": "b"}]}}),
    "spec.compute.extraVolumeMounts: mountPath \"/trusted-ca-0\""
)]
#[case::sidecar(
    json!({"compute": {"image": "x", "sidecars": [{"name": "restate"}]}}),
    "spec.compute.sidecars: container \"restate\""
)]
#[case::two_sidecars(
    json!({"compute": {"image": "x", "sidecars": [{"name": "a"}, {"name": "a"}]}}),
    "spec.compute.sidecars: container \"a\""
)]
#[case::pull_policy(
    json!({"compute": {"image": "x", "imagePullPolicy": "Sometimes"}}),
    "spec.compute.imagePullPolicy: \"Sometimes\""
)]
#[case::signing_version(
    json!({"security": {"requestSigningPrivateKey": {"version": "v2"}}}),
    "spec.security.requestSigningPrivateKey.version: \"v2\""
)]
#[case::signing_source(
    json!({"security": {"requestSigningPrivateKey": {"version": "v1"}}}),
    "spec.security.requestSigningPrivateKey: exactly one"
)]
fn bad_input_is_named_by_its_field(#[case] patch: Value, #[case] message: &str) {
    let mut object = json!(fresh(SMALL));
    for (key, value) in patch.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    let object: RestateCluster = serde_json::from_value(object).unwrap();
    let error = validate(&object).unwrap_err();
    assert!(error.to_string().starts_with(message), "{error}");
    let status = invalid(&object, &error, now());
    assert!(status.conditions.holds(ConditionType::Stalled));
}

#[rstest]
#[case::unprotected(None, &["shop/greeter"], true)]
#[case::unused(Some(true), &[], true)]
#[case::in_use(Some(true), &["shop/greeter"], false)]
fn protection_holds_a_deletion_while_somebody_registers(
    #[case] protection: Option<bool>,
    #[case] users: &[&str],
    #[case] goes: bool,
) {
    let mut object = object(SMALL);
    object.spec.deletion_protection = protection;
    let users = users.iter().map(|user| (*user).to_owned()).collect();
    let seen = Seen { users, ..seen(children(SMALL)) };
    let plan = deletion(&object, &seen);
    assert_eq!(plan.outcome == Outcome::Settled, goes);
    assert_eq!(plan.steps, vec![]);
    let status = deleting(&object, &seen, now());
    assert_eq!(status.conditions.holds(ConditionType::Stalled), !goes);
}

#[test]
fn retained_volumes_stay_because_their_namespace_is_disowned() {
    let mut object = object(SMALL);
    object.spec.storage.deletion_policy = Some(DeletionPolicy::Retain);
    let steps = deletion(&object, &seen(children(SMALL))).steps;
    assert!(matches!(&steps[..], [Step::Owners { owners, .. }] if owners.is_empty()), "{steps:#?}");
}

fn any_identity() -> impl Strategy<Value = NodeIdentity> {
    prop_oneof![
        Just(NodeIdentity::Blank),
        Just(NodeIdentity::Member),
        Just(NodeIdentity::Silent { why: "refused".into() }),
    ]
}

prop_compose! {
    /// Any cluster of up to five nodes, with any words of any of them, and any claim.
    fn any_world()(
        replicas in 0..5_i32,
        identities in prop::collection::vec(prop::option::of(any_identity()), 5),
        provisioned in prop::option::of(any::<bool>()),
        by in prop::option::of(prop_oneof![Just(By::Auto), Just(By::Manual)]),
        auto in any::<bool>(),
        claim_age in prop::option::of(-5..200_i64),
        own_claim in any::<bool>(),
    ) -> (RestateCluster, Vec<Node>) {
        let mut object = fresh(SMALL);
        object.spec.compute.replicas = Some(replicas);
        object.spec.cluster = Some(ClusterSettings { auto_provision: auto, provisioning: by, ..ClusterSettings::default() });
        object.status = provisioned.map(|provisioned| serde_json::from_value(json!({"provisioned": provisioned})).unwrap());
        if let Some(age) = claim_age {
            let holder = if own_claim { "controller-0" } else { "apiserver-1" };
            let text = Claimed::text(holder, now() - SignedDuration::from_secs(age));
            object.annotations_mut().insert(CLAIM.to_owned(), text);
        }
        let addresses = node_addresses("rs", 5, "cluster.local");
        let nodes = addresses.into_iter().zip(identities).filter_map(|(address, identity)| Some(Node { address, identity: identity? }));
        (object, nodes.collect())
    }
}

proptest! {
    /// architecture §4.4: every expected node must answer, none may belong to a cluster; a claim comes first.
    #[test]
    fn provisioning_needs_every_nodes_word_and_a_claim((object, nodes) in any_world()) {
        let valid = validate(&object).unwrap();
        let seen = Seen { nodes, ..seen(Children::default()) };
        let plan = plan(&valid, &seen, now());
        let Some(position) = plan.steps.iter().position(|step| matches!(step, Step::Provision(_))) else { return Ok(()) };
        prop_assert!(matches!(plan.steps[position - 1], Step::Claim(_)));
        let Step::Provision(provision) = &plan.steps[position] else { unreachable!() };
        prop_assert_eq!(&provision.node, &node_addresses("rs", 1, "cluster.local")[0], "always node 0");
        prop_assert!(!valid.provisioned);
        prop_assert_eq!(valid.provisioned_by, By::Auto);
        for address in node_addresses("rs", valid.replicas, "cluster.local") {
            let word = seen.nodes.iter().find(|node| node.address == address).map(|node| &node.identity);
            prop_assert_eq!(word, Some(&NodeIdentity::Blank));
        }
        prop_assert!(seen.nodes.iter().all(|node| node.identity != NodeIdentity::Member));
        if let Some(claim) = &valid.claim {
            let stale = claim.at + SignedDuration::from_secs(60) <= now();
            prop_assert!(stale || claim.holder == "controller-0");
        }
    }

    /// architecture §4.5: whatever is asked for, claims of an existing set stay as they are and nodes are never fewer.
    #[test]
    fn an_existing_set_keeps_its_claims_and_its_nodes(
        replicas in 0..6_i32, bytes in 1..i64::MAX, image in "[a-z]{1,4}", class in prop::option::of("[a-z]{1,3}")
    ) {
        let mut object = object(RICH);
        object.spec.compute.replicas = Some(replicas);
        object.spec.compute.image = image;
        object.spec.storage.storage_request_bytes = bytes;
        object.spec.storage.storage_class_name = class;
        let valid = validate(&object).unwrap();
        let found = after(children(RICH), &plan(&validate(&super::tests::object(RICH)).unwrap(), &seen(children(RICH)), now()));
        let before = found.stateful_set.clone().unwrap();
        let after = after(found.clone(), &plan(&valid, &seen(found), now())).stateful_set.unwrap();
        let storage = |set: &StatefulSet| stateful_set::found_storage(set).cloned();
        prop_assert_eq!(storage(&after), storage(&before));
        prop_assert!(stateful_set::observed_replicas(&after) >= stateful_set::observed_replicas(&before));
    }
}
