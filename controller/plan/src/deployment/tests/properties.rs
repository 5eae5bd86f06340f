//! What holds in every world: events in any order, faults in any place, judged by the truth.

use proptest::prelude::*;
use restate_crd::ConditionType;
use restate_crd::deployment::{DeletePolicy, VersionState};
use restate_model::DeploymentId;

use super::super::*;
use super::world::{Crash, World};
use crate::{Proof, Step};

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Deploy(u8),
    Scale(i32),
    Delay(i64),
    Autoscale(bool),
    Call {
        service: &'static str,
        pin: bool,
    },
    FinishAll,
    FinishOne,
    Pods,
    Break(u8),
    Poll,
    PollPartially,
    Pass,
    /// Pods follow, the poller asks, a pass is made: what a living cluster does all the time.
    Round,
    Crash(Crash),
    Tick(i64),
    RestateUp(bool),
    Refuses(bool),
    LoseMetadata,
    Restart,
    Foreign(&'static str),
    HandScale {
        index: usize,
        replicas: i32,
    },
    HandDelete {
        index: usize,
    },
    StampedByTheirs {
        index: usize,
    },
    Pause(bool),
    /// The RestateCluster is gone, or back.
    ClusterGone(bool),
    StableService(Option<&'static str>),
    /// A pass on an older spec with the newest status.
    OldObject,
    /// The answers before the newest ones come again.
    OldAnswers,
    NamespaceTerminates,
}

fn service() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("a"), 1 => Just("b")]
}

/// What its owner, its callers, time and our own processes do.
fn fair_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..4_u8).prop_map(Event::Deploy),
        1 => (1..3_i32).prop_map(Event::Scale),
        1 => prop_oneof![Just(0), Just(5), Just(300)].prop_map(Event::Delay),
        1 => any::<bool>().prop_map(Event::Autoscale),
        4 => (service(), any::<bool>()).prop_map(|(service, pin)| Event::Call { service, pin }),
        2 => Just(Event::FinishAll),
        2 => Just(Event::FinishOne),
        4 => Just(Event::Pods),
        1 => (0..4_u8).prop_map(Event::Break),
        5 => Just(Event::Poll),
        1 => Just(Event::PollPartially),
        6 => Just(Event::Pass),
        12 => Just(Event::Round),
        1 => (0..6_usize).prop_map(|index| Event::Crash(Crash::Before(index))),
        2 => Just(Event::Crash(Crash::Unrecorded)),
        4 => prop_oneof![Just(1), Just(6), Just(31), Just(301), Just(700)].prop_map(Event::Tick),
        1 => any::<bool>().prop_map(Event::RestateUp),
        1 => Just(Event::Restart),
        1 => (0..3_usize, 0..2_i32).prop_map(|(index, replicas)| Event::HandScale { index, replicas }),
        1 => (0..3_usize).prop_map(|index| Event::StampedByTheirs { index }),
        1 => any::<bool>().prop_map(Event::Pause),
        1 => any::<bool>().prop_map(Event::ClusterGone),
        1 => prop_oneof![Just(None), Just(Some("front")), Just(Some("back"))].prop_map(Event::StableService),
        2 => Just(Event::OldObject),
        2 => Just(Event::OldAnswers),
    ]
}

/// And what others do, or fate.
fn unfair_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::Scale(0)),
        1 => prop_oneof![Just(-40), Just(-400)].prop_map(Event::Tick),
        1 => any::<bool>().prop_map(Event::Refuses),
        1 => Just(Event::LoseMetadata),
        1 => service().prop_map(Event::Foreign),
        1 => (0..3_usize).prop_map(|index| Event::HandDelete { index }),
        1 => Just(Event::NamespaceTerminates),
    ]
}

pub(super) fn story() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(prop_oneof![9 => fair_event(), 1 => unfair_event()], 1..24)
}

/// A story after which everything can come to rest completely.
fn fair_story() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(fair_event(), 1..24)
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Deploy(version) => world.deploy(*version),
        Event::Scale(replicas) => world.edit(|object| object.spec.replicas = *replicas),
        Event::Delay(seconds) => {
            world.edit(|object| object.spec.restate.drain_delay_seconds = Some(*seconds));
        }
        Event::Autoscale(on) => {
            let wanted = on.then(|| serde_json::json!({"minReplicas": 0, "maxReplicas": 3}));
            world.edit(|object| object.spec.autoscaling = wanted);
        }
        Event::Call { service, pin } => world.call(service, *pin),
        Event::FinishAll => world.finish_all(),
        Event::FinishOne => drop(world.pinned.pop_first()),
        Event::Pods => world.run_pods(),
        Event::Break(version) => drop(world.broken.insert(*version)),
        Event::Poll => world.poll(),
        Event::PollPartially => world.poll_partially(),
        Event::Pass => pass(world, Crash::Never),
        Event::Round => {
            world.run_pods();
            world.poll();
            pass(world, Crash::Never);
        }
        Event::Crash(crash) => pass(world, *crash),
        Event::Tick(seconds) => world.tick(*seconds),
        Event::RestateUp(up) => world.restate_up = *up,
        Event::Refuses(refuses) => world.refuses = *refuses,
        Event::LoseMetadata => world.lose_metadata(),
        Event::Restart => world.snapshot = None,
        Event::Foreign(service) => drop(world.register_at("http://elsewhere:9080/", &[service], true)),
        Event::HandScale { index, replicas } => by_hand(world, *index, |set| {
            set.spec.get_or_insert_default().replicas = Some(*replicas);
        }),
        Event::HandDelete { index } => {
            if *index < world.sets.len() {
                let set = world.sets.remove(*index);
                let owner = set.metadata.uid.unwrap();
                world.services.retain(|it| {
                    it.metadata.owner_references.iter().flatten().all(|other| other.uid != owner)
                });
            }
        }
        Event::StampedByTheirs { index } => by_hand(world, *index, |set| {
            let text = "2026-11-22T11:31:13.310971079+00:00".to_owned();
            set.metadata
                .annotations
                .get_or_insert_default()
                .insert("restate.dev/remove-version-at".to_owned(), text);
        }),
        Event::Pause(on) => world.pause(*on),
        Event::ClusterGone(gone) => {
            world.cluster = if *gone { ClusterSeen::Absent } else { ClusterSeen::Present };
        }
        Event::StableService(name) => world.edit(|object| {
            let service = name.map(|name| restate_crd::deployment::StableService { name: name.to_owned() });
            object.spec.stable_service = service;
        }),
        Event::OldObject => world.pass_on_an_old_object(),
        Event::OldAnswers => world.hear_old_answers(),
        Event::NamespaceTerminates => world.namespace_terminating = true,
    }
    world.tick(1);
}

fn by_hand(
    world: &mut World,
    index: usize,
    change: impl FnOnce(&mut k8s_openapi::api::apps::v1::ReplicaSet),
) {
    if let Some(set) = world.sets.get_mut(index) {
        change(set);
    }
}

/// A pass, and what holds for every one: `decide` itself asserts the invariants of `check.rs`.
fn pass(world: &mut World, crash: Crash) {
    let blind = Seen { snapshot: None, ..world.seen() };
    assert!(destructive(&decide(&blind, world.now)).is_empty(), "destroys without any answer");
    world.pass(crash);
}

/// Steps that take something away from Restate or its pods, wishes of the owner aside.
fn destructive(decision: &Decision) -> Vec<Step> {
    let steps = decision.plan.steps.iter().map(Step::inner);
    let is_deletion = |step: &&Step| match step {
        Step::Deregister(call) => !matches!(call.proof, Proof::Abandoned { .. }),
        Step::Delete { object, .. } => object.kind == "ReplicaSet",
        _ => false,
    };
    steps.filter(is_deletion).cloned().collect()
}

pub(super) fn live(story: &[Event]) -> World {
    let mut world = World::new();
    for event in story {
        happen(&mut world, event);
    }
    world
}

fn comes_to_rest(story: &[Event]) -> Result<(), TestCaseError> {
    let mut world = live(story);
    let settled = world.settle();
    prop_assert!(settled.is_ok(), "{}", settled.unwrap_err());
    prop_assert_eq!(&world.harm, &Vec::<String>::new());
    let status = world.object.status.clone().unwrap();
    prop_assert!(status.conditions.holds(ConditionType::Ready), "{:?}", status.conditions);
    let routed: Vec<DeploymentId> =
        world.registry.services.values().map(|it| it.deployment.clone()).collect();
    for view in views(&world.seen(), world.now) {
        let serves = view.deployment_id.as_ref().is_some_and(|id| routed.contains(id));
        let expected = if view.wanted || serves { VersionState::Current } else { VersionState::Retired };
        prop_assert_eq!(view.state, expected, "{:?}", view);
        prop_assert_eq!(view.desired > 0, serves || view.wanted, "{:?}", view);
    }
    let rest = world.decide();
    prop_assert!(
        rest.demand == Demand { registry: false, usage: false, next: Next::News, ..rest.demand.clone() },
        "asks at rest: {:?}",
        rest.demand
    );
    let writes = world.writes;
    for _ in 0..3 {
        world.tick(1_000);
        world.poll();
        world.pass(Crash::Never);
    }
    prop_assert_eq!(world.writes, writes, "writes at rest");
    Ok(())
}

/// A worker that crashes after Restate took a version and before that is recorded; then the version is superseded and
/// scaled to nothing by hand.
#[test]
fn an_unrecorded_registration_of_a_superseded_version_comes_to_rest() {
    let story = [
        Event::Pass,
        Event::Round,
        Event::Crash(Crash::Unrecorded),
        Event::Deploy(1),
        Event::Pass,
        Event::Deploy(2),
        Event::HandScale { index: 0, replicas: 0 },
    ];
    comes_to_rest(&story).unwrap();
}

/// A worker that crashes after Restate let go of a version and before that is recorded, then sees the object as it was
/// before its deletion, beside an answer that was asked before: the version is not taken for lost by Restate.
#[rstest::rstest]
#[case::at_once(&[Event::Crash(Crash::Unrecorded)])]
#[case::at_the_second_try(&[Event::Crash(Crash::Before(1)), Event::Poll, Event::Crash(Crash::Unrecorded)])]
fn an_unrecorded_deregistration_is_remembered_by_who_sees_less(#[case] crashes: &[Event]) {
    let mut world = live(&[Event::Pass, Event::Round]);
    world.delete();
    for event in [Event::OldObject, Event::Poll].iter().chain(crashes).chain([&Event::OldObject]) {
        happen(&mut world, event);
    }
    let settled = world.settle();
    assert!(world.gone, "{settled:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_600, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    /// §4.1 to §4.3: whatever happens, nothing that may receive or resume work is taken away.
    #[test]
    fn nothing_in_use_is_taken_away(story in story()) {
        let mut world = live(&story);
        prop_assert_eq!(&world.harm, &Vec::<String>::new());
        let _ = world.settle();
        prop_assert_eq!(&world.harm, &Vec::<String>::new());
    }

    /// A fair world comes to rest: the wanted version serves, all others that serve nothing are retired, nothing is
    /// written and nothing is left to be asked.
    #[test]
    fn a_fair_world_comes_to_rest(story in fair_story()) {
        comes_to_rest(&story)?;
    }

    /// In every world: a second pass over an unchanged world changes nothing, whatever the first one did.
    #[test]
    fn a_second_pass_changes_nothing(story in story()) {
        let mut world = live(&story);
        world.restate_up = true;
        world.run_pods();
        world.poll();
        for _ in 0..8 {
            world.pass(Crash::Never);
        }
        // The registration is verified by a newer answer.
        world.poll();
        for _ in 0..8 {
            world.pass(Crash::Never);
        }
        // At the same moment: a clock that goes on changes what is said of pods that stay away.
        let now = world.now;
        world.pass(Crash::Never);
        let writes = world.writes;
        world.now = now;
        world.pass(Crash::Never);
        prop_assert_eq!(world.writes, writes, "{:?}", world.decide().plan);
    }

    /// Deletion: nothing unfinished is lost unless its owner says so, and a fair world lets go.
    #[test]
    fn a_deletion_loses_nothing_and_ends(
        story in fair_story(),
        force in any::<bool>(),
        foreground in any::<bool>(),
        after in fair_story(),
    ) {
        let mut world = live(&story);
        world.delete();
        if foreground {
            world.sets.clear();
            world.services.clear();
        }
        if force {
            world.edit(|object| object.spec.restate.delete_policy = Some(DeletePolicy::Force));
        }
        for event in &after {
            let harmless = !matches!(event, Event::HandScale { .. } | Event::StampedByTheirs { .. });
            if harmless && !world.gone {
                happen(&mut world, event);
            }
        }
        prop_assert_eq!(&world.harm, &Vec::<String>::new());
        let settled = world.settle();
        prop_assert!(world.gone, "{:?}", settled);
        // By force an owner may give up a Restate that is down; with its RestateCluster it is gone anyhow.
        let mut events = story.iter().chain(&after);
        let given_up = events.any(|event| match event {
            Event::RestateUp(up) => force && !up,
            Event::ClusterGone(gone) => *gone,
            _ => false,
        });
        prop_assert!(given_up || world.registry.deployments.is_empty(), "left behind: {:?}", world.registry.deployments);
    }
}
