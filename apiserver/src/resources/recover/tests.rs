//! One thing amiss is enough to refuse, and each is named; only a world in which nothing is amiss lets a node begin.

use std::collections::BTreeMap;

use proptest::prelude::*;
use restate_client::node::{
    Held, LogChain, Logs, MetadataStatus, NodeStatus, Nodes, Report, RoleStatus, Segment, WorkerState,
};
use rstest::rstest;

use super::*;
use crate::resources::tests::retry_after;

const NAMED: Named<'_> = Named { group: "restate.dev", resource: "restateclusters", name: "prod" };

fn listed(id: u32, storage: StorageState) -> Listed {
    Listed {
        id,
        name: format!("restate-{}", id - 1),
        storage,
        worker: WorkerState::Active,
        metadata: "member".to_owned(),
        location: String::new(),
        version: "1.7.12".to_owned(),
    }
}

fn report(id: u32) -> Report {
    Report {
        node_id: Some(id),
        status: NodeStatus::Alive,
        roles: vec!["admin".to_owned(), "log-server".to_owned()],
        admin: RoleStatus::Ready,
        worker: RoleStatus::Ready,
        log_server: RoleStatus::Ready,
        metadata: MetadataStatus::Member,
        uptime_seconds: 1,
        generation: Some(1),
    }
}

fn segment(from: u64, nodes: &[u32], copies: u32) -> Segment {
    Segment { from, held: Held::By(nodes.to_vec()), copies: Some(copies), replication: None }
}

/// Three nodes, of which N3 lost its disk; one log has moved on without it, the other has not.
fn seen() -> Seen {
    let nodes = [(1, StorageState::ReadWrite), (2, StorageState::ReadWrite), (3, StorageState::DataLoss)];
    let chain = |id, segments| LogChain { id, segments };
    Seen {
        nodes: Nodes { version: 19, nodes: nodes.map(|(id, storage)| listed(id, storage)).into() },
        logs: Logs {
            version: 3,
            logs: vec![
                chain(0, vec![segment(1, &[1, 2, 3], 2), segment(8, &[1, 2], 2)]),
                chain(1, vec![segment(1, &[1, 2, 3], 2)]),
            ],
        },
        metadata: vec![1, 2, 3],
        answers: BTreeMap::from([
            (1, Ok(report(1))),
            (2, Ok(report(2))),
            (3, Err("node http://restate-2 cannot be reached".to_owned())),
        ]),
    }
}

fn changed(change: impl Fn(&mut Seen)) -> Seen {
    let mut seen = seen();
    change(&mut seen);
    seen
}

fn lost(seen: &Seen) -> Verdict {
    judge::verdict(&seen.nodes.nodes[2], seen)
}

fn second_in_failsafe(seen: &mut Seen) {
    seen.answers.insert(2, Ok(Report { log_server: RoleStatus::Failsafe, ..report(2) }));
}

#[test]
fn a_lost_disk_whose_copies_are_whole_may_begin_anew() {
    let Verdict::May(guards) = lost(&seen()) else { panic!("{:?}", lost(&seen())) };
    let told: Vec<_> = guards.iter().map(|guard| (guard.name.as_str(), guard.message.as_str())).collect();
    assert_eq!(
        told,
        [
            ("DiskLost", "N3 (restate-2) is in data-loss"),
            ("OthersHaveTheirDisks", "2 other nodes have theirs"),
            ("OthersAnswer", "2 other nodes answer"),
            ("LogsAreReplicated", "2 logs, each with 2 copies or more"),
            ("OtherCopiesAreWhole", "N1, N2 have all that it had"),
            ("LogServersSuffice", "2 other log servers are read-write, and 2 are needed"),
            ("MetadataHasMajority", "2 of 3 metadata servers answer"),
        ]
    );
}

#[rstest]
#[case::it_has_its_disk(changed(|seen| seen.nodes.nodes[2].storage = StorageState::ReadWrite), "DiskLost")]
#[case::it_is_disabled(changed(|seen| seen.nodes.nodes[2].storage = StorageState::Disabled), "DiskLost")]
#[case::another_lost(changed(|seen| seen.nodes.nodes[0].storage = StorageState::DataLoss), "OthersHaveTheirDisks")]
#[case::another_gone(changed(|seen| seen.nodes.nodes[0].storage = StorageState::Gone), "OthersHaveTheirDisks")]
#[case::another_just_begun(changed(|seen| seen.nodes.nodes[0].storage = StorageState::Provisioning), "OthersHaveTheirDisks")]
#[case::another_in_a_newer_state(
    changed(|seen| seen.nodes.nodes[0].storage = StorageState::Other("new".to_owned())), "OthersHaveTheirDisks")]
#[case::another_silent(
    changed(|seen| { seen.answers.insert(1, Err("late".to_owned())); }), "OthersAnswer: N1 (restate-0) is silent: late")]
#[case::another_not_asked(changed(|seen| { seen.answers.remove(&2); }), "OthersAnswer: N2 (restate-1) was not asked")]
#[case::one_copy(changed(|seen| seen.logs.logs[1].segments[0].copies = Some(1)), "LogsAreReplicated: log 1 from 1")]
#[case::one_copy_of_old(changed(|seen| seen.logs.logs[0].segments[0].copies = Some(1)), "LogsAreReplicated: log 0 from 1")]
#[case::unknown_copies(changed(|seen| seen.logs.logs[1].segments[0].copies = None), "LogsAreReplicated: log 1")]
#[case::on_one_node(
    changed(|seen| seen.logs.logs[0].segments[0].held = Held::Unnamed("local".to_owned())), "LogsAreReplicated: log 0")]
#[case::another_holder_has_nothing(
    changed(|seen| seen.nodes.nodes[1].storage = StorageState::Disabled), "OtherCopiesAreWhole: log 0 from 1 on: N2")]
#[case::another_holder_does_not_serve(changed(second_in_failsafe), "OtherCopiesAreWhole")]
#[case::a_holder_that_is_no_node(
    changed(|seen| seen.logs.logs[1].segments[0].held = Held::By(vec![3, 7])), "OtherCopiesAreWhole: log 1 from 1 on: N7")]
#[case::too_few_take_writes(
    changed(|seen| seen.nodes.nodes[1].storage = StorageState::ReadOnly), "LogServersSuffice: 1 other log servers")]
#[case::no_majority(changed(|seen| seen.metadata = vec![2, 3]), "MetadataHasMajority: 1 of 2")]
fn whatever_is_amiss_is_refused_by_name(#[case] seen: Seen, #[case] expected: &str) {
    let Verdict::Refused(why) = lost(&seen) else { panic!("it may") };
    assert!(why.contains(expected), "{why}");
}

#[test]
fn all_that_is_amiss_is_told_at_once() {
    let seen = changed(|seen| {
        seen.nodes.nodes[0].storage = StorageState::DataLoss;
        seen.answers.insert(1, Err("late".to_owned()));
        seen.logs.logs[1].segments[0].copies = Some(1);
    });
    let Verdict::Refused(why) = lost(&seen) else { panic!("it may") };
    for guard in ["OthersHaveTheirDisks", "OthersAnswer", "LogsAreReplicated", "OtherCopiesAreWhole"] {
        assert!(why.contains(guard), "{why}");
    }
}

/// C10: who asks again is told that it is done, and nothing is written.
#[test]
fn c10_what_was_let_begin_is_not_let_begin_again() {
    let seen = changed(|seen| seen.nodes.nodes[2].storage = StorageState::Provisioning);
    assert_eq!(lost(&seen), Verdict::Begun);
}

#[test]
fn what_the_lost_disk_never_had_does_not_matter() {
    let seen = changed(|seen| {
        seen.logs.logs[0].segments[1] = segment(8, &[1], 1);
        seen.logs.logs[1].segments =
            vec![Segment { from: 1, held: Held::Nobody, copies: None, replication: None }];
    });
    assert!(matches!(lost(&seen), Verdict::May(_)), "{:?}", lost(&seen));
    let elsewhere = changed(|seen| seen.metadata = Vec::new());
    assert!(matches!(lost(&elsewhere), Verdict::May(_)), "metadata in an object store");
}

fn any_storage() -> impl Strategy<Value = StorageState> {
    prop_oneof![
        6 => Just(StorageState::ReadWrite),
        1 => Just(StorageState::ReadOnly),
        1 => Just(StorageState::Disabled),
        1 => Just(StorageState::Gone),
        1 => Just(StorageState::DataLoss),
        1 => Just(StorageState::Provisioning),
    ]
}

proptest! {
    /// Whatever the world is: who may begin anew leaves every record of its disk on two disks less one, all of which
    /// are there and answer.
    #[test]
    fn nothing_is_given_up_that_nobody_else_has(
        states in prop::collection::vec(any_storage(), 4),
        answers in prop::collection::vec(prop::bool::weighted(0.9), 4),
        segments in prop::collection::vec((prop::collection::btree_set(1_u32..=5, 1..4), prop::option::of(1_u32..4)), 1..5),
    ) {
        let mut seen = seen();
        let others = states.iter().zip(1..).map(|(state, id)| listed(id, state.clone()));
        seen.nodes.nodes = others.chain([listed(5, StorageState::DataLoss)]).collect();
        let said = |(answers, id): (&bool, u32)| (id, answers.then(|| report(id)).ok_or_else(String::new));
        seen.answers = answers.iter().zip(1..).map(said).collect();
        seen.metadata = Vec::new();
        let chain = |(nodes, copies): &(std::collections::BTreeSet<u32>, Option<u32>)| {
            let held = Held::By(nodes.iter().copied().collect());
            LogChain { id: 0, segments: vec![Segment { from: 1, held, copies: *copies, replication: None }] }
        };
        seen.logs.logs = segments.iter().map(chain).collect();
        if let Verdict::May(_) = judge::verdict(&seen.nodes.nodes[4], &seen) {
            prop_assert!(answers.iter().all(|answers| *answers));
            for (nodes, copies) in segments.iter().filter(|(nodes, _)| nodes.contains(&5)) {
                prop_assert!(copies.is_some_and(|copies| copies >= 2));
                let has = |id: &u32| matches!(states[*id as usize - 1], StorageState::ReadWrite | StorageState::ReadOnly);
                prop_assert!(nodes.iter().filter(|id| **id != 5).all(has));
            }
        }
    }
}

fn spec(node: Option<&str>, node_id: Option<&str>) -> RestateClusterRecoverySpec {
    RestateClusterRecoverySpec { node: node.map(str::to_owned), node_id: node_id.map(str::to_owned) }
}

#[rstest]
#[case::nobody(spec(None, None), "spec.node")]
#[case::no_name(spec(Some(""), None), "spec.node")]
#[case::no_id(spec(None, Some("3")), "spec.nodeId")]
#[case::id_zero(spec(Some("restate-2"), Some("N0")), "spec.nodeId")]
fn e8_the_field_that_is_wrong_is_named(#[case] spec: RestateClusterRecoverySpec, #[case] field: &str) {
    let status = target("prod", &spec).unwrap_err();
    assert_eq!((status.code().as_u16(), status.message.contains(field)), (422, true), "{status}");
}

#[rstest]
#[case::by_name(spec(Some("restate-2"), None), Some(3))]
#[case::by_id(spec(None, Some("N3")), Some(3))]
#[case::by_both(spec(Some("restate-2"), Some("N3")), Some(3))]
#[case::they_differ(spec(Some("restate-1"), Some("N3")), None)]
#[case::unknown(spec(Some("restate-9"), None), None)]
fn a_node_is_found_by_all_that_is_said_of_it(
    #[case] spec: RestateClusterRecoverySpec,
    #[case] expected: Option<u32>,
) {
    let seen = seen();
    let found = judge::find(&target("prod", &spec).unwrap(), &seen.nodes.nodes);
    assert_eq!(found.clone().ok().map(|node| node.id), expected);
    assert!(found.is_ok() || found.clone().is_err_and(|why| why.contains("N3 (restate-2)")), "{found:?}");
}

#[rstest]
#[case("restate-0", Some(0))]
#[case("restate-12", Some(12))]
#[case("restate-012", None)]
#[case("restate-1.evil.example", None)]
#[case("restate-99999", None)]
#[case("other-1", None)]
fn only_pods_of_the_cluster_are_asked(#[case] name: &str, #[case] expected: Option<u32>) {
    assert_eq!(seen::ordinal(name), expected);
}

#[test]
fn only_the_node_itself_speaks_for_it() {
    let node = listed(1, StorageState::ReadWrite);
    assert!(seen::itself(&node, report(1)).is_ok());
    assert!(seen::itself(&node, report(2)).is_err_and(|why| why.contains("N2")));
    assert!(seen::itself(&node, Report { node_id: None, ..report(1) }).is_err());
    assert!(seen::itself(&node, Report { status: NodeStatus::ShuttingDown, ..report(1) }).is_err());
}

#[test]
fn e5_whoever_comes_second_is_told_so() {
    let changed = Error::Changed { address: "http://a".to_owned(), what: "nodes' configuration" };
    assert_eq!(refused(NAMED, &changed).code().as_u16(), 409);
    let late = Error::TimedOut { address: "http://a".to_owned(), after: std::time::Duration::from_secs(5) };
    let late = refused(NAMED, &late);
    assert_eq!((late.code().as_u16(), retry_after(&late)), (504, 0), "what may be written is not sent again");
}

#[tokio::test]
async fn e10_where_no_node_answers_nobody_can_tell() {
    let reach = Reach { replicas: 1, address: &|_| "http://127.0.0.1:1".to_owned() };
    let target = Target { name: Some("restate-0".to_owned()), id: None };
    let status = recover(NAMED, &reach, &target, true).await.unwrap_err();
    assert_eq!(status.code().as_u16(), 503, "{status}");
}
