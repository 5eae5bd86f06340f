//! Whole stories, told by what is written and what is left.

use restate_crd::annotation::{ABANDON, DISABLED, RECONCILE};
use restate_crd::deployment::VersionState;
use restate_crd::{ConditionType, RestateDeployment};
use rstest::rstest;

use super::super::*;
use super::world::{Crash, World, at, template};
use crate::{LookAgain, Outcome, Step};

/// Passes with fresh answers, until nothing is planned or ten have gone by.
fn roll(world: &mut World) {
    for _ in 0..10 {
        world.run_pods();
        world.poll();
        if world.pass(Crash::Never).plan.steps.is_empty() {
            return;
        }
    }
}

fn rolled(version: u8) -> World {
    let mut world = World::new();
    world.deploy(version);
    roll(&mut world);
    world
}

fn state(world: &World, version: u8) -> Option<VersionState> {
    let name = world.set(version)?.metadata.name.clone()?;
    views(&world.seen(), world.now).into_iter().find(|view| view.name == name).map(|view| view.state)
}

fn ready(world: &World) -> bool {
    world.object.status.as_ref().is_some_and(|status| status.conditions.holds(ConditionType::Ready))
}

fn reason(world: &World, kind: ConditionType) -> String {
    let status = world.object.status.clone().unwrap();
    status.conditions.get(kind).unwrap().reason.clone().unwrap()
}

fn desired(world: &World, version: u8) -> i32 {
    world.set(version).unwrap().spec.as_ref().unwrap().replicas.unwrap()
}

fn annotated(world: &World, version: u8, key: &str) -> Option<String> {
    world.set(version).unwrap().metadata.annotations.clone().unwrap().get(key).cloned()
}

#[test]
fn a_first_version_is_made_registered_verified_and_then_ready() {
    let mut world = World::new();
    let first = world.pass(Crash::Never);
    assert!(matches!(
        first.plan.outcome,
        Outcome::Waiting { on: "PodsNotReady", look_again: LookAgain::OnChange }
    ));
    assert!(!first.demand.registry, "nothing is asked before a pod can be registered");
    roll(&mut world);
    let expected = ["create ReplicaSet", "create Service", "register force=false"];
    assert_eq!(world.log, expected);
    assert!(ready(&world));
    assert_eq!(world.decide().plan.outcome, Outcome::Settled);
    assert_eq!(
        Demand { interest: Interest::default(), ..world.decide().demand },
        Demand { admin: admin(&world.object, "cluster.local"), ..Demand::default() }
    );
}

#[test]
fn ready_waits_for_an_answer_that_was_asked_after_the_registration() {
    let mut world = World::new();
    world.poll();
    for _ in 0..3 {
        world.pass(Crash::Never);
        world.run_pods();
    }
    assert_eq!(world.log.last().unwrap(), "register force=false");
    let decision = world.pass(Crash::Never);
    assert!(decision.plan.steps.is_empty() && decision.demand.registry && !ready(&world));
    world.poll();
    world.pass(Crash::Never);
    assert!(ready(&world));
}

#[test]
fn a_version_is_registered_at_its_first_available_pod() {
    let mut world = World::new();
    world.pass(Crash::Never);
    world.pass(Crash::Never);
    world.sets[0].status.get_or_insert_default().available_replicas = Some(1);
    world.pass(Crash::Never);
    world.poll();
    world.pass(Crash::Never);
    assert!(ready(&world));
    assert_eq!(
        reason(&world, ConditionType::Progressing),
        "PodsNotReady",
        "one of two pods is still to come"
    );
}

#[test]
fn a_superseded_version_goes_in_order_after_its_work_and_its_delay() {
    let mut world = rolled(0);
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    assert!(ready(&world));
    assert_eq!(
        (state(&world, 0), state(&world, 1)),
        (Some(VersionState::Draining), Some(VersionState::Current))
    );
    assert!(world.decide().demand.usage);

    world.finish_all();
    world.log.clear();
    roll(&mut world);
    assert_eq!(world.log, ["annotate remove-version-at"]);
    assert_eq!(state(&world, 0), Some(VersionState::Drained));
    let Outcome::Waiting { look_again: LookAgain::At(until), .. } = world.decide().plan.outcome else {
        panic!()
    };
    assert_eq!(
        world.decide().demand.next,
        Next::News,
        "while its delay runs, answers that say the same wake nobody"
    );

    world.now = until;
    let early = world.decide();
    assert!(early.plan.steps.is_empty(), "the answers are older than the stamp: {early:?}");
    assert_ne!(early.demand.next, Next::News, "the next answer is newer than the stamp");
    world.log.clear();
    roll(&mut world);
    assert_eq!(
        world.log,
        [
            "annotate deregistering deregistering-since",
            "deregister dp_3",
            "annotate -deployment-id -registered-at -registered-with, scale 0"
        ]
    );
    assert_eq!(state(&world, 0), Some(VersionState::Retired));
    assert_eq!(world.decide().plan.outcome, Outcome::Settled);
    assert_eq!(world.harm, Vec::<String>::new());
}

#[test]
fn new_activity_clears_the_stamp_and_the_full_delay_runs_again() {
    let mut world = rolled(0);
    world.deploy(1);
    roll(&mut world);
    let first = annotated(&world, 0, "restate.dev/remove-version-at").unwrap();
    let id = annotated(&world, 0, "restate.dev/deployment-id").unwrap();
    world.pinned.insert(id.as_str().into(), 1);
    roll(&mut world);
    assert_eq!(annotated(&world, 0, "restate.dev/remove-version-at"), None);
    world.finish_all();
    world.tick(400);
    roll(&mut world);
    let second = annotated(&world, 0, "restate.dev/remove-version-at").unwrap();
    assert!(second > first);
    assert_eq!(desired(&world, 0), 2);
}

#[rstest]
#[case::clean(false, false)]
#[case::pinned_to_old(true, false)]
#[case::pinned_to_new(false, true)]
fn a_rollback_reuses_the_pods_and_moves_routing(#[case] on_old: bool, #[case] on_new: bool) {
    let mut world = rolled(0);
    if on_old {
        world.call("a", true);
    }
    let old = world.set(0).unwrap().metadata.uid.clone();
    world.deploy(1);
    roll(&mut world);
    if on_new {
        world.call("a", true);
    }
    world.log.clear();
    world.deploy(0);
    roll(&mut world);
    assert!(world.log.contains(&"register force=true".to_owned()), "{:?}", world.log);
    assert!(ready(&world));
    assert_eq!(world.set(0).unwrap().metadata.uid, old);
    assert_eq!(annotated(&world, 0, "restate.dev/remove-version-at"), None, "op#179");
    let expected = if on_new { VersionState::Draining } else { VersionState::Drained };
    assert_eq!((state(&world, 0), state(&world, 1)), (Some(VersionState::Current), Some(expected)));
    assert_eq!(world.harm, Vec::<String>::new());
}

#[test]
fn a_rollback_to_a_retired_version_registers_it_anew() {
    let mut world = rolled(0);
    world.deploy(1);
    world.settle().unwrap();
    assert_eq!(state(&world, 0), Some(VersionState::Retired));
    world.log.clear();
    world.deploy(0);
    roll(&mut world);
    assert_eq!(world.log[..2], ["annotate -remove-version-at, scale 2", "register force=false"]);
    assert!(ready(&world));
}

#[test]
fn history_beyond_the_limit_goes_the_oldest_first() {
    let mut world = rolled(0);
    for version in [1, 2] {
        world.deploy(version);
        world.settle().unwrap();
    }
    assert!(world.set(0).is_none());
    assert_eq!(state(&world, 1), Some(VersionState::Retired));
    assert_eq!(world.harm, Vec::<String>::new());
}

#[test]
fn versions_are_kept_per_service() {
    let mut world = rolled(2); // a and b
    world.deploy(1); // a
    world.settle().unwrap();
    assert_eq!(state(&world, 2), Some(VersionState::Current), "b is still routed to it");
    assert_eq!(desired(&world, 2), 2);
    world.deploy(3); // b
    world.settle().unwrap();
    assert_eq!(state(&world, 2), Some(VersionState::Retired));
    assert_eq!(state(&world, 1), Some(VersionState::Current), "a is still routed to it");
}

#[test]
fn a_rejected_version_is_not_retried_goes_to_zero_and_leaves_the_old_one() {
    let mut world = rolled(0);
    world.refuses = true;
    world.deploy(1);
    roll(&mut world);
    world.tick(60);
    roll(&mut world);
    roll(&mut world);
    assert_eq!(reason(&world, ConditionType::Stalled), "RegistrationRejected");
    assert_eq!(
        (state(&world, 0), state(&world, 1)),
        (Some(VersionState::Current), Some(VersionState::Rejected))
    );
    assert_eq!((desired(&world, 0), desired(&world, 1)), (2, 0));
    let attempts = world.log.iter().filter(|line| line.starts_with("register")).count();
    assert_eq!(attempts, 2, "the first version, and once the second: {:?}", world.log);
    assert!(!world.decide().demand.registry);

    world.refuses = false;
    world.edit(|object| object.spec.restate.breaking = Some(true));
    roll(&mut world);
    assert!(ready(&world));
    assert_eq!(world.harm, Vec::<String>::new());
}

#[test]
fn somebody_elses_registration_is_not_fought() {
    let mut world = rolled(0);
    world.register_at("http://elsewhere:9080/", &["a"], true);
    world.edit(|object| object.spec.replicas = 3);
    world.snapshot = None; // a controller that has just started
    world.object.status = None;
    world.log.clear();
    roll(&mut world);
    assert_eq!(reason(&world, ConditionType::Ready), "ForeignDeployment");
    assert!(!world.log.iter().any(|line| line.starts_with("register")), "{:?}", world.log);
    assert_eq!(desired(&world, 0), 3);
}

#[test]
fn an_endpoint_that_restate_knows_already_is_taken_over_without_moving_anything() {
    let mut world = rolled(0);
    world.sets.clear();
    world.services.clear();
    world.object.status = None;
    world.log.clear();
    roll(&mut world);
    let registrations: Vec<_> = world.log.iter().filter(|line| line.starts_with("register")).collect();
    assert_eq!(registrations, ["register force=false"]);
    assert!(ready(&world));
}

#[test]
fn a_controller_that_has_just_started_stays_ready_and_asks_at_most_once() {
    let mut world = rolled(0);
    world.tick(5);
    world.snapshot = None;
    let decision = world.decide();
    assert!(decision.plan.steps.is_empty());
    world.poll();
    assert!(world.decide().plan.steps.is_empty());
    assert_eq!(world.object.status.as_ref(), Some(&world.decide().status));
}

/// A registration is verified within milliseconds, and a condition's time has whole seconds: everything is Ready
/// as before after a restart, and nothing is written.
#[test]
fn ready_does_not_flap_when_a_controller_starts() {
    let mut world = rolled(0);
    let since = {
        let status = world.object.status.as_ref().unwrap();
        status.conditions.get(ConditionType::Registered).unwrap().last_transition_time.clone().unwrap().0
    };
    let within = since.saturating_add(jiff::SignedDuration::from_millis(400)).unwrap().to_string();
    let annotations = world.sets[0].metadata.annotations.get_or_insert_default();
    annotations.insert("restate.dev/registered-at".to_owned(), within);
    world.snapshot = None;
    let decision = world.decide();
    assert!(decision.plan.steps.is_empty());
    assert_eq!(world.object.status.as_ref(), Some(&decision.status));
}

#[rstest]
#[case::down(|world: &mut World| world.restate_up = false)]
#[case::empty(World::lose_metadata)]
#[case::restarted(|world: &mut World| { world.restate_up = false; world.snapshot = None; })]
fn unknown_is_not_zero(#[case] fault: fn(&mut World)) {
    let mut world = rolled(0);
    world.deploy(1);
    roll(&mut world);
    let stamp = annotated(&world, 0, "restate.dev/remove-version-at");
    fault(&mut world);
    world.tick(1000);
    roll(&mut world);
    world.tick(1000);
    roll(&mut world);
    assert_eq!(desired(&world, 0), 2);
    assert_eq!(annotated(&world, 0, "restate.dev/remove-version-at"), stamp, "neither cleared nor aged");
    assert_eq!(state(&world, 0), Some(VersionState::Unknown));
    assert_eq!(reason(&world, ConditionType::Draining), "UsageUnknown");
}

#[test]
fn what_nobody_knows_any_more_can_be_given_up_by_hand() {
    let mut world = rolled(0);
    world.deploy(1);
    roll(&mut world);
    world.lose_metadata();
    roll(&mut world);
    let set = world
        .sets
        .iter_mut()
        .find(|set| set.metadata.annotations.iter().flatten().any(|(_, v)| v.contains("greeter:0")));
    set.unwrap().metadata.annotations.get_or_insert_default().insert(ABANDON.to_owned(), "true".to_owned());
    roll(&mut world);
    assert_eq!(desired(&world, 0), 0);
}

#[test]
fn a_crash_after_the_call_is_not_taken_for_lost_metadata() {
    let mut world = rolled(0);
    world.deploy(1);
    roll(&mut world);
    world.tick(400);
    world.poll();
    world.pass(Crash::Unrecorded);
    assert!(world.log.last().unwrap().starts_with("deregister"));
    world.snapshot = None;
    world.settle().unwrap();
    assert_eq!(state(&world, 0), Some(VersionState::Retired));
    assert_eq!(world.harm, Vec::<String>::new());
}

#[test]
fn a_crash_after_the_call_is_remembered_through_a_rollback_that_did_not_happen() {
    let mut world = rolled(0);
    world.deploy(1);
    roll(&mut world);
    world.tick(400);
    world.poll();
    world.pass(Crash::Unrecorded);
    world.restate_up = false;
    world.deploy(0);
    world.pass(Crash::Never);
    world.deploy(1);
    world.pass(Crash::Never);
    world.settle().unwrap();
    assert_eq!(state(&world, 0), Some(VersionState::Retired));
    assert_eq!(world.harm, Vec::<String>::new());
}

#[test]
fn drained_versions_go_although_the_new_one_cannot_start() {
    let mut world = rolled(0);
    world.deploy(1);
    roll(&mut world);
    world.broken.insert(3);
    world.deploy(3);
    world.run_pods();
    world.tick(400);
    roll(&mut world);
    assert_eq!((desired(&world, 0), desired(&world, 1)), (0, 2), "1.8.2");
}

#[test]
fn a_version_that_never_was_registered_goes_after_a_short_while() {
    let mut world = rolled(0);
    world.broken.insert(1);
    world.deploy(1);
    roll(&mut world);
    world.deploy(2);
    roll(&mut world);
    world.tick(31);
    roll(&mut world);
    assert_eq!(desired(&world, 1), 0);
    assert!(ready(&world));
}

#[test]
fn versions_found_without_pods_get_a_delay_of_their_own_and_go_one_at_a_time() {
    let mut world = rolled(0);
    for version in [1, 2] {
        world.deploy(version);
        roll(&mut world);
    }
    for set in &mut world.sets {
        let text = set.metadata.annotations.get_or_insert_default();
        if !text["restate.dev/pod-template"].contains("greeter:2") {
            text.insert(
                "restate.dev/remove-version-at".to_owned(),
                "2026-11-22T11:31:13.310971079+00:00".to_owned(),
            );
            set.spec.get_or_insert_default().replicas = Some(0);
        }
    }
    world.run_pods();
    world.poll();
    world.log.clear();
    world.pass(Crash::Never);
    assert_eq!(
        world.log,
        ["annotate remove-version-at", "annotate remove-version-at"],
        "their stamps are not relied on"
    );
    world.tick(400);
    world.poll();
    world.log.clear();
    world.pass(Crash::Never);
    let gone: Vec<_> = world.log.iter().filter(|line| line.starts_with("deregister")).collect();
    assert_eq!(gone.len(), 1, "{:?}", world.log);
    world.settle().unwrap();
    assert_eq!(world.harm, Vec::<String>::new());
}

fn autoscaled() -> World {
    let mut world = World::new();
    world.edit(|object| {
        object.spec.autoscaling = Some(serde_json::json!({"minReplicas": 0, "maxReplicas": 5}));
    });
    roll(&mut world);
    world
}

#[test]
fn only_a_draining_version_has_an_autoscaler_and_it_goes_before_the_pods() {
    let mut world = autoscaled();
    assert!(world.autoscalers.is_empty(), "the current version scales through the scale subresource");
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    let [autoscaler] = world.autoscalers.as_slice() else { panic!("{:?}", world.autoscalers) };
    let spec = autoscaler.spec.clone().unwrap();
    assert_eq!(spec.min_replicas, Some(1), "no work without pods");
    assert_eq!(Some(spec.scale_target_ref.name), world.set(0).unwrap().metadata.name);
    world.finish_all();
    world.log.clear();
    world.settle().unwrap();
    let deleted = world.log.iter().position(|line| line == "delete HorizontalPodAutoscaler");
    let zero = world.log.iter().position(|line| line.ends_with("scale 0"));
    assert!(deleted.is_some() && deleted < zero, "{:?}", world.log);
}

#[test]
fn an_autoscaler_s_heartbeat_changes_nothing() {
    let mut world = autoscaled();
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    let before = world.decide();
    let status = world.autoscalers[0].status.get_or_insert_default();
    (status.desired_replicas, status.observed_generation) = (4, Some(7));
    let after = world.decide();
    assert_eq!((&after.plan, &after.status), (&before.plan, &before.status), "op#190");
    assert!(after.plan.steps.is_empty());
}

#[test]
fn a_version_that_is_rolled_back_to_loses_its_autoscaler() {
    let mut world = autoscaled();
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    world.deploy(0);
    roll(&mut world);
    let names: Vec<_> = world.autoscalers.iter().map(|it| it.metadata.name.clone()).collect();
    assert!(!names.contains(&world.set(0).unwrap().metadata.name), "b959691");
    assert!(ready(&world));
}

/// users.md 3 "Autoscaling plan": versions that follow each other fast drain with one each, and the block may come and
/// go in the middle of it.
#[test]
fn each_version_that_drains_has_one_autoscaler_for_as_long_as_it_is_wanted() {
    let mut world = autoscaled();
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    world.call("a", true);
    world.deploy(2);
    roll(&mut world);
    let targets = |world: &World| {
        let target = |it: &k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler| {
            it.spec.clone().unwrap().scale_target_ref.name
        };
        world.autoscalers.iter().map(target).collect::<std::collections::BTreeSet<_>>()
    };
    let names = [0, 1].map(|version| world.set(version).unwrap().metadata.name.clone().unwrap());
    assert_eq!(targets(&world), names.clone().into());
    world.edit(|object| object.spec.autoscaling = None);
    roll(&mut world);
    assert_eq!((world.autoscalers.len(), desired(&world, 0), desired(&world, 1)), (0, 2, 2));
    world.edit(|object| object.spec.autoscaling = Some(serde_json::json!({"maxReplicas": 4})));
    roll(&mut world);
    assert_eq!(targets(&world), names.into());
    assert_eq!(world.harm, Vec::<String>::new());
}

/// users.md 3 "Autoscaling plan" (restart mid-drain converges): whoever starts in the middle of a drain takes nothing
/// away, and ends it like any other.
#[test]
fn a_restart_in_the_middle_of_a_drain_leaves_its_autoscaler() {
    let mut world = autoscaled();
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    let (before, name) = (world.autoscalers.clone(), world.set(0).unwrap().metadata.name.clone());
    world.snapshot = None;
    world.log.clear();
    for _ in 0..3 {
        world.pass(Crash::Never);
    }
    roll(&mut world);
    assert_eq!(world.log, [""; 0], "nothing is written");
    assert_eq!(world.autoscalers, before);
    world.finish_all();
    world.settle().unwrap();
    assert!(world.autoscalers.is_empty() && desired(&world, 0) == 0);
    assert_eq!(world.set(0).unwrap().metadata.name, name);
    assert_eq!(world.harm, Vec::<String>::new());
}

/// users.md 3 "Autoscaling plan" (hash collision): the autoscaler leads to the version's own replica set, not to
/// whatever has the name that it would have had.
#[test]
fn after_a_collision_the_autoscaler_leads_to_the_right_replica_set() {
    let mut world = World::new();
    world.edit(|object| object.spec.autoscaling = Some(serde_json::json!({"maxReplicas": 5})));
    let mut taken = super::world::greeter_set(&world, "u-somebody-else");
    taken.metadata.owner_references = None;
    let theirs = taken.metadata.name.clone();
    world.sets.push(taken);
    roll(&mut world);
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    let ours = |set: &&k8s_openapi::api::apps::v1::ReplicaSet| {
        set.metadata.name != theirs
            && set.metadata.annotations.iter().flatten().any(|(_, it)| it.contains("greeter:0"))
    };
    let ours = world.sets.iter().find(ours).unwrap().metadata.name.clone();
    let [autoscaler] = world.autoscalers.as_slice() else { panic!("{:?}", world.autoscalers) };
    assert_eq!(Some(autoscaler.spec.clone().unwrap().scale_target_ref.name), ours);
    assert_ne!(ours, theirs);
}

/// users.md 3 "Autoscaling plan" (metrics down: no scale to zero): an autoscaler that cannot measure changes no number,
/// and neither do we.
#[test]
fn without_metrics_a_draining_version_keeps_its_pods() {
    let mut world = autoscaled();
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    let replicas = desired(&world, 0);
    world.autoscalers[0].status = serde_json::from_value(serde_json::json!({
        "currentReplicas": 2, "desiredReplicas": 0,
        "conditions": [{"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric"}],
    }))
    .unwrap();
    let writes = world.writes;
    for _ in 0..3 {
        world.tick(600);
        roll(&mut world);
    }
    assert_eq!((desired(&world, 0), world.writes), (replicas, writes));
    assert_eq!(world.autoscalers[0].spec.clone().unwrap().min_replicas, Some(1));
}

/// users.md 2b 3.0.0 (promotion war), rolling forward: a new version is registered once, which is its owner's wish and
/// moves routing; after that nobody fights.
#[test]
fn a_new_version_is_registered_once_whoever_else_registers() {
    let mut world = rolled(0);
    world.register_at("http://elsewhere:9080/", &["a"], true);
    world.log.clear();
    world.deploy(1);
    roll(&mut world);
    assert!(ready(&world), "{:?}", world.object.status);
    let registered =
        |world: &World| world.log.iter().filter(|it| it.starts_with("register")).cloned().collect::<Vec<_>>();
    assert_eq!(registered(&world), ["register force=false"]);
    world.register_at("http://elsewhere:9080/", &["a"], true);
    world.edit(|object| object.spec.replicas = 3); // something wakes it
    for _ in 0..3 {
        world.tick(600);
        roll(&mut world);
    }
    assert_eq!(registered(&world), ["register force=false"], "no war");
    assert_eq!(reason(&world, ConditionType::Stalled), "ForeignDeployment");
    assert_eq!(world.harm, Vec::<String>::new());
}

/// users.md 2b 3.0.0: what somebody registers after the answers that a rollback rests on is not taken from him.
#[test]
fn a_rollback_takes_nothing_from_whoever_was_faster() {
    let mut world = rolled(0);
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    world.deploy(0);
    world.poll();
    world.register_at("http://elsewhere:9080/", &["a"], true);
    for _ in 0..4 {
        world.run_pods();
        world.pass(Crash::Never);
    }
    assert!(world.log.contains(&"register force=true".to_owned()), "{:?}", world.log);
    assert_eq!(world.harm, Vec::<String>::new());
    roll(&mut world);
    assert_eq!(reason(&world, ConditionType::Stalled), "ForeignDeployment");
}

/// users.md 2b 3.0.0: a deletion that waits leaves the autoscalers of its versions, whose work goes on.
#[test]
fn a_deletion_that_waits_leaves_autoscalers_alone() {
    let mut world = autoscaled();
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    world.delete();
    world.tick(5);
    roll(&mut world);
    assert!(!world.gone && world.autoscalers.len() == 1);
    world.finish_all();
    world.settle().unwrap();
    assert!(world.gone && world.autoscalers.is_empty());
}

/// users.md 2b (op#138): as long as a version drains, answers alone write nothing.
#[test]
fn a_drain_writes_nothing_however_often_restate_is_asked() {
    let mut world = rolled(0);
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    let writes = world.writes;
    for _ in 0..120 {
        world.poll();
        let decision = world.pass(Crash::Never);
        assert!(decision.plan.steps.is_empty());
        assert!(decision.demand.usage, "asked");
        assert_eq!(decision.demand.next, Next::News, "and woken by news alone");
    }
    assert_eq!(world.writes, writes);
}

/// users.md 2b 3.0.0 (cold cache): a controller that starts in the middle of a rollback finishes it, and nothing is
/// Ready before.
#[test]
fn a_restart_in_the_middle_of_a_rollback_is_no_reason_to_believe_anything() {
    let mut world = rolled(0);
    world.deploy(1);
    roll(&mut world);
    world.deploy(0);
    world.snapshot = None;
    world.pass(Crash::Never);
    assert!(!ready(&world), "its pods run, and Restate routes elsewhere");
    world.snapshot = None;
    roll(&mut world);
    assert!(ready(&world) && state(&world, 0) == Some(VersionState::Current));
    assert_eq!(world.harm, Vec::<String>::new());
}

#[test]
fn pods_return_where_work_waits_for_them() {
    let mut world = rolled(0);
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    let set = world.sets.iter_mut().find(|set| set.spec.as_ref().unwrap().replicas == Some(2)).unwrap();
    set.spec.get_or_insert_default().replicas = Some(0);
    roll(&mut world);
    assert_eq!((desired(&world, 0), desired(&world, 1)), (2, 2));
}

#[test]
fn a_paused_object_is_left_alone_but_can_be_deleted() {
    let mut world = rolled(0);
    world
        .object
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(RECONCILE.to_owned(), DISABLED.to_owned());
    world.deploy(1);
    let decision = world.pass(Crash::Never);
    assert!(decision.plan.steps.is_empty() && world.sets.len() == 1);
    assert_eq!(reason(&world, ConditionType::Stalled), "Paused");
    world.delete();
    world.tick(5);
    world.settle().unwrap();
    assert!(world.gone && world.registry.deployments.is_empty());
}

#[test]
fn a_deletion_waits_for_work_and_not_for_being_latest() {
    let mut world = rolled(0);
    world.call("a", true);
    world.call("a", false);
    world.delete();
    world.tick(5);
    roll(&mut world);
    let deletion = world.object.status.clone().unwrap().deletion.unwrap();
    assert_eq!(deletion.total_pending_invocations, Some(2));
    assert!(!world.gone);
    world.finish_all();
    world.poll();
    world.pass(Crash::Never);
    assert!(world.gone && world.registry.deployments.is_empty());
    assert_eq!(world.harm, Vec::<String>::new());
}

/// `kubectl delete --cascade=foreground`: Kubernetes takes the replica set and the Service at once.
#[test]
fn what_a_foreground_deletion_has_taken_returns_for_its_work() {
    let mut world = rolled(0);
    world.call("a", true);
    world.delete();
    world.sets.clear();
    world.services.clear();
    world.tick(5);
    world.log.clear();
    roll(&mut world);
    assert_eq!(world.log, ["create ReplicaSet", "create Service"]);
    assert!(!world.gone && desired(&world, 0) == 2);
    world.finish_all();
    world.settle().unwrap();
    assert!(world.gone && world.registry.deployments.is_empty());
    assert_eq!(world.harm, Vec::<String>::new());
}

/// Nobody had asked anything for a while, and Restate does not answer.
#[test]
fn what_a_foreground_deletion_has_taken_is_asked_for() {
    let mut world = rolled(0);
    world.call("a", true);
    world.snapshot = None;
    world.restate_up = false;
    world.delete();
    world.sets.clear();
    world.services.clear();
    world.tick(5);
    world.pass(Crash::Never);
    roll(&mut world);
    assert!(!world.gone, "what was registered may have work");
    world.restate_up = true;
    roll(&mut world);
    roll(&mut world);
    assert!(!world.gone && desired(&world, 0) == 2);
    world.finish_all();
    world.settle().unwrap();
    assert!(world.gone && world.registry.deployments.is_empty());
    assert_eq!(world.harm, Vec::<String>::new());
}

type Change = fn(&mut World);

#[rstest]
#[case::force(|world: &mut World| world.edit(|object| object.spec.restate.delete_policy = Some(restate_crd::deployment::DeletePolicy::Force)), true)]
#[case::timeout(|world: &mut World| { world.edit(on_timeout_force); world.tick(3700); }, true)]
#[case::overdue_is_held(|world: &mut World| world.tick(3700), false)]
#[case::namespace(|world: &mut World| world.namespace_terminating = true, true)]
#[case::no_cluster(|world: &mut World| world.cluster = ClusterSeen::Absent, true)]
fn what_a_deletion_with_work_does(#[case] change: Change, #[case] gone: bool) {
    let mut world = rolled(0);
    world.call("a", true);
    world.delete();
    world.tick(5);
    change(&mut world);
    roll(&mut world);
    assert_eq!(world.gone, gone);
}

fn on_timeout_force(object: &mut RestateDeployment) {
    let on_timeout = Some(restate_crd::deployment::OnTimeout::Force);
    object.spec.restate.drain =
        Some(restate_crd::deployment::DrainSettings { timeout_seconds: None, on_timeout });
}

#[test]
fn a_deletion_without_restate_is_held_and_a_namespace_goes_anyway() {
    let mut world = rolled(0);
    world.delete();
    world.restate_up = false;
    world.tick(10_000);
    roll(&mut world);
    assert!(!world.gone);
    assert_eq!(reason(&world, ConditionType::Stalled), "DeletionHeld");
    world.namespace_terminating = true;
    roll(&mut world);
    assert!(world.gone);
}

/// The namespace's own controller takes the replica sets in its own order, and with them what was recorded.
#[test]
fn a_namespace_goes_with_what_was_registered_whatever_it_takes_first() {
    let mut world = rolled(0);
    assert!(!world.registry.deployments.is_empty());
    world.snapshot = None;
    world.sets.clear();
    world.namespace_terminating = true;
    world.delete();
    roll(&mut world);
    world.tick(2);
    roll(&mut world);
    assert!(world.gone);
    assert!(world.registry.deployments.is_empty(), "left behind in Restate");
}

#[test]
fn a_silent_restate_holds_until_its_owner_gives_up() {
    let mut world = World::new();
    world.restate_up = false;
    world.pass(Crash::Never);
    world.delete();
    world.tick(61);
    roll(&mut world);
    assert!(!world.gone, "a registration may have been hidden by a crash");
    world.edit(|object| {
        object.spec.restate.delete_policy = Some(restate_crd::deployment::DeletePolicy::Force);
    });
    roll(&mut world);
    assert!(world.gone);
}

fn by_policy(object: &mut RestateDeployment) {
    object.spec.restate.delete_policy = Some(restate_crd::deployment::DeletePolicy::Force);
}

#[rstest]
#[case::by_policy(by_policy, 61)]
#[case::by_timeout(on_timeout_force, 3_700)]
fn force_ends_also_where_restate_is_silent(#[case] change: fn(&mut RestateDeployment), #[case] after: i64) {
    let mut world = rolled(0);
    world.call("a", true);
    world.delete();
    world.restate_up = false;
    roll(&mut world);
    assert!(!world.gone, "for a minute it may be about to answer");
    world.edit(change);
    world.tick(after);
    world.poll();
    let decision = world.pass(Crash::Never);
    assert!(world.gone, "{:#?}", decision.plan);
    assert_eq!(told(&decision), ["Warning ForcedDeletion"], "and nothing else");
}

/// A Restate that answered a moment ago is not given up for one failure.
#[rstest]
#[case::by_policy(by_policy)]
#[case::by_timeout(on_timeout_force)]
fn force_deregisters_from_a_restate_that_only_stumbles(#[case] change: fn(&mut RestateDeployment)) {
    let mut world = rolled(0);
    world.call("a", true);
    world.delete();
    world.tick(4_000);
    roll(&mut world);
    assert!(!world.gone);
    world.edit(change);
    world.restate_up = false;
    world.poll();
    world.pass(Crash::Never);
    assert!(!world.gone, "the call failed");
    world.restate_up = true;
    world.settle().unwrap();
    assert!(world.gone && world.registry.deployments.is_empty());
}

/// A controller that has just started knows nothing yet.
#[rstest]
#[case::by_policy(by_policy)]
#[case::by_timeout(on_timeout_force)]
fn force_asks_before_it_lets_go(#[case] change: fn(&mut RestateDeployment)) {
    let mut world = rolled(0);
    world.edit(change);
    world.delete();
    world.sets.clear();
    world.services.clear();
    world.tick(4_000);
    world.snapshot = None;
    let decision = world.pass(Crash::Never);
    assert!(!world.gone && decision.demand.registry, "{:#?}", decision.plan);
    roll(&mut world);
    assert!(world.gone && world.registry.deployments.is_empty());
}

fn annotation<'w>(world: &'w World, version: u8, key: &str) -> Option<&'w str> {
    world.set(version)?.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn annotate(world: &mut World, version: u8, key: &str, value: &str) {
    let uid = world.set(version).unwrap().metadata.uid.clone();
    let set = world.sets.iter_mut().find(|set| set.metadata.uid == uid).unwrap();
    set.metadata.annotations.get_or_insert_default().insert(key.to_owned(), value.to_owned());
}

fn register_at(world: &mut World, url: &str) {
    let register = serde_json::from_value(serde_json::json!({"url": url})).unwrap();
    world.edit(|object| object.spec.restate.register = register);
    world.registry = restate_model::Registry::default();
    world.snapshot = None;
}

/// An id of one Restate means nothing to another one: what the former still routes to is not lost, and nothing is Ready
/// before the new one routes to it.
#[test]
fn a_change_of_the_restate_registers_anew_and_keeps_what_the_former_may_use() {
    let mut world = World::new();
    register_at(&mut world, "http://a.example:9070");
    for _ in 0..4 {
        roll(&mut world);
    }
    assert!(ready(&world));
    register_at(&mut world, "http://b.example:9070");
    world.pass(Crash::Never);
    assert!(!ready(&world), "the other one has not been asked");
    for _ in 0..4 {
        roll(&mut world);
    }
    assert!(ready(&world) && world.registry.deployments.len() == 1);
    let former = annotation(&world, 0, restate_crd::annotation::FORMERLY_REGISTERED).unwrap().to_owned();
    assert!(former.contains("http://a.example:9070"), "{former}");
    world.deploy(1);
    for _ in 0..6 {
        roll(&mut world);
        world.tick(700);
    }
    assert_eq!(
        (desired(&world, 0), state(&world, 0)),
        (2, Some(VersionState::Unknown)),
        "a may still call it"
    );
    annotate(&mut world, 0, ABANDON, "true");
    for _ in 0..3 {
        roll(&mut world);
    }
    assert_eq!(desired(&world, 0), 0);
    assert_eq!(annotation(&world, 0, restate_crd::annotation::FORMERLY_REGISTERED), None);
}

/// The same Restate under another address knows the same ids: nothing is to be given up by hand.
#[test]
fn another_spelling_of_the_same_restate_is_no_other_one() {
    let mut world = World::new();
    register_at(&mut world, "http://a.example:9070");
    for _ in 0..4 {
        roll(&mut world);
    }
    let registry = world.registry.clone();
    register_at(&mut world, "https://a.example:9070");
    world.registry = registry;
    for _ in 0..4 {
        roll(&mut world);
    }
    assert!(ready(&world));
    assert_eq!(annotation(&world, 0, restate_crd::annotation::FORMERLY_REGISTERED), None);
    let with = annotation(&world, 0, restate_crd::annotation::REGISTERED_WITH);
    assert_eq!(with, Some("https://a.example:9070"), "{:?}", world.log);
    world.deploy(1);
    for _ in 0..6 {
        roll(&mut world);
        world.tick(700);
    }
    assert_eq!(desired(&world, 0), 0, "it goes as any other");
}

/// Nor does a new RestateCluster that is not there yet let go of what the former may use.
#[test]
fn a_target_that_does_not_exist_lets_go_of_nothing() {
    let mut world = rolled(0);
    world.call("a", true);
    let register = serde_json::from_value(serde_json::json!({"cluster": "tset"})).unwrap();
    world.edit(|object| object.spec.restate.register = register);
    (world.cluster, world.snapshot) = (ClusterSeen::Absent, None);
    world.delete();
    world.tick(5);
    world.pass(Crash::Never);
    assert!(!world.gone);
    world.edit(by_policy);
    world.pass(Crash::Never);
    assert!(world.gone);
}

/// Somebody has told Restate to call a version by another way: its work is not known to be none.
#[test]
fn a_version_that_is_called_by_another_way_is_kept() {
    let mut world = rolled(0);
    world.call("a", true);
    let id = world.registry.deployments.keys().next().unwrap().clone();
    let moved = world.registry.deployments.get_mut(&id).unwrap();
    std::sync::Arc::make_mut(moved).endpoint = "https://gateway.example/greeter".to_owned();
    world.deploy(1);
    for _ in 0..6 {
        roll(&mut world);
        world.tick(700);
    }
    assert_eq!(desired(&world, 0), 2, "{:?}", world.log);
    assert!(world.registry.deployments.contains_key(&id));
}

/// A deletion asks the Restate that the object names; what another one was told holds it until people say otherwise.
#[test]
fn a_deletion_is_held_by_what_another_restate_was_told() {
    let mut world = World::new();
    register_at(&mut world, "http://a.example:9070");
    for _ in 0..4 {
        roll(&mut world);
    }
    register_at(&mut world, "http://b.example:9070");
    world.delete();
    world.tick(5);
    roll(&mut world);
    assert!(!world.gone);
    let message = world.object.status.clone().unwrap().deletion.unwrap().message.unwrap();
    assert!(message.contains("at http://a.example:9070"), "{message}");
    annotate(&mut world, 0, ABANDON, "true");
    roll(&mut world);
    assert!(world.gone);
}

/// A RestateCluster that comes again under its name has nothing of what was registered.
#[test]
fn a_cluster_that_was_made_anew_is_registered_with_anew() {
    let mut world = rolled(0);
    world.cluster = ClusterSeen::Absent;
    world.pass(Crash::Never);
    world.registry = restate_model::Registry::default();
    (world.cluster, world.snapshot) = (ClusterSeen::Present, None);
    let decision = world.pass(Crash::Never);
    assert!(!ready(&world) && decision.demand.registry, "{:?}", world.object.status);
    for _ in 0..3 {
        roll(&mut world);
    }
    assert!(ready(&world) && world.registry.deployments.len() == 1);
}

/// People give up one life of a version, not those to come.
#[test]
fn what_was_given_up_once_is_not_given_up_for_good() {
    let mut world = rolled(0);
    world.deploy(1);
    roll(&mut world);
    world.call("b", true);
    annotate(&mut world, 0, ABANDON, "true");
    for _ in 0..3 {
        roll(&mut world);
    }
    assert_eq!((desired(&world, 0), annotation(&world, 0, ABANDON)), (0, None));
    annotate(&mut world, 0, ABANDON, "true");
    world.deploy(0);
    for _ in 0..4 {
        roll(&mut world);
    }
    assert!(ready(&world) && annotation(&world, 0, ABANDON).is_none(), "a wanted version is not given up");
}

/// An intent that was overtaken says nothing of what a Restate forgets later.
#[test]
fn an_intent_that_was_not_carried_out_is_void_as_soon_as_the_version_is_in_use() {
    let mut world = rolled(0);
    world.call("a", true);
    world.deploy(1);
    roll(&mut world);
    let id = annotation(&world, 0, restate_crd::annotation::DEPLOYMENT_ID).unwrap().to_owned();
    annotate(&mut world, 0, restate_crd::annotation::DEREGISTERING, &id);
    roll(&mut world);
    assert_eq!(annotation(&world, 0, restate_crd::annotation::DEREGISTERING), None);
}

/// Whoever may write on replica sets of one namespace could name what is registered for another.
#[test]
fn an_id_of_somebody_elses_that_is_written_on_a_version_is_not_believed() {
    let mut world = rolled(0);
    let theirs = world.register_at("http://ledger-1.bank.svc.cluster.local:9080/", &["ledger"], true);
    let set = &mut world.sets[0];
    let own = set.metadata.annotations.get_or_insert_default();
    own.insert(restate_crd::annotation::DEPLOYMENT_ID.to_owned(), theirs.to_string());
    world.poll();
    let shown = views(&world.seen(), world.now);
    assert!(shown.iter().all(|view| view.deployment_id.as_ref() != Some(&theirs)), "{shown:?}");
    world.edit(by_policy);
    world.delete();
    world.tick(5);
    roll(&mut world);
    assert!(world.gone);
    assert_eq!(world.registry.deployments.keys().collect::<Vec<_>>(), [&theirs], "and ours is gone");
}

/// What nothing is registered for has no work: that it cannot be counted holds nothing.
#[test]
fn a_deletion_of_what_was_never_registered_waits_for_no_count() {
    let mut world = World::new();
    world.broken.insert(0);
    world.run_pods();
    world.pass(Crash::Never);
    world.pass(Crash::Never);
    world.delete();
    world.tick(5);
    world.poll();
    if let Some(snapshot) = &mut world.snapshot {
        std::sync::Arc::make_mut(snapshot).usage = None;
    }
    world.pass(Crash::Never);
    assert!(world.gone);
}

/// A reading of the registry that succeeds is an answer, although the question about work after it fails.
#[test]
fn force_deregisters_where_restate_answers_at_all() {
    let mut world = rolled(0);
    world.delete();
    world.edit(by_policy);
    world.tick(61);
    world.poll();
    let mut snapshot = world.snapshot.as_deref().cloned().unwrap();
    let at = snapshot.registry.as_ref().unwrap().asked_at;
    snapshot.failure = Some(restate_model::Failure {
        at,
        kind: restate_model::FailureKind::Unavailable,
        message: String::new(),
    });
    world.snapshot = Some(std::sync::Arc::new(snapshot));
    world.pass(Crash::Never);
    assert!(world.gone && world.registry.deployments.is_empty());
}

#[test]
fn an_object_without_versions_goes_at_once() {
    let mut world = World::new();
    world.restate_up = false;
    world.delete();
    world.pass(Crash::Never);
    assert!(world.gone);
}

#[test]
fn an_invalid_change_leaves_everything_as_it_is() {
    let mut world = rolled(0);
    world.edit(|object| object.spec.template = serde_json::from_value(template(9)).unwrap());
    world.edit(|object| object.spec.selector = None);
    let decision = world.pass(Crash::Never);
    assert_eq!(told(&decision), ["Warning SelectorMismatch"], "and nothing else");
    assert_eq!(decision.plan.steps.len(), 1, "{:?}", decision.plan);
    assert_eq!(reason(&world, ConditionType::Stalled), "SelectorMismatch");
    assert_eq!(state(&world, 0), Some(VersionState::Current), "it serves as before");
}

/// What a plan says to people.
fn told(decision: &Decision) -> Vec<String> {
    let note = |step: &Step| match step {
        Step::Note(note) => Some(format!("{:?} {}", note.kind, note.reason)),
        _ => None,
    };
    decision.plan.steps.iter().filter_map(note).collect()
}

/// What stops an object is an event when it comes to be, or becomes something else; never while it stays as it is.
#[test]
fn what_cannot_work_is_told_once_per_change() {
    let mut world = World::new();
    world.cluster = ClusterSeen::Absent;
    assert_eq!(told(&world.pass(Crash::Never)), ["Warning TargetNotFound"]);
    for _ in 0..3 {
        world.tick(1_000);
        assert_eq!(world.pass(Crash::Never).plan.steps, [], "said already");
    }
    world.edit(|object| object.spec.replicas = 3);
    assert_eq!(told(&world.pass(Crash::Never)), [""; 0], "another generation, the same words");
    world.edit(|object| {
        object.spec.restate.register = restate_crd::deployment::Register::Cluster("other".to_owned());
    });
    assert_eq!(told(&world.pass(Crash::Never)), ["Warning TargetNotFound"], "another cluster");
    world.edit(|object| object.spec.selector = None);
    assert_eq!(told(&world.pass(Crash::Never)), ["Warning SelectorMismatch"]);
    world.edit(|object| {
        object.spec.template =
            serde_json::from_value(serde_json::json!({"spec": {"containers": []}})).unwrap();
    });
    let words = world.pass(Crash::Never);
    assert!(told(&words).len() <= 1, "{words:?}");
    world.cluster = ClusterSeen::Present;
    world.object.spec = super::world::greeter(0).spec;
    roll(&mut world);
    assert!(ready(&world));
    world.cluster = ClusterSeen::Absent;
    assert_eq!(told(&world.pass(Crash::Never)), ["Warning TargetNotFound"], "it was well in between");
}

/// Pods take their time; those that stay away are told once, a minute later.
#[test]
fn pods_that_stay_away_are_told_after_a_minute() {
    let mut world = rolled(0);
    world.broken.insert(1);
    world.deploy(1);
    let mut said = Vec::new();
    let mut until = None;
    for _ in 0..5 {
        world.run_pods();
        let decision = world.pass(Crash::Never);
        said.extend(told(&decision));
        if let Outcome::Waiting { look_again: LookAgain::At(at), .. } = decision.plan.outcome {
            until = Some(at);
        }
    }
    assert!(!said.iter().any(|text| text.contains("PodsNotReady")), "{said:?}");
    assert_eq!(reason(&world, ConditionType::Available), "PodsNotReady");
    world.now = until.expect("it looks again by itself");
    assert_eq!(told(&world.pass(Crash::Never)), ["Warning PodsNotReady"]);
    for _ in 0..3 {
        world.tick(1_000);
        world.run_pods();
        let decision = world.pass(Crash::Never);
        assert_eq!((told(&decision), decision.plan.steps.len()), (Vec::new(), 0), "said already");
        assert!(!matches!(decision.plan.outcome, Outcome::Waiting { look_again: LookAgain::At(_), .. }));
    }
    world.deploy(0);
    roll(&mut world);
    assert!(ready(&world), "and the old version serves");
}

#[test]
fn a_name_that_is_taken_makes_another_version_name() {
    let mut world = World::new();
    let mut taken = super::world::greeter_set(&world, "u-somebody-else");
    taken.metadata.owner_references = None;
    world.sets.push(taken);
    roll(&mut world);
    assert_eq!(world.object.status.as_ref().unwrap().collision_count, Some(1));
    assert!(ready(&world));
    let again = world.decide();
    assert_eq!((again.plan.steps, Some(again.status)), (Vec::<Step>::new(), world.object.status.clone()));
}

#[test]
fn a_stable_service_follows_routing_and_seizes_nothing() {
    let mut world = World::new();
    world.edit(|object| {
        object.spec.stable_service =
            Some(restate_crd::deployment::StableService { name: "hello".to_owned() });
    });
    roll(&mut world);
    let selector = |world: &World| {
        let stable = world.services.iter().find(|it| it.metadata.name.as_deref() == Some("hello"));
        stable.and_then(|it| it.spec.clone()?.selector?.get("pod-template-hash").cloned())
    };
    let first = selector(&world).unwrap();
    world.deploy(1);
    roll(&mut world);
    assert_ne!(selector(&world), Some(first));
    for service in &mut world.services {
        service.metadata.owner_references = service
            .metadata
            .owner_references
            .take()
            .filter(|_| service.metadata.name.as_deref() != Some("hello"));
    }
    let taken = selector(&world);
    world.deploy(2);
    roll(&mut world);
    assert_eq!(selector(&world), taken, "it belongs to somebody else now");
    assert!(ready(&world));
}

#[test]
fn a_created_version_costs_few_writes() {
    let world = rolled(0);
    // Replica set, Service, id with label; the rest are status.
    assert_eq!(world.log.len(), 3, "{:?}", world.log);
    assert!(world.now > at(0));
}
