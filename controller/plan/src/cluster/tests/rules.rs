//! Upgrades, memory, and what is worth a warning.

use k8s_openapi::api::core::v1::Container;

use super::*;

const WARNINGS: [&str; 6] = [
    "UpgradeHeld",
    "SnapshotsNotConfigured",
    "MemoryOvercommitted",
    "AdminAccessClosed",
    "SharesOperatorNamespace",
    "NotManaged",
];

/// A cluster that runs this image on every node.
fn running(image: &str, rolled_out: bool) -> (RestateCluster, Children) {
    let mut object = object(SMALL);
    object.spec.compute.image = image.into();
    let mut children = children(SMALL);
    let found = children.stateful_set.as_mut().unwrap();
    let valid = validate(&object).unwrap();
    found
        .annotations_mut()
        .insert(stateful_set::TEMPLATE_FIELDS.into(), stateful_set::template_fields(&valid));
    let pod = found.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
    pod.containers.iter_mut().find(|container| container.name == NAME).unwrap().image = Some(image.into());
    all_ready(&mut children);
    if !rolled_out {
        children.stateful_set.as_mut().unwrap().status.as_mut().unwrap().updated_replicas = Some(0);
    }
    (object, children)
}

fn server(valid: &Valid) -> Container {
    let set = stateful_set::stateful_set(valid, &operator(), None);
    set.spec.unwrap().template.spec.unwrap().containers.remove(0)
}

/// users.md §1b (op#83 comment), §4 (server/upgrading): one minor at a time, no way down, unless overridden.
#[rstest]
#[case::patch("restate:1.7.1", "restate:1.7.12", None, true, None)]
#[case::patch_down("restate:1.7.12", "restate:1.7.1", None, true, None)]
#[case::next_minor("restate:1.6.2", "restate:1.7.0", None, true, None)]
#[case::next_major("restate:1.9.0", "restate:2.0.0", None, true, None)]
#[case::skipped("restate:1.5.0", "restate:1.7.0", None, true, Some("VersionSkipped"))]
#[case::down("restate:1.7.0", "restate:1.6.2", None, true, Some("VersionLowered"))]
#[case::unfinished("restate:1.6.2", "restate:1.7.0", None, false, Some("RolloutUnfinished"))]
#[case::patch_while_unfinished("restate:1.6.2", "restate:1.6.3", None, false, None)]
#[case::overridden("restate:1.5.0", "restate:1.7.0", Some("1.7.0"), true, None)]
#[case::another_override("restate:1.5.0", "restate:1.7.0", Some("1.6.0"), true, Some("VersionSkipped"))]
#[case::unknown("restate:main", "restate:1.7.0", None, true, None)]
fn an_image_is_rolled_out_if_restate_can_follow(
    #[case] from: &str,
    #[case] to: &str,
    #[case] allowed: Option<&str>,
    #[case] rolled_out: bool,
    #[case] held: Option<&str>,
) {
    let (mut object, children) = running(from, rolled_out);
    object.spec.compute.image = to.into();
    if let Some(allowed) = allowed {
        object.annotations_mut().insert(ALLOW_VERSION.into(), allowed.into());
    }
    let valid = validate(&object).unwrap();
    let seen = seen(children);
    let plan = plan(&valid, &seen, now());
    let rolls = applied_objects(&plan).into_iter().any(|object| matches!(object, Object::StatefulSet(_)));
    assert_eq!(rolls, held.is_none());
    let status = status(&object, &valid, &seen, now());
    let said = status.conditions.get(ConditionType::UpgradeHeld).and_then(|said| said.reason.as_deref());
    assert_eq!(said, held);
    let stalled = held.is_some_and(|reason| reason != "RolloutUnfinished");
    assert_eq!(status.conditions.holds(ConditionType::Stalled), stalled);
}

/// A hold keeps the pods as they are; nodes may be added all the same.
#[test]
fn growing_goes_on_while_an_upgrade_is_held() {
    let (mut object, children) = running("restate:1.5.0", true);
    object.spec.compute.image = "restate:1.7.0".into();
    object.spec.compute.replicas = Some(3);
    let steps = plan(&validate(&object).unwrap(), &seen(children), now()).steps;
    assert!(steps.iter().any(|step| matches!(step, Step::Scale { replicas: 3, .. })), "{steps:#?}");
}

/// users.md §4 (server/memory): shares of the limit, where the user says nothing.
#[rstest]
#[case::from_the_limit("", json!([]), Some("4Gi"), [Some("1717986880"), Some("429496720")])]
#[case::no_limit("", json!([]), None, [None, None])]
#[case::too_small("", json!([]), Some("128Mi"), [None, None])]
#[case::configured("rocksdb-total-memory-size = \"1 GiB\"", json!([]), Some("4Gi"), [None, Some("429496720")])]
#[case::in_the_environment(
    "", json!([{"name": "RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE", "value": "1 GiB"}]), Some("4Gi"),
    [Some("1 GiB"), Some("429496720")]
)]
fn memory_follows_the_limit(
    #[case] config: &str,
    #[case] env: Value,
    #[case] limit: Option<&str>,
    #[case] expected: [Option<&str>; 2],
) {
    let mut object = json!(fresh(SMALL));
    object["spec"]["config"] = json!(config);
    object["spec"]["compute"]["env"] = env;
    object["spec"]["compute"]["resources"] =
        limit.map_or(json!({}), |limit| json!({"limits": {"memory": limit}}));
    let valid = validate(&serde_json::from_value(object).unwrap()).unwrap();
    let env = server(&valid).env.unwrap();
    let value = |name: &str| env.iter().find(|variable| variable.name == name)?.value.as_deref();
    let names = ["RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE", "RESTATE_ADMIN__QUERY_ENGINE__MEMORY_SIZE"];
    assert_eq!(names.map(value), expected);
}

/// users.md §4 (server/memory, server/snapshots), §1 of the parity list: what is said and when it is taken back.
#[rstest]
#[case::too_much_memory(
    json!({"config": "rocksdb-total-memory-size = \"3 GiB\"", "compute": {"image": "x", "resources": {"limits": {"memory": "2Gi"}}}}),
    Some("MemoryOvercommitted")
)]
#[case::enough_memory(
    json!({"config": "rocksdb-total-memory-size = \"1 GiB\"", "compute": {"image": "x", "resources": {"limits": {"memory": "2Gi"}}}}),
    None
)]
#[case::no_snapshots(json!({"config": "", "compute": {"image": "x", "replicas": 3}}), Some("SnapshotsNotConfigured"))]
#[case::one_node(json!({"config": "", "compute": {"image": "x", "replicas": 1}}), None)]
#[case::snapshots(
    json!({"config": "[worker.snapshots]\ndestination = \"s3://b/s\"", "compute": {"image": "x", "replicas": 3}}), None
)]
#[case::snapshots_by_variable(
    json!({"config": "", "compute": {"image": "x", "replicas": 3, "env": [
        {"name": "RESTATE_WORKER__SNAPSHOTS__DESTINATION", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]}}),
    None
)]
#[case::admin_closed(
    json!({"compute": {"image": "x"}, "security": {"allowOperatorAccessToAdmin": false}}), Some("AdminAccessClosed")
)]
#[case::nothing_to_close(
    json!({"compute": {"image": "x"}, "security": {"allowOperatorAccessToAdmin": false, "disableNetworkPolicies": true}}),
    None
)]
fn warnings_hold_while_they_are_true(#[case] spec: Value, #[case] warned: Option<&str>) {
    let mut object = json!(fresh(SMALL));
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    // Every warning was true before.
    let before = WARNINGS.map(|kind| json!({"type": kind, "status": "True"}));
    object["status"] = json!({"conditions": before});
    let object: RestateCluster = serde_json::from_value(object).unwrap();
    let status = status(&object, &validate(&object).unwrap(), &seen(Children::default()), now());
    let said = status.conditions.iter().map(|said| said.kind.as_str());
    let held: Vec<_> = said.filter(|kind| WARNINGS.contains(kind)).collect();
    assert_eq!(held, warned.into_iter().collect::<Vec<_>>());
}

/// README: do not use the same namespace that the operator is in; the warning by name in the parity list.
#[test]
fn a_cluster_in_the_operators_namespace_is_warned_about() {
    let mut object = fresh(SMALL);
    object.metadata.name = Some("restate-operator".into());
    let status = status(&object, &validate(&object).unwrap(), &seen(Children::default()), now());
    assert!(status.conditions.holds(ConditionType::SharesOperatorNamespace));
}

/// The pull policy by tag is Kubernetes' own default: we say nothing. `clusterName`, `serviceAnnotations`, by name.
#[test]
fn fields_that_are_passed_on() {
    let mut object = fresh(RICH);
    object.spec.compute.image_pull_policy = None;
    let valid = validate(&object).unwrap();
    let server = server(&valid);
    assert_eq!(server.image_pull_policy, None);
    let name =
        server.env.unwrap().into_iter().find(|variable| variable.name == "RESTATE_CLUSTER_NAME").unwrap();
    assert_eq!(name.value.as_deref(), Some("rich-cluster"));
    let service = services::client_service(&valid);
    assert_eq!(service.annotations().get("example.com/svc").map(String::as_str), Some("yes"));
    assert!(services::peer_service(&valid).annotations().get("example.com/svc").is_none());
}

/// `canaryImage`: the image that joins bundles is the operator's to name (users.md §1b, op#94). `clusterDns`: the
/// nodes are asked under the suffix (§2a 2.3.0).
#[test]
fn the_operators_own_settings_reach_the_objects() {
    let operator = Operator { ca_image: "registry.corp/ca:1".into(), ..operator() };
    let set = stateful_set::stateful_set(&validate(&fresh(RICH)).unwrap(), &operator, None);
    let joiner = set.spec.unwrap().template.spec.unwrap().init_containers.unwrap().remove(0);
    assert_eq!(joiner.image.as_deref(), Some("registry.corp/ca:1"));
    let addresses = node_addresses("rich", 1, "corp.internal");
    assert_eq!(addresses, ["http://restate-0.restate-cluster.rich.svc.corp.internal:5122"]);
}

/// users.md §1b (optional resource management): what is switched off is not made, not removed and not asked for; a spec
/// that asks for it says so.
#[rstest]
#[case::all_on(true, true, false, None)]
#[case::no_policies(false, true, false, Some("network policies are not made"))]
#[case::wanted_open(false, true, true, None)]
#[case::no_classes(
    true,
    false,
    false,
    Some("SecretProviderClass rs/restate-request-signing-private-key is not made")
)]
#[case::neither(false, false, false, Some("; SecretProviderClass"))]
fn what_is_switched_off_is_left_alone_and_said(
    #[case] policies: bool,
    #[case] classes: bool,
    #[case] open: bool,
    #[case] expected: Option<&str>,
) {
    let mut object = json!(object(SMALL));
    object["spec"]["security"] = json!({
        "disableNetworkPolicies": open,
        "requestSigningPrivateKey": {"version": "v1", "secretProvider": {"provider": "aws", "path": "key.pem"}},
    });
    let object: RestateCluster = serde_json::from_value(object).unwrap();
    let valid = validate(&object).unwrap();
    let mut seen = seen(children(SMALL));
    seen.operator.manages_policies = policies;
    seen.operator.manages_provider_classes = classes;
    let plan = plan(&valid, &seen, now());
    let touched = |kind: &str| plan.steps.iter().any(|step| format!("{step:?}").contains(kind));
    assert_eq!(touched("SecretProviderClass"), classes);
    assert_eq!(
        touched("kind: \"NetworkPolicy\"") || touched("NetworkPolicy("),
        policies,
        "{:#?}",
        plan.steps
    );
    let status = status(&object, &valid, &seen, now());
    let said = status.conditions.get(ConditionType::NotManaged);
    match (said, expected) {
        (None, None) => {}
        (Some(said), Some(expected)) => {
            let message = said.message.as_deref().unwrap();
            assert!(said.reason.as_deref() == Some("SwitchedOff") && message.contains(expected), "{message}");
        }
        other => panic!("{other:?}"),
    }
}
