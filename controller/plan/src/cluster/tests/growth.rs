//! Replication after a cluster has grown: raised where that is wanted and safe, never lowered, and said otherwise.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::*;
use crate::Configure;

fn configuration(replication: &str, provider: &str) -> Configuration {
    Configuration {
        partitions: 24,
        partition_replication: Some(replication.into()),
        log_provider: provider.into(),
        log_replication: Some(replication.into()),
        target_nodeset_size: 0,
    }
}

/// A provisioned cluster of so many nodes, all rolled out.
fn grown(replicas: i32, replication: Option<i32>, config: &str) -> (RestateCluster, Children) {
    let mut object = object(SMALL);
    object.spec.compute.replicas = Some(replicas);
    object.spec.config = Some(config.into());
    object.spec.cluster = Some(ClusterSettings {
        auto_provision: true,
        replication: replication.map(IntOrString::Int),
        ..ClusterSettings::default()
    });
    object.status = Some(serde_json::from_value(json!({"provisioned": true})).unwrap());
    let mut children = children(SMALL);
    let found = children.stateful_set.as_mut().unwrap();
    let fields = stateful_set::template_fields(&validate(&object).unwrap());
    found.annotations_mut().insert(stateful_set::TEMPLATE_FIELDS.into(), fields);
    found.spec.as_mut().unwrap().replicas = Some(replicas);
    all_ready(&mut children);
    (object, children)
}

fn look(object: &RestateCluster, children: &Children, found: Configuration, members: usize) -> Seen {
    let valid = validate(object).unwrap();
    let mut nodes = nodes(&valid, &NodeIdentity::Silent { why: "refused".into() });
    for node in nodes.iter_mut().take(members) {
        node.identity = NodeIdentity::Member;
    }
    Seen { nodes, configuration: Configured::Known(found), ..seen(children.clone()) }
}

fn configures(plan: &Plan) -> Vec<&Configure> {
    plan.steps.iter().filter_map(as_configure).collect()
}

fn as_configure(step: &Step) -> Option<&Configure> {
    if let Step::Configure(configure) = step { Some(configure) } else { None }
}

/// users.md §1b (op#195): growing 1→3 kept a single copy. Raised once every node belongs, and then at rest.
#[test]
fn replication_follows_the_nodes() {
    let (mut object, children) = grown(3, Some(2), "");
    let valid = validate(&object).unwrap();
    assert!(asks_configuration(&valid, &seen(children.clone())));
    let before = look(&object, &children, configuration("{node: 1}", "replicated"), 3);
    let first = plan(&valid, &before, now());
    let configure = configures(&first);
    assert_eq!(configure.len(), 1);
    assert_eq!(configure[0].found, configuration("{node: 1}", "replicated"));
    assert_eq!(configure[0].wanted, configuration("{node: 2}", "replicated"));
    assert_eq!(configure[0].node, "http://restate-0.restate-cluster.rs.svc.cluster.local:5122");

    let after = look(&object, &children, configuration("{node: 2}", "replicated"), 3);
    assert!(configures(&plan(&valid, &after, now())).is_empty());
    object.status = Some(status(&object, &valid, &after, now()));
    let settled = validate(&object).unwrap();
    assert!(!asks_configuration(&settled, &seen(children.clone())), "at rest nobody is asked");
    assert_eq!(plan(&settled, &seen(children.clone()), now()).outcome, Outcome::Settled);
    let kept = status(&object, &settled, &seen(children), now());
    assert_eq!(Some(&kept), object.status.as_ref(), "what was found stays said");
}

/// users.md §1b (op#195): the drift is visible, also where acting is off.
#[rstest]
#[case::wanted((Some(2), ""), ("{node: 1}", "replicated", 3), "ReplicationBehind", true)]
#[case::by_configuration_alone(
    (None, "default-replication = 2"), ("{node: 1}", "replicated", 3), "ReplicationBehind", false
)]
#[case::zones(
    (None, "default-replication = \"{zone: 2}\""), ("{node: 2}", "replicated", 3), "ReplicationBehind", false
)]
#[case::a_node_is_away((Some(2), ""), ("{node: 1}", "replicated", 2), "AwaitingNodes", false)]
#[case::more_copies_than_nodes((Some(4), ""), ("{node: 1}", "replicated", 3), "AwaitingNodes", false)]
#[case::higher((Some(2), ""), ("{node: 3}", "replicated", 3), "ReplicationHigher", false)]
#[case::farther_apart((Some(2), ""), ("{zone: 2}", "replicated", 3), "ReplicationHigher", false)]
#[case::local_logs((Some(2), ""), ("{node: 1}", "local", 3), "LogsAreLocal", false)]
fn drift_is_said(
    #[case] (wanted, config): (Option<i32>, &str),
    #[case] (found, provider, members): (&str, &str, usize),
    #[case] reason: &str,
    #[case] acts: bool,
) {
    let (object, children) = grown(3, wanted, config);
    let valid = validate(&object).unwrap();
    let seen = look(&object, &children, configuration(found, provider), members);
    let status = status(&object, &valid, &seen, now());
    let said = status.conditions.get(ConditionType::ClusterConfigDrift).unwrap();
    assert_eq!((said.status.as_str(), said.reason.as_deref()), ("True", Some(reason)));
    assert_eq!(!configures(&plan(&valid, &seen, now())).is_empty(), acts);
}

/// A cluster that nobody said anything about is asked nothing and told nothing.
#[test]
fn without_a_wish_nobody_is_asked() {
    let (object, children) = grown(3, None, "");
    let valid = validate(&object).unwrap();
    assert!(!asks_configuration(&valid, &seen(children.clone())));
    let status = status(&object, &valid, &seen(children), now());
    assert!(status.conditions.get(ConditionType::ClusterConfigDrift).is_none());
}

/// The cluster is provisioned with what is wanted, as far as its nodes go.
#[rstest]
#[case(1, Some(2), Some("{node: 1}"))]
#[case(3, Some(2), Some("{node: 2}"))]
#[case(3, None, None)]
fn provisioning_has_the_wanted_replication(
    #[case] replicas: i32,
    #[case] wanted: Option<i32>,
    #[case] expected: Option<&str>,
) {
    let (mut object, children) = grown(replicas, wanted, "");
    object.status = None;
    let valid = validate(&object).unwrap();
    let seen = Seen { nodes: nodes(&valid, &NodeIdentity::Blank), ..seen(children) };
    let plan = plan(&valid, &seen, now());
    let provision = plan.steps.iter().find_map(|step| match step {
        Step::Provision(provision) => Some(provision),
        _ => None,
    });
    assert_eq!(provision.unwrap().replication.as_deref(), expected);
}

/// users.md §1b (op#83): nodes find each other without anybody writing addresses.
#[rstest]
#[case::by_itself("", true)]
#[case::by_hand("[metadata-client]\naddresses = [\"http://restate:5122/\"]", false)]
#[case::elsewhere("[metadata-client]\ntype = \"object-store\"", false)]
fn nodes_find_the_metadata(#[case] config: &str, #[case] generated: bool) {
    let mut object = fresh(SMALL);
    object.spec.config = Some(config.into());
    let addresses = |object: &RestateCluster| {
        let set = stateful_set::stateful_set(&validate(object).unwrap(), &operator(), None);
        let server = set.spec.unwrap().template.spec.unwrap().containers.remove(0);
        server.env.unwrap().into_iter().find(|variable| variable.name == "RESTATE_METADATA_CLIENT__ADDRESSES")
    };
    let one = addresses(&object);
    assert_eq!(one.is_some(), generated);
    object.spec.compute.replicas = Some(3);
    assert_eq!(addresses(&object), one, "growing restarts nobody");
}

/// users.md §1b (op#74): a node whose disk was lost is named with its pod; the word of a silent cluster takes nothing
/// back, and the warning goes when nobody has lost a disk any more.
#[test]
fn a_lost_disk_is_named_until_it_is_mended() {
    let (mut object, mut children) = grown(3, None, "");
    let valid = validate(&object).unwrap();
    assert!(!asks_members(&valid, &seen(children.clone())), "at rest nobody is asked");
    children.stateful_set.as_mut().unwrap().status.as_mut().unwrap().ready_replicas = Some(2);
    assert!(asks_members(&valid, &seen(children.clone())));
    let member =
        |id: u32, lost| Member { id, name: format!("restate-{}", id - 1), lost, location: String::new() };
    let with = |children: &Children, lost| Seen {
        members: Some(vec![member(1, false), member(2, lost), member(3, false)]),
        ..seen(children.clone())
    };
    let lossy = with(&children, true);
    let waits = plan(&valid, &lossy, now()).outcome;
    assert!(matches!(waits, Outcome::Waiting { look_again: crate::LookAgain::After(_), .. }), "{waits:?}");
    object.status = Some(status(&object, &valid, &lossy, now()));
    let said = |object: &RestateCluster| {
        let said = object.status.as_ref().unwrap().conditions.get(ConditionType::NodeDataLoss).cloned();
        said.and_then(|said| said.message)
    };
    let message = said(&object).unwrap();
    assert!(
        message.starts_with("N2 (pod rs/restate-1) lost its disk") && message.contains("2 other"),
        "{message}"
    );

    let valid = validate(&object).unwrap();
    object.status = Some(status(&object, &valid, &seen(children.clone()), now()));
    assert_eq!(said(&object), Some(message), "nobody could tell");
    all_ready(&mut children);
    assert!(asks_members(&valid, &seen(children.clone())), "ready is not mended: the cluster has to say so");
    object.status = Some(status(&object, &valid, &with(&children, false), now()));
    assert_eq!(said(&object), None);
}

proptest! {
    /// Whatever is wanted and found: replication is never lowered, and nothing else is touched.
    #[test]
    fn replication_is_never_lowered(
        replicas in 1..6_i32,
        wanted in prop::option::of(1..7_i32),
        logs in prop_oneof![(1..7_u8).prop_map(|copies| format!("{{node: {copies}}}")), Just("{zone: 2}".to_owned()),
                            Just("nonsense".to_owned())],
        partitions in prop::option::of((1..7_u8).prop_map(|copies| copies.to_string())),
        provider in prop_oneof![Just("replicated"), Just("local")],
        members in 0..6_usize,
    ) {
        let (object, children) = grown(replicas, wanted, "");
        let valid = validate(&object).unwrap();
        let found = Configuration {
            partition_replication: partitions, log_replication: Some(logs), ..configuration("1", provider)
        };
        let seen = look(&object, &children, found.clone(), members);
        let plan = plan(&valid, &seen, now());
        for configure in configures(&plan) {
            prop_assert!(members >= usize::try_from(replicas).unwrap() && wanted.unwrap() <= replicas);
            let copies = |text: &Option<String>| {
                let digits: String = text.as_deref().unwrap_or("1").chars().filter(char::is_ascii_digit).collect();
                digits.parse::<u8>().unwrap_or(0)
            };
            prop_assert!(copies(&configure.wanted.log_replication) >= copies(&found.log_replication));
            prop_assert!(copies(&configure.wanted.partition_replication) >= copies(&found.partition_replication));
            if found.log_replication.as_deref() == Some("nonsense") {
                prop_assert_eq!(&configure.wanted.log_replication, &found.log_replication);
            }
            let untouched = |wanted: &Configuration| (wanted.partitions, wanted.log_provider.clone(), wanted.target_nodeset_size);
            prop_assert_eq!(untouched(&configure.wanted), untouched(&found));
        }
    }
}

fn members() -> Vec<Member> {
    let places = ["r.a", "r.b", "r.b"];
    let member = |(id, place): (u32, &str)| Member {
        id,
        name: format!("restate-{}", id - 1),
        lost: false,
        location: place.to_owned(),
    };
    (1..).zip(places).map(member).collect()
}

/// users.md §4: re-list logs until all segments follow. Said until then, asked until then.
#[rstest]
#[case::nothing_yet("2", &["{node: 1}", "{node: 1}"], &[(0, 1), (1, 2)], "False ReplicationFollowing 0 of 2 logs write, and 0 of 2")]
#[case::logs_first("2", &["{node: 2}", "{node: 2}"], &[(0, 1), (1, 2), (1, 3)], "False ReplicationFollowing 2 of 2 logs write, and 1 of 2")]
#[case::a_log_is_late("2", &["{node: 2}", "{node: 1}"], &[(0, 1), (0, 2), (1, 2), (1, 3)], "False ReplicationFollowing 1 of 2")]
#[case::all("2", &["{node: 2}", "{node: 3}"], &[(0, 1), (0, 2), (1, 2), (1, 3)], "True ReplicationFollowed all 2 logs")]
#[case::too_near("{zone: 2}", &["{zone: 2}", "{zone: 2}"], &[(0, 1), (0, 2), (1, 2), (1, 3)], "False ReplicationFollowing 2 of 2 logs write, and 1 of 2")]
#[case::not_said_as_apart("{zone: 2}", &["{node: 3}"], &[(0, 1), (0, 2)], "False ReplicationFollowing 0 of 1 logs")]
#[case::local_logs("2", &["local"], &[(0, 1), (0, 2)], "False ReplicationFollowing 0 of 1 logs write, and 1 of 1")]
#[case::no_log_is_known("2", &[], &[(0, 1), (0, 2)], "False ReplicationFollowing 0 of 0")]
fn growth_shows_how_far_it_is(
    #[case] wish: &str,
    #[case] logs: &[&str],
    #[case] partitions: &[(u32, u32)],
    #[case] expected: &str,
) {
    let (mut object, children) = grown(3, None, "");
    object.spec.cluster.as_mut().unwrap().replication = Some(IntOrString::String(wish.into()));
    object.metadata.generation = Some(7);
    let valid = validate(&object).unwrap();
    assert!(!asks_progress(&valid, &seen(children.clone())), "first the configuration");
    let wished = valid.wished.as_ref().unwrap().to_string();
    let asked = Seen {
        members: Some(members()),
        ..look(&object, &children, configuration(&wished, "replicated"), 3)
    };
    assert!(asks_progress(&valid, &asked));
    let logs = logs
        .iter()
        .zip(0..)
        .map(|(found, id)| (id, (*found != "local").then(|| (*found).to_owned())))
        .collect();
    let followed = Followed::Known(Copies { logs, partitions: partitions.to_vec(), members: members() });
    let asked = Seen { followed, ..asked };
    object.status = Some(status(&object, &valid, &asked, now()));
    let said = |object: &RestateCluster| {
        let said = object.status.as_ref().unwrap().conditions.get(ConditionType::ReplicationFollows).cloned();
        said.map(|said| format!("{} {} {}", said.status, said.reason.unwrap(), said.message.unwrap()))
    };
    let first = said(&object).unwrap();
    assert!(first.starts_with(expected), "{first}");
    let done = expected.starts_with("True");
    assert_eq!(plan(&valid, &asked, now()).outcome == Outcome::Settled, done);

    let valid = validate(&object).unwrap();
    let quiet = seen(children.clone());
    assert_eq!(asks_progress(&valid, &quiet), !done, "asked until it is done");
    let silent = Seen { followed: Followed::Unknown { why: "silent".into() }, ..quiet.clone() };
    let unknown = status(&object, &valid, &silent, now());
    let unknown = unknown.conditions.get(ConditionType::ReplicationFollows).unwrap();
    assert_eq!((unknown.status.as_str(), unknown.message.as_deref()), ("Unknown", Some("silent")));
    object.status = Some(status(&object, &valid, &quiet, now()));
    assert_eq!(said(&object), Some(first), "what was found stays said");
    object.metadata.generation = Some(8);
    let valid = validate(&object).unwrap();
    object.status = Some(status(&object, &valid, &quiet, now()));
    assert_eq!(said(&object), None, "another wish, another look");
}
