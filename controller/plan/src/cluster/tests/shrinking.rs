//! Fewer nodes, in a world that does what Restate and the API server do: whatever is wished, wherever a pass ends and
//! whoever does not answer, a node is stopped and removed only when it is empty, and the cluster comes to rest.

mod world;

use restate_crd::condition::{ConditionStatus, Reason};

use super::*;
use world::World;

fn reasons(world: &mut World, passes: usize) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for _ in 0..passes {
        let said = world.verdict().map(|verdict| verdict.reason);
        if let Some(reason) = said.filter(|reason| reasons.last() != Some(reason)) {
            reasons.push(reason);
        }
        world.pass(usize::MAX);
        world.restate();
    }
    reasons
}

/// users.md §1b (rs#5195), §4: the nine steps, each said while it lasts.
#[test]
fn nodes_are_emptied_before_they_are_stopped_and_removed() {
    let mut world = World::of(5, 2);
    assert_eq!(world.verdict(), None);
    assert!(!world.asks(), "at rest nothing is asked");
    world.wish(3);
    assert!(world.asks());
    let said = reasons(&mut world, 40);
    let expected = [
        Reason::NodesDraining,
        Reason::AwaitingPartitions,
        Reason::AwaitingLogs,
        Reason::TrimmingLogs,
        Reason::LeavingMetadata,
        Reason::StoppingNodes,
        Reason::RemovingNodes,
        Reason::ReleasingVolumes,
    ];
    let place = |reason: &Reason| expected.iter().position(|other| other == reason).unwrap();
    let places: Vec<_> = said.iter().map(place).collect();
    assert!(places.is_sorted(), "each once, in this order: {said:?}");
    let passing = [Reason::AwaitingPartitions, Reason::AwaitingLogs];
    assert!(expected.iter().all(|reason| said.contains(reason) || passing.contains(reason)), "{said:?}");
    world.assert_at_rest(3);
    assert_eq!(world.claims(), ["storage-restate-0", "storage-restate-1", "storage-restate-2"]);
}

/// users.md §4 "Removed nodes never rejoin": the same ordinal later gets a new disk.
#[test]
fn a_later_node_of_the_same_name_gets_a_new_disk() {
    let mut world = World::of(4, 2);
    for wanted in [3, 4, 2, 5] {
        world.wish(wanted);
        world.settle();
        world.assert_at_rest(wanted);
    }
}

#[test]
fn retained_volumes_are_marked_and_no_pod_gets_one() {
    let mut world = World::of(3, 1);
    world.object.spec.storage.deletion_policy = Some(DeletionPolicy::Retain);
    world.wish(2);
    world.settle();
    assert_eq!(world.claims().len(), 3, "it stays");
    world.wish(4);
    world.settle();
    assert_eq!(world.running(), 2);
    let valid = world.valid();
    let said = status(&world.object, &valid, &world.seen(), now());
    let said = said.conditions.get(ConditionType::NotYetActedOn).unwrap();
    let message = said.message.as_deref().unwrap();
    assert!(said.status == "True" && message.contains("storage-restate-2"), "{message}");
    world.drop_claim(2);
    world.settle();
    world.assert_at_rest(4);
}

#[rstest]
#[case::replication(
    World::of(3, 2),
    1,
    Reason::ReplicationWouldNotHold,
    "the replication of logs is {node: 2}, and 1 node would be left"
)]
#[case::none_left(World::of(3, 1), 0, Reason::ReplicationWouldNotHold, "no node would be left")]
#[case::zones(World::of(4, 2).with(World::spread_three_and_one), 3, Reason::ReplicationWouldNotHold, "1 zone would be left")]
#[case::wanted_copies(World::of(3, 1).with(|world| world.wants_copies(3)), 2, Reason::ReplicationWouldNotHold,
    "spec.cluster.replication is {node: 3}")]
#[case::silent(World::of(4, 2).with(|world| world.silence(1)), 3, Reason::NodesSilent, "restate-1")]
#[case::silent_goes(World::of(4, 2).with(|world| world.silence(3)), 3, Reason::NodesSilent, "restate-3")]
#[case::lost(World::of(4, 2).with(|world| world.lose(3)), 3, Reason::DiskLost, "restate-3")]
#[case::idle(World::of(4, 2).with(|world| world.drain(0)), 3, Reason::NodesSilent, "restate-0")]
#[case::no_snapshots(World::of(4, 2).with(World::without_snapshots), 3, Reason::NoSnapshotDestination, "destination")]
#[case::rollout(World::of(4, 2).with(World::unready), 3, Reason::RolloutUnfinished, "ready")]
#[case::local(World::of(4, 2).with(World::with_local_logs), 3, Reason::LogsAreLocal, "local")]
fn what_stands_against_it_is_said_and_nothing_is_done(
    #[case] mut world: World,
    #[case] wanted: i32,
    #[case] reason: Reason,
    #[case] words: &str,
) {
    world.wish(wanted);
    let verdict = world.verdict().unwrap();
    assert_eq!((verdict.status, verdict.reason), (ConditionStatus::False, reason), "{}", verdict.message);
    assert!(verdict.message.contains(words), "{}", verdict.message);
    let plan = world.plan();
    assert!(plan.steps.iter().all(|step| matches!(step, Step::Apply(..))), "{:?}", plan.steps);
}

#[test]
fn unknown_is_no_proof() {
    let mut world = World::of(4, 2);
    world.wish(3);
    for _ in 0..60 {
        world.answers = false;
        let verdict = world.verdict().unwrap();
        assert_eq!((verdict.status, verdict.reason), (ConditionStatus::Unknown, Reason::RestateUnreachable));
        assert_eq!(world.plan().steps, vec![]);
        world.answers = true;
        world.pass(1);
        world.restate();
        if !world.asks() {
            break;
        }
    }
    world.assert_at_rest(3);
}

/// A partition or log that nobody told of is no empty one.
#[test]
fn a_partial_answer_is_no_proof() {
    let mut world = World::of(4, 2);
    world.wish(3);
    for cut in [World::hide_a_partition as fn(&mut Survey), World::hide_a_log] {
        let mut seen = world.seen();
        let Surveyed::Known(survey) = &mut seen.survey else { panic!() };
        cut(survey);
        let plan = plan(&world.valid(), &seen, now());
        assert_eq!(plan.steps, vec![]);
    }
}

/// The wish changes while nodes are being removed: what is not removed yet comes back with its disk.
#[test]
fn a_higher_wish_brings_nodes_back_at_every_stage() {
    for before in 0..40 {
        let mut world = World::of(5, 2);
        world.wish(3);
        for _ in 0..before {
            world.pass(1);
            world.restate();
        }
        world.wish(5);
        world.settle();
        world.assert_at_rest(5);
    }
}

#[test]
fn nodes_that_somebody_drained_by_hand_are_left_alone() {
    let mut world = World::of(4, 2);
    world.drain(3);
    assert!(!world.asks());
    assert_eq!(world.plan().steps, vec![]);
}

#[derive(Clone, Debug)]
enum Happens {
    Wish(i32),
    Pass { steps: usize, answers: bool },
    Time,
    Restart(i32),
}

fn anything() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        1 => (0..7_i32).prop_map(Happens::Wish),
        8 => (0..6_usize, prop::bool::weighted(0.9)).prop_map(|(steps, answers)| Happens::Pass { steps, answers }),
        6 => Just(Happens::Time),
        1 => (0..5_i32).prop_map(Happens::Restart),
    ];
    prop::collection::vec(one, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever happens, and whatever a pass got done: nothing is stopped or removed that holds anything, nothing below
    /// the wish is touched, copies always have nodes enough ([`World`] watches), and it comes to rest.
    #[test]
    fn a_node_is_never_stopped_or_removed_unless_it_is_proven_empty(
        nodes in 1..6_i32, copies in 1..4_u8, happens in anything(), last in 1..6_i32, seed in any::<u64>(), retain in any::<bool>(),
    ) {
        let copies = copies.min(u8::try_from(nodes).unwrap());
        let mut world = World::of(nodes, copies);
        world.seed = seed;
        if retain {
            world.object.spec.storage.deletion_policy = Some(DeletionPolicy::Retain);
        }
        for event in happens {
            match event {
                Happens::Wish(wanted) => world.wish(wanted),
                Happens::Pass { steps, answers } => {
                    world.answers = answers;
                    world.pass(steps);
                }
                Happens::Time => world.restate(),
                Happens::Restart(ordinal) => world.restart(ordinal),
            }
        }
        world.answers = true;
        let last = last.max(i32::from(copies));
        world.wish(last);
        world.settle();
        if retain {
            // What is retained is for people to delete.
            world.drop_marked_claims();
            world.settle();
        }
        world.assert_at_rest(last);
    }
}
