//! Health is what was told and found well; everything else has a name.

use proptest::prelude::*;
use restate_client::node::{Member, MetadataStatus, NodeStatus, RoleStatus};
use rstest::rstest;

use super::*;

fn report(id: u32) -> Report {
    Report {
        node_id: Some(id),
        generation: Some(1),
        status: NodeStatus::Alive,
        roles: ["worker", "admin", "log-server", "metadata-server", "http-ingress"]
            .map(str::to_owned)
            .to_vec(),
        admin: RoleStatus::Ready,
        worker: RoleStatus::Ready,
        log_server: RoleStatus::Ready,
        metadata: MetadataStatus::Member,
        uptime_seconds: 7,
    }
}

fn answer(id: u32) -> Answer {
    Answer {
        address: format!("http://restate-{}.restate-cluster.prod.svc:5122", id - 1),
        report: Ok(report(id)),
    }
}

fn replica(partition: u32, node: u32, mode: Mode, epoch: u64) -> Replica {
    Replica {
        partition,
        node,
        mode,
        epoch: Some(epoch),
        applied: Some(5),
        target: Some(6),
        archived: None,
        catching_up: false,
        active: true,
        broken: false,
    }
}

fn member(id: u32) -> Member {
    Member { id, generation: Some(1), last_heard: "2026-11-22T12:00:00Z".parse().ok() }
}

/// Two nodes, two partitions, all well.
fn well() -> Seen {
    let log = |id| (id, Some(Log { id, tail: Tail::Open, end: 6 }));
    Seen {
        observed_at: "2026-11-22T12:00:00Z".parse().ok(),
        version: Some("1.7.12".to_owned()),
        nodes: vec![answer(1), answer(2)],
        state: Some(ClusterState {
            nodes: vec![member(1), member(2)],
            replicas: vec![
                replica(0, 1, Mode::Leader, 2),
                replica(0, 2, Mode::Follower, 2),
                replica(1, 1, Mode::Follower, 3),
                replica(1, 2, Mode::Leader, 3),
            ],
        }),
        logs: Some(vec![log(0), log(1)]),
        configuration: Some(Configuration {
            partitions: 2,
            partition_replication: Some("{node: 2}".to_owned()),
            log_provider: "replicated".to_owned(),
            log_replication: Some("{node: 2}".to_owned()),
            target_nodeset_size: 0,
        }),
        members: Some([1, 2].into()),
    }
}

fn wanted() -> Wanted {
    Wanted {
        nodes: 2,
        version: Some("1.7".to_owned()),
        partitions: Some(2),
        replication: Some("{node: 2}".to_owned()),
        log_provider: Some("replicated".to_owned()),
    }
}

fn problems_with(change: impl FnOnce(&mut Seen)) -> Vec<String> {
    let mut seen = well();
    change(&mut seen);
    let status = status(&wanted(), seen);
    assert_eq!(status.healthy, status.problems.is_empty());
    status.problems
}

#[test]
fn what_is_well_is_healthy_and_shown_in_full() {
    let status = status(&wanted(), well());
    assert!(status.healthy && status.drift.is_empty(), "{:?}", status.problems);
    let node = &status.nodes[0];
    assert_eq!((node.node_id, node.generation, node.state.as_str()), (Some(1), Some(1), "Alive"));
    let roles: Vec<_> = node.roles.iter().map(|role| (role.name.as_str(), role.state.as_deref())).collect();
    let expected = [
        ("worker", Some("Ready")),
        ("admin", Some("Ready")),
        ("log-server", Some("Ready")),
        ("metadata-server", Some("Member")),
        ("http-ingress", None),
    ];
    assert_eq!(roles, expected);
    let partitions = status.partitions.unwrap();
    let led: Vec<_> = partitions.iter().map(|one| (one.id, one.leader, one.followers.clone())).collect();
    assert_eq!(led, [(0, Some(1), vec![2]), (1, Some(2), vec![1])]);
    assert_eq!(status.logs.unwrap()[0].tail_lsn, Some(6));
}

#[rstest]
#[case::silent(|seen: &mut Seen| seen.nodes[1].report = Err("no".to_owned()), "node restate-1 is Silent")]
#[case::starting(|seen: &mut Seen| seen.nodes[1].report.as_mut().unwrap().status = NodeStatus::StartingUp, "node restate-1 is StartingUp")]
#[case::dead(|seen: &mut Seen| { die(seen, 3); seen.members = Some([1, 2, 3].into()); }, "node 3 is Dead")]
#[case::dead_and_perhaps_removed(|seen: &mut Seen| { die(seen, 3); seen.members = None; }, "node 3 is Dead")]
#[case::leaderless(|seen: &mut Seen| seen.state.as_mut().unwrap().replicas[0].mode = Mode::Follower, "partition 0 has no leader")]
#[case::broken(|seen: &mut Seen| seen.state.as_mut().unwrap().replicas[1].broken = true, "node 2 has given up partition 0")]
#[case::sealed(|seen: &mut Seen| seen.logs.as_mut().unwrap()[0].1.as_mut().unwrap().tail = Tail::Sealed, "log 0 is Sealed")]
#[case::silent_log(|seen: &mut Seen| seen.logs.as_mut().unwrap()[1].1 = None, "log 1 is Silent")]
#[case::no_logs(|seen: &mut Seen| seen.logs = None, "the logs did not answer in time")]
#[case::no_admin(|seen: &mut Seen| seen.version = None, "the admin API does not answer")]
#[case::old(|seen: &mut Seen| seen.version = Some("1.6.2".to_owned()), "spec.compute.image wants 1.7, found 1.6.2")]
#[case::not_the_same_minor(|seen: &mut Seen| seen.version = Some("1.71.0".to_owned()), "spec.compute.image wants 1.7, found 1.71.0")]
#[case::unprocessed(|seen: &mut Seen| processed(seen, 3, 0..2), "partition 2 is processed by no node")]
#[case::two_unprocessed(|seen: &mut Seen| processed(seen, 3, 1..2), "partitions 0 and 2 are processed by no node")]
#[case::many_unprocessed(|seen: &mut Seen| processed(seen, 24, 0..2), "partitions 2, 3, 4, 5, 6 and 17 more are processed by no node")]
#[case::unknown_partitions(|seen: &mut Seen| seen.configuration = None, "no node tells how many partitions there are")]
#[case::partitions(|seen: &mut Seen| seen.configuration.as_mut().unwrap().partitions = 4, "spec.config default-num-partitions wants 2, found 4")]
fn what_is_amiss_has_a_name(#[case] change: impl FnOnce(&mut Seen), #[case] expected: &str) {
    assert!(problems_with(change).contains(&expected.to_owned()));
}

fn die(seen: &mut Seen, id: u32) {
    seen.state.as_mut().unwrap().nodes.push(Member { generation: None, ..member(id) });
}

/// The cluster is to have so many partitions, and nodes process these.
fn processed(seen: &mut Seen, all: u32, ids: std::ops::Range<u32>) {
    seen.configuration.as_mut().unwrap().partitions = all;
    seen.state.as_mut().unwrap().replicas.retain(|replica| ids.contains(&replica.partition));
}

/// After a shrink the cluster's state has the node for ever.
#[test]
fn a_dead_node_that_was_removed_is_no_problem() {
    assert_eq!(problems_with(|seen| die(seen, 3)), Vec::<String>::new());
}

#[test]
fn two_leaders_are_one_by_epoch() {
    let mut seen = well();
    seen.state.as_mut().unwrap().replicas[1] = replica(0, 2, Mode::Leader, 9);
    let partitions = status(&wanted(), seen).partitions.unwrap();
    assert_eq!((partitions[0].leader, partitions[0].leader_epoch), (Some(2), Some(9)));
}

#[test]
fn a_node_that_only_the_cluster_knows_is_shown() {
    let problems = problems_with(|seen| seen.state.as_mut().unwrap().nodes.push(member(3)));
    assert_eq!(problems, ["spec.compute.replicas wants 2, found 3"]);
}

proptest! {
    /// Silence is never health, whoever is silent.
    #[test]
    fn silence_is_never_health(silent in proptest::collection::vec(any::<bool>(), 2), state: bool, logs: bool, version: bool) {
        let mut seen = well();
        for (answer, silent) in seen.nodes.iter_mut().zip(&silent) {
            if *silent {
                answer.report = Err("no answer".to_owned());
            }
        }
        seen.state = seen.state.filter(|_| state);
        seen.logs = seen.logs.filter(|_| logs);
        seen.version = seen.version.filter(|_| version);
        let everybody_spoke = !silent.contains(&true) && state && logs && version;
        prop_assert_eq!(status(&wanted(), seen).healthy, everybody_spoke);
    }
}
