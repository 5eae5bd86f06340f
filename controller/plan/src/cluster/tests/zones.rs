//! Where nodes are, and copies that are apart (users.md §1b, op#195).

use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use restate_crd::cluster::NodeLocation;
use restate_crd::condition::Conditions;

use super::*;

/// A provisioned cluster of three nodes that say where they are, with this wish.
fn spread(replication: &str) -> (RestateCluster, Children) {
    let mut object = object(SMALL);
    object.spec.compute.replicas = Some(3);
    object.spec.cluster = Some(ClusterSettings {
        auto_provision: true,
        replication: Some(IntOrString::String(replication.into())),
        node_location: Some(NodeLocation::TopologyLabels),
        ..ClusterSettings::default()
    });
    object.status = Some(serde_json::from_value(json!({"provisioned": true})).unwrap());
    let mut children = children(SMALL);
    let set = children.stateful_set.as_mut().unwrap();
    let fields = stateful_set::template_fields(&validate(&object).unwrap());
    set.annotations_mut().insert(stateful_set::TEMPLATE_FIELDS.into(), fields);
    set.spec.as_mut().unwrap().replicas = Some(3);
    all_ready(&mut children);
    (object, children)
}

fn topology(region: &str, zone: &str) -> Topology {
    let label = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Topology { region: label(region), zone: label(zone) }
}

fn pod(ordinal: u32, labels: Topology, node: Option<NodeLabels>) -> Located {
    let bound = node.is_some().then(|| format!("node-{ordinal}"));
    let (name, uid) = (format!("restate-{ordinal}"), crate::Uid(format!("pod-{ordinal}")));
    Located { name, uid, node: bound, labels, node_labels: node.unwrap_or_default() }
}

fn labels(region: &str, zone: &str) -> NodeLabels {
    NodeLabels::Known(topology(region, zone))
}

fn server(object: &RestateCluster) -> Container {
    let set = stateful_set::stateful_set(&validate(object).unwrap(), &operator(), None);
    set.spec.unwrap().template.spec.unwrap().containers.remove(0)
}

/// No container starts before its pod has both labels; without the field nothing is different from before.
#[test]
fn a_node_joins_with_its_whole_location_or_not_at_all() {
    let (mut object, _) = spread("{zone: 2}");
    object.spec.compute.env =
        Some(vec![serde_json::from_value(json!({"name": "POD_ZONE", "value": "z"})).unwrap()]);
    let container = server(&object);
    let env = container.env.unwrap();
    let last = env.last().unwrap();
    assert_eq!(
        (last.name.as_str(), last.value.as_deref()),
        ("RESTATE_LOCATION", Some("$(POD_REGION).$(POD_ZONE)")),
        "after all that it names"
    );
    let mounts = container.volume_mounts.unwrap();
    let guard = mounts.iter().find(|mount| mount.mount_path == "/location").unwrap();
    assert_eq!(guard.sub_path_expr, last.value);
    assert!(guard.read_only == Some(true) && guard.sub_path.is_none());

    let with = stateful_set::template_fields(&validate(&object).unwrap());
    object.spec.cluster.as_mut().unwrap().node_location = None;
    assert_ne!(stateful_set::template_fields(&validate(&object).unwrap()), with, "it restarts the nodes");
    let container = server(&object);
    assert!(container.env.unwrap().iter().all(|variable| variable.name != "RESTATE_LOCATION"));
    assert!(container.volume_mounts.unwrap().iter().all(|mount| mount.sub_path_expr.is_none()));
}

/// Only what a pod lacks and its node has is copied, to exactly that pod.
#[rstest]
#[case::not_bound(pod(0, topology("", ""), None), json!(null))]
#[case::copied_by_kubernetes(pod(0, topology("r", "z"), None), json!(null))]
#[case::both(pod(0, topology("", ""), Some(labels("r", "z"))), json!({ZONE: "z", REGION: "r"}))]
#[case::one(pod(0, topology("r", ""), Some(labels("q", "z"))), json!({ZONE: "z"}))]
#[case::the_node_has_none(pod(0, topology("", ""), Some(labels("", ""))), json!(null))]
#[case::unknown(pod(0, topology("", ""), Some(NodeLabels::Unknown { why: "403".into() })), json!(null))]
fn labels_are_copied_and_never_changed(#[case] pod: Located, #[case] expected: Value) {
    let (object, mut children) = spread("{zone: 2}");
    children.stateful_set.as_mut().unwrap().status.as_mut().unwrap().ready_replicas = Some(2);
    let seen = Seen { located: vec![pod.clone()], ..seen(children) };
    let plan = plan(&validate(&object).unwrap(), &seen, now());
    let patches: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Aside(step) => match &**step {
                Step::Patch(patch) => Some(patch),
                _ => None,
            },
            _ => None,
        })
        .collect();
    if expected.is_null() {
        assert!(patches.is_empty());
    } else {
        let [patch] = patches.as_slice() else { panic!("{:?}", plan.steps) };
        assert_eq!(json!(patch.labels), expected);
        assert_eq!((patch.object.name.as_str(), &patch.uid), ("restate-0", &pod.uid));
        assert!(patch.annotations.is_empty() && patch.replicas.is_none());
    }
    let again = matches!(plan.outcome, Outcome::Waiting { look_again: crate::LookAgain::After(_), .. });
    assert!(again, "{:?}", plan.outcome);
}

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";

#[rstest]
#[case::no_pods(vec![], "False AwaitingLocation restate-0, restate-1, restate-2: no region and zone yet")]
#[case::all(
    (0..3).map(|ordinal| pod(ordinal, topology("r", &format!("z{ordinal}")), None)).collect(),
    "True LocationsKnown every pod knows"
)]
#[case::no_zone(
    vec![pod(1, topology("", ""), Some(labels("r", "")))],
    "False NodeWithoutLocation node node-1 has no label topology.kubernetes.io/zone; pod restate-1 starts once it has"
)]
#[case::dotted(
    vec![pod(1, topology("", ""), Some(labels("r", "z.1"))), pod(0, topology("", ""), Some(labels("", "")))],
    "False LocationNotAllowed \"z.1\" on node node-1 (pod restate-1): Restate takes no region or zone with a '.'"
)]
#[case::no_right(
    vec![pod(2, topology("", ""), Some(NodeLabels::Unknown { why: "no right".into() }))],
    "Unknown NodeLabelsUnknown nobody can tell where pod restate-2 runs: no right"
)]
#[case::moved(vec![pod(2, topology("r", "z9"), None)], "False LocationChanged restate-2 joined in r.z2, and its pod is in r.z9")]
fn what_keeps_a_node_from_its_location_is_said(#[case] pods: Vec<Located>, #[case] expected: &str) {
    let (object, mut children) = spread("{zone: 2}");
    children.stateful_set.as_mut().unwrap().status.as_mut().unwrap().ready_replicas = Some(2);
    let members = Some(vec![member(2, "r.z2")]);
    let seen = Seen { located: pods, members, ..seen(children) };
    let valid = validate(&object).unwrap();
    assert_eq!(pods_to_ask(&valid, &seen), ["restate-0", "restate-1", "restate-2"]);
    let said = said(&status(&object, &valid, &seen, now()).conditions, ConditionType::NodeLocations);
    assert!(said.starts_with(expected), "{said}");
}

fn said(conditions: &Conditions, kind: ConditionType) -> String {
    let said = conditions.get(kind).unwrap();
    format!(
        "{} {} {}",
        said.status,
        said.reason.as_deref().unwrap_or_default(),
        said.message.as_deref().unwrap_or_default()
    )
}

fn member(ordinal: u32, location: &str) -> Member {
    Member { id: ordinal + 1, name: format!("restate-{ordinal}"), lost: false, location: location.into() }
}

/// At rest no pod is looked at.
#[test]
fn where_nodes_run_their_pods_are_not_looked_at() {
    let (object, children) = spread("{node: 2}");
    let valid = validate(&object).unwrap();
    let seen = seen(children);
    assert!(pods_to_ask(&valid, &seen).is_empty());
    let status = status(&object, &valid, &seen, now());
    assert!(said(&status.conditions, ConditionType::NodeLocations).starts_with("True LocationsKnown"));
    assert!(!asks_members(&valid, &seen), "copies need not be apart");
}

/// Copies are moved apart once the nodes, by the cluster's own word, cover as many places.
#[rstest]
#[case::enough("{zone: 2}", &["r.a", "r.b", "r.a"], None)]
#[case::regions("{region: 2}", &["r", "s.a", "s.b"], None)]
#[case::in_every_zone("{zone: 3, node: 3}", &["r.a", "r.b", "r.c"], None)]
#[case::same_zone_elsewhere("{zone: 2}", &["r.a", "s.a", "r.a"], None)]
#[case::one_zone("{zone: 2}", &["r.a", "r.a", "r.a"], Some("2 zones are needed, and the nodes have r.a"))]
#[case::regions_alone("{zone: 2}", &["r", "s", "t"], Some("the nodes have none; restate-0, restate-1, restate-2 told none"))]
#[case::one_is_nowhere("{zone: 2}", &["r.a", "r.b", ""], Some("the nodes have r.a, r.b; restate-2 told none"))]
#[case::one_is_not_there("{zone: 2}", &["r.a", "r.b"], Some("restate-2 told none"))]
#[case::nobody_tells("{zone: 2}", &[], Some("told none"))]
#[case::one_region("{region: 2}", &["r.a", "r.b", "r.c"], Some("2 regions are needed, and the nodes have r"))]
fn copies_are_apart_once_the_nodes_are(
    #[case] wish: &str,
    #[case] locations: &[&str],
    #[case] missing: Option<&str>,
) {
    let (object, children) = spread(wish);
    let valid = validate(&object).unwrap();
    assert!(asks_members(&valid, &seen(children.clone())));
    let members = locations.iter().zip(0..).map(|(location, ordinal)| member(ordinal, location)).collect();
    let found = Configuration {
        partitions: 4,
        partition_replication: Some("{node: 1}".into()),
        log_provider: "replicated".into(),
        log_replication: Some("{node: 1}".into()),
        target_nodeset_size: 0,
    };
    let seen = Seen {
        members: (!locations.is_empty()).then_some(members),
        nodes: nodes(&valid, &NodeIdentity::Member),
        configuration: Configured::Known(found),
        ..seen(children)
    };
    let plan = plan(&valid, &seen, now());
    let raised = plan.steps.iter().find_map(|step| match step {
        Step::Configure(configure) => configure.wanted.log_replication.clone(),
        _ => None,
    });
    let drift = said(&status(&object, &valid, &seen, now()).conditions, ConditionType::ClusterConfigDrift);
    match missing {
        None => assert_eq!(
            (raised.as_deref(), drift.contains("ReplicationBehind")),
            (Some(wish), true),
            "{drift}"
        ),
        Some(missing) => assert!(
            raised.is_none() && drift.starts_with("True AwaitingZones") && drift.contains(missing),
            "{drift}"
        ),
    }
}

/// A new cluster begins with as many copies, which are moved apart once its nodes told where they are.
#[test]
fn a_new_cluster_begins_with_its_copies_anywhere() {
    let (mut object, children) = spread("{zone: 2, node: 3}");
    object.status = None;
    let valid = validate(&object).unwrap();
    let seen = Seen { nodes: nodes(&valid, &NodeIdentity::Blank), ..seen(children) };
    let plan = plan(&valid, &seen, now());
    let asked = plan.steps.iter().find_map(|step| match step {
        Step::Provision(provision) => provision.replication.clone(),
        _ => None,
    });
    assert_eq!(asked.as_deref(), Some("{node: 3}"));
}

#[rstest]
#[case(json!("{zone: 2}"), Some(2))]
#[case(json!("3"), Some(3))]
#[case(json!(3), Some(3))]
#[case(json!("{node: 2, zone: 3}"), None)]
#[case(json!("{zone: 0}"), None)]
#[case(json!("{rack: 2}"), None)]
#[case(json!(10), None)]
fn wishes_that_restate_would_refuse_are_named(#[case] wish: Value, #[case] copies: Option<u8>) {
    let (mut object, _) = spread("2");
    object.spec.cluster.as_mut().unwrap().replication = serde_json::from_value(wish).unwrap();
    match (validate(&object), copies) {
        (Ok(valid), Some(copies)) => assert_eq!(valid.replication, Some(copies)),
        (Err(error), None) => assert!(error.to_string().starts_with("spec.cluster.replication: "), "{error}"),
        (other, _) => panic!("{other:?}"),
    }
}

#[rstest]
#[case::configuration(Some("location = \"r.z\""), json!([]))]
#[case::environment(None, json!([{"name": "RESTATE_LOCATION", "value": "r.z"}]))]
#[case::elsewhere(None, json!([{"name": "RESTATE_LOCATION", "valueFrom": {}}]))]
fn a_location_is_said_once(#[case] config: Option<&str>, #[case] env: Value) {
    let (mut object, _) = spread("2");
    object.spec.config = config.map(str::to_owned);
    object.spec.compute.env = serde_json::from_value(env).unwrap();
    assert_eq!(validate(&object), Err(Invalid::LocationTwice));
    object.spec.cluster.as_mut().unwrap().node_location = None;
    assert!(validate(&object).is_ok());
}
