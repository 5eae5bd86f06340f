//! Changes of the pod template: one pod at a time, by the cluster's own word, whatever happens in between.

use k8s_openapi::api::core::v1::Pod;

use super::*;
use crate::Propagation;

/// A cluster, the stateful set controller, and nodes that come and go.
#[derive(Clone)]
struct World {
    object: RestateCluster,
    children: Children,
    pods: Vec<Running>,
    now: Timestamp,
    /// Templates by revision, and whether pods of them ever become ready.
    revisions: Vec<(String, bool)>,
    next_breaks: bool,
    answers: bool,
    starts: u32,
}

#[derive(Clone, Debug)]
struct Running {
    ordinal: i32,
    start: u32,
    revision: usize,
    ready: bool,
    since: Timestamp,
    going: Option<Timestamp>,
    behind: bool,
    /// It cannot run, whatever its template says, until it is made again.
    fails: bool,
}

impl World {
    fn of(replicas: i32) -> Self {
        let mut object = fresh(SMALL);
        object.spec.compute.replicas = Some(replicas);
        object.status = Some(serde_json::from_value(json!({"provisioned": true})).unwrap());
        let mut world = Self {
            object,
            children: Children::default(),
            pods: Vec::new(),
            now: now(),
            revisions: Vec::new(),
            next_breaks: false,
            answers: true,
            starts: 0,
        };
        world.rest();
        world
    }

    fn valid(&self) -> Valid {
        validate(&self.object).unwrap()
    }

    fn change(&mut self, breaks: bool) {
        self.next_breaks = breaks;
        self.object.spec.compute.env =
            serde_json::from_value(json!([{"name": "CHANGE", "value": self.revisions.len().to_string()}]))
                .unwrap();
        self.object.metadata.generation = self.object.metadata.generation.map(|generation| generation + 1);
    }

    fn seen(&self) -> Seen {
        let valid = self.valid();
        let mut seen = Seen { nodes: nodes(&valid, &NodeIdentity::Member), ..seen(self.children.clone()) };
        if asks_pods(&valid, &seen.children) {
            seen.pods =
                Some(self.pods.iter().map(|pod| pod.object(&self.revisions[pod.revision].0)).collect());
        }
        if asks_standing(&valid, &seen, self.now) {
            let unknown = Standing::Unknown { why: "restate-1 is silent".into() };
            seen.standing = if self.answers { Standing::Known(self.health()) } else { unknown };
        }
        seen
    }

    /// Two partitions, each on every node, the first node leads.
    fn health(&self) -> Health {
        let up = || self.pods.iter().filter(|pod| pod.ready && pod.going.is_none());
        let incarnation = |pod: &Running| Incarnation { id: pod.id(), generation: pod.start };
        let word = |pod: &Running| NodeWord {
            pod: format!("restate-{}", pod.ordinal),
            node: incarnation(pod),
            unfit: vec![],
        };
        let leader = up().map(Running::id).min();
        let processor = |partition, pod: &Running| Processor {
            partition,
            node: pod.id(),
            leads: Some(pod.id()) == leader,
            progress: if pod.behind { Progress::CatchingUp } else { Progress::CaughtUp },
        };
        Health {
            nodes: up().map(word).collect(),
            alive: up().map(incarnation).collect(),
            partitions: 2,
            replication: Some("{node: 3}".into()),
            processors: (0..2).flat_map(|partition| up().map(move |pod| processor(partition, pod))).collect(),
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.valid(), &self.seen(), self.now)
    }

    /// One pass, of which only so many steps are done.
    fn pass(&mut self, steps: usize) -> Vec<i32> {
        let plan = self.plan();
        let mut gone = Vec::new();
        for step in plan.steps.iter().take(steps) {
            self.perform(step, &mut gone);
        }
        gone
    }

    fn perform(&mut self, step: &Step, gone: &mut Vec<i32>) {
        if let Step::Delete { object, uid, propagation } = step
            && object.kind == "Pod"
        {
            assert_eq!(*propagation, Propagation::Background);
            let pod =
                self.pods.iter_mut().find(|pod| object.name == format!("restate-{}", pod.ordinal)).unwrap();
            assert_eq!(uid.0, pod.start.to_string(), "of exactly this pod");
            (pod.going, pod.ready) = (Some(self.now), false);
            gone.push(pod.ordinal);
            return;
        }
        if let Step::LeavePods { .. } = step {
            let fresh = stateful_set::stateful_set(&self.valid(), &operator(), None).spec.unwrap();
            let spec = self.children.stateful_set.as_mut().unwrap().spec.as_mut().unwrap();
            spec.update_strategy = fresh.update_strategy;
            return;
        }
        let before = self.children.stateful_set.clone();
        let done = Plan { steps: vec![step.clone()], parts: Vec::new(), outcome: Outcome::Settled };
        self.children = after(self.children.clone(), &done);
        if let (Step::Apply(..), Some(set)) = (step, self.children.stateful_set.as_mut()) {
            let changed = before.as_ref().is_none_or(|before| before.spec != set.spec);
            let generation = before.as_ref().and_then(|before| before.metadata.generation).unwrap_or(0);
            set.metadata.generation = Some(generation + i64::from(changed));
            set.status = before.and_then(|before| before.status);
        }
    }

    /// What the stateful set controller and the kubelets do in this time.
    fn tick(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        let Some(set) = self.children.stateful_set.as_mut() else { return };
        let text = json!(set.spec.as_ref().unwrap().template).to_string();
        let breaks = self.next_breaks;
        let known = self.revisions.iter().position(|(known, _)| *known == text);
        let revision = known.unwrap_or_else(|| {
            self.revisions.push((text, breaks));
            self.revisions.len() - 1
        });
        self.pods.retain(|pod| pod.going.is_none());
        let replicas = stateful_set::observed_replicas(set);
        for ordinal in 0..replicas {
            if !self.pods.iter().any(|pod| pod.ordinal == ordinal) {
                self.starts += 1;
                let (start, since) = (self.starts, self.now);
                self.pods.push(Running {
                    ordinal,
                    start,
                    revision,
                    ready: false,
                    since,
                    going: None,
                    behind: true,
                    fails: false,
                });
            } else if let Some(pod) = self.pods.iter_mut().find(|pod| pod.ordinal == ordinal) {
                pod.lives(self.revisions[pod.revision].1, self.now);
            }
        }
        let count = |test: &dyn Fn(&Running) -> bool| {
            Some(i32::try_from(self.pods.iter().filter(|pod| test(pod)).count()).unwrap())
        };
        set.status = Some(StatefulSetStatus {
            observed_generation: set.metadata.generation,
            update_revision: Some(self.revisions[revision].0.clone()),
            updated_replicas: count(&|pod| pod.revision == revision),
            ready_replicas: count(&|pod| pod.ready),
            replicas,
            ..StatefulSetStatus::default()
        });
    }

    /// Everything is fair from now on.
    fn rest(&mut self) -> Vec<Vec<i32>> {
        let mut order = Vec::new();
        for _ in 0..60 {
            order.push(self.pass(usize::MAX));
            self.tick(4);
        }
        order.retain(|gone| !gone.is_empty());
        order
    }

    fn message(&self) -> String {
        let status = status(&self.object, &self.valid(), &self.seen(), self.now);
        status.conditions.get(ConditionType::Progressing).unwrap().message.clone().unwrap()
    }

    fn is_new_everywhere(&self) -> bool {
        let newest = self.pods.iter().all(|pod| pod.revision == self.revisions.len() - 1);
        newest && self.pods.iter().all(|pod| pod.ready && !pod.behind)
    }
}

impl Running {
    fn id(&self) -> u32 {
        u32::try_from(self.ordinal + 1).unwrap()
    }

    fn lives(&mut self, breaks: bool, now: Timestamp) {
        let up = !breaks && !self.fails;
        if self.ready {
            self.behind = false;
        }
        if self.ready != up {
            (self.ready, self.since) = (up, now);
        }
    }

    fn object(&self, revision: &str) -> Pod {
        let name = format!("restate-{}", self.ordinal);
        let labels = json!({
            "app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": "rs", "controller-revision-hash": revision
        });
        let ready = if self.ready { "True" } else { "False" };
        let mut pod = json!({
            "metadata": {"name": name, "uid": self.start.to_string(), "labels": labels, "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "restate", "uid": "set", "controller": true}]},
            "status": {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": self.since}]},
        });
        if let Some(since) = self.going {
            pod["metadata"]["deletionTimestamp"] = json!(since);
        }
        serde_json::from_value(pod).unwrap()
    }
}

/// users.md 1b op#154, op#155: one pod after the other, each when the one before has caught up.
#[test]
fn a_change_goes_from_pod_to_pod() {
    let mut world = World::of(3);
    assert!(world.is_new_everywhere());
    world.change(false);
    assert_eq!(world.rest(), [vec![2], vec![1], vec![0]]);
    assert!(world.is_new_everywhere());
    assert_eq!(world.plan(), Plan { steps: vec![], parts: Vec::new(), outcome: Outcome::Settled });
    assert!(!asks_pods(&world.valid(), &world.children), "nothing is asked at rest");
}

#[test]
fn what_a_rollout_waits_for_is_said() {
    let mut world = World::of(3);
    world.change(false);
    world.pass(usize::MAX);
    world.tick(4);
    assert_eq!(world.pass(usize::MAX), [2]);
    assert!(
        world.message().ends_with("0 of 3 pods run the new template; restate-2 is being made"),
        "{}",
        world.message()
    );
    world.tick(4);
    assert!(
        world.message().ends_with("1 of 3 pods run the new template; restate-2 is not ready"),
        "{}",
        world.message()
    );
    world.tick(4);
    let said = world.message();
    assert!(said.ends_with("restate-2 became ready a moment ago"), "{said}");
    world.now += SignedDuration::from_secs(5);
    let said = world.message();
    let expected =
        "1 of 3 pods run the new template; N3 catches up on partition 0, N3 catches up on partition 1";
    assert!(said.ends_with(expected), "{said}");
    assert!(asks_standing(&world.valid(), &world.seen(), world.now));
    assert!(world.pass(usize::MAX).is_empty());
    world.tick(4);
    assert_eq!(world.pass(usize::MAX), [1]);
}

/// No answer is no permission; who knows better names the generation, and it means nothing for the next one.
#[test]
fn silence_holds_unless_somebody_overrides_it() {
    let mut world = World::of(3);
    world.change(false);
    world.answers = false;
    assert!(world.rest().is_empty());
    assert!(world.message().contains("the nodes have no word: restate-1 is silent"), "{}", world.message());
    let generation = world.object.metadata.generation.unwrap();
    world.object.annotations_mut().insert(ROLL_UNCHECKED.into(), (generation - 1).to_string());
    assert!(world.rest().is_empty());
    world.object.annotations_mut().insert(ROLL_UNCHECKED.into(), generation.to_string());
    assert_eq!(world.rest(), [vec![2], vec![1], vec![0]]);
    assert!(world.is_new_everywhere());
}

#[test]
fn a_single_node_is_replaced_at_once() {
    let mut world = World::of(1);
    world.answers = false;
    world.change(false);
    assert_eq!(world.rest(), [vec![0]]);
    assert!(world.is_new_everywhere());
}

/// A broken template stops at its first pod, and the mended one reaches it first.
#[test]
fn a_broken_template_is_replaced_by_a_mended_one() {
    let mut world = World::of(3);
    world.change(true);
    assert_eq!(world.rest(), [vec![2]]);
    assert_eq!(world.pods.iter().filter(|pod| pod.ready).count(), 2, "the others serve");
    world.change(false);
    assert_eq!(world.rest(), [vec![2], vec![1], vec![0]]);
    assert!(world.is_new_everywhere());
}

/// The change may be what mends a pod that is down: it goes first, wherever it stands.
#[test]
fn a_pod_that_is_down_comes_first() {
    let mut world = World::of(3);
    world.pods.iter_mut().find(|pod| pod.ordinal == 0).unwrap().fails = true;
    world.tick(4);
    world.change(false);
    assert_eq!(world.rest(), [vec![0], vec![2], vec![1]]);
    assert!(world.is_new_everywhere());
}

/// Where nobody serves there is nobody to wait for.
#[test]
fn a_cluster_that_is_down_is_replaced_at_once() {
    let mut world = World::of(3);
    world.change(true);
    for pod in &mut world.pods {
        pod.fails = true;
    }
    assert_eq!(world.rest(), [vec![2, 1, 0]]);
    world.change(false);
    assert_eq!(world.rest(), [vec![2, 1, 0]]);
    assert!(world.is_new_everywhere());
}

/// Made by somebody else, with Kubernetes' own rolling update: left to it until a field changes.
#[test]
fn a_set_that_kubernetes_rolls_is_left_to_it() {
    let mut world = World::of(3);
    let set = world.children.stateful_set.as_mut().unwrap();
    set.spec.as_mut().unwrap().update_strategy = None;
    set.status.as_mut().unwrap().updated_replicas = Some(1);
    assert!(!asks_pods(&world.valid(), &world.children));
    assert_eq!(world.plan().steps, vec![]);
    world.change(false);
    let steps = world.plan().steps;
    let expected = "an apply cannot take the other strategy's parameters away";
    assert!(matches!(steps[..], [Step::LeavePods { .. }, Step::Apply(..)]), "{expected}: {steps:#?}");
    assert_eq!(world.rest(), [vec![2], vec![1], vec![0]]);
}

/// Growth in the middle of a rollout, and a volume that grows with it.
#[test]
fn a_rollout_and_growth_end_together() {
    let mut world = World::of(3);
    world.change(false);
    world.pass(usize::MAX);
    world.tick(4);
    world.pass(usize::MAX);
    world.object.spec.compute.replicas = Some(5);
    world.rest();
    assert_eq!(world.pods.len(), 5);
    assert!(world.is_new_everywhere());
}

/// users.md 1b op#24.
#[rstest]
#[case::single(1, None, 1)]
#[case::single_copy_of_a_single_node(1, Some(1), 1)]
#[case::not_said(3, None, 1)]
#[case::copies(3, Some(2), 1)]
#[case::single_copy(3, Some(1), 0)]
fn the_budget_follows_the_replication(
    #[case] replicas: i32,
    #[case] copies: Option<i32>,
    #[case] expected: i32,
) {
    let mut world = World::of(replicas);
    world.object.spec.cluster =
        Some(serde_json::from_value(json!({"autoProvision": true, "replication": copies})).unwrap());
    assert_eq!(world.budget(), expected);
}

/// While one pod is replaced and its node catches up, no other is evicted.
#[test]
fn nobody_is_evicted_during_a_rollout() {
    let mut world = World::of(3);
    assert_eq!(world.budget(), 1);
    world.change(false);
    world.pass(usize::MAX);
    world.tick(4);
    world.pass(usize::MAX);
    world.tick(4);
    assert_eq!(world.budget(), 0);
    world.rest();
    assert_eq!(world.budget(), 1);
}

impl World {
    fn budget(&self) -> i32 {
        let budget = disruption_budget::disruption_budget(&self.valid(), &self.children);
        match budget.spec.unwrap().max_unavailable.unwrap() {
            k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(number) => number,
            k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::String(text) => panic!("{text}"),
        }
    }
}

/// users.md 1b op#154: the node serves on until nothing more goes to it; who says otherwise has the last word.
#[rstest]
#[case::by_default(json!({}), Some(5))]
#[case::another_handler(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 9}}}}), Some(9))]
#[case::none(json!({"lifecycle": {}}), None)]
#[case::no_time(json!({"terminationGracePeriodSeconds": 10}), None)]
fn a_pod_says_farewell(#[case] fields: Value, #[case] seconds: Option<i64>) {
    let mut object = json!(fresh(SMALL));
    for (key, value) in fields.as_object().unwrap() {
        object["spec"]["compute"][key] = value.clone();
    }
    let object: RestateCluster = serde_json::from_value(object).unwrap();
    let set = stateful_set::stateful_set(&validate(&object).unwrap(), &operator(), None);
    let lifecycle = set.spec.unwrap().template.spec.unwrap().containers.remove(0).lifecycle;
    let sleeps = lifecycle.and_then(|lifecycle| Some(lifecycle.pre_stop?.sleep?.seconds));
    assert_eq!(sleeps, seconds);
}

fn healthy() -> Health {
    World::of(3).health()
}

#[rstest]
#[case::well(|_: &mut Health| (), None)]
#[case::starts(|health: &mut Health| health.nodes[1].unfit.push("log-server".into()), Some("restate-1 is not up yet (log-server)"))]
#[case::not_heard(|health: &mut Health| health.nodes[2].node.generation += 1, Some("the cluster has not heard of restate-2 since it started"))]
#[case::no_leader(|health: &mut Health| health.processors[0].leads = false, Some("partition 0 has no leader"))]
#[case::two_leaders(|health: &mut Health| health.processors[1].leads = true, Some("partition 0 changes its leader"))]
#[case::behind(|health: &mut Health| health.processors[5].progress = Progress::CatchingUp, Some("N3 catches up on partition 1"))]
#[case::starting(|health: &mut Health| health.processors[5].progress = Progress::Starting, Some("N3 starts on partition 1"))]
#[case::broken(|health: &mut Health| health.processors[5].progress = Progress::Broken, Some("N3 has given up partition 1"))]
#[case::too_few(|health: &mut Health| { health.processors.remove(5); }, Some("partition 1 runs on 2 of 3 nodes"))]
#[case::unreadable(|health: &mut Health| { health.partitions = 1; health.replication = Some("{rack: 2}".into()); }, Some("the replication of partitions cannot be read"))]
#[case::no_partitions(|health: &mut Health| health.partitions = 0, Some("the cluster does not say what it is made of"))]
#[case::no_nodes(|health: &mut Health| health.nodes.clear(), Some("the cluster does not say what it is made of"))]
#[case::nothing_known(
    |health: &mut Health| { health.partitions = 3; health.processors.clear(); },
    Some("partition 0 has no leader, partition 0 runs on 0 of 3 nodes, partition 1 has no leader, and 3 more")
)]
fn what_a_cluster_waits_for(#[case] change: fn(&mut Health), #[case] expected: Option<&str>) {
    let mut health = healthy();
    change(&mut health);
    assert_eq!(health.awaits().as_deref(), expected);
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    Pass(usize),
    Time(i64),
    Change { breaks: bool },
    Fails(i32),
    Heals(i32),
    Silence(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0..6_usize).prop_map(Happens::Pass),
        4 => Just(Happens::Pass(usize::MAX)),
        8 => prop_oneof![1..9_i64, 20..70_i64].prop_map(Happens::Time),
        1 => any::<bool>().prop_map(|breaks| Happens::Change { breaks }),
        1 => (0..3_i32).prop_map(Happens::Fails),
        2 => (0..3_i32).prop_map(Happens::Heals),
        1 => any::<bool>().prop_map(Happens::Silence),
    ]
}

proptest! {
    /// A pod that serves goes only where every other one serves and has caught up, and the nodes said so; one that does
    /// not serve goes only where it has been down for long. In the end every pod is new, whatever happened.
    #[test]
    fn never_two_nodes_away_by_our_doing(happenings in prop::collection::vec(happens(), 0..60)) {
        let mut world = World::of(3);
        for happening in happenings {
            let before = world.clone();
            let fails = |world: &mut World, ordinal, fails| {
                if let Some(pod) = world.pods.iter_mut().find(|pod| pod.ordinal == ordinal) {
                    pod.fails = fails;
                }
            };
            match happening {
                Happens::Pass(steps) => {
                    let gone = world.pass(steps);
                    before.permits(&gone)?;
                }
                Happens::Time(seconds) => world.tick(seconds),
                Happens::Change { breaks } => world.change(breaks),
                Happens::Fails(ordinal) => fails(&mut world, ordinal, true),
                Happens::Heals(ordinal) => fails(&mut world, ordinal, false),
                Happens::Silence(silent) => world.answers = !silent,
            }
        }
        world.change(false);
        world.answers = true;
        for pod in &mut world.pods {
            pod.fails = false;
        }
        world.rest();
        prop_assert!(world.is_new_everywhere(), "{:#?}", world.pods);
        prop_assert_eq!(world.plan().steps, vec![], "a second pass changes nothing");
    }
}

impl World {
    fn permits(&self, gone: &[i32]) -> Result<(), TestCaseError> {
        let serving = |pod: &&Running| pod.ready && pod.going.is_none();
        let goes = |pod: &&Running| gone.contains(&pod.ordinal);
        if self.pods.iter().filter(goes).any(|pod| serving(&pod)) {
            prop_assert_eq!(gone.len(), 1);
            prop_assert!(self.answers);
            prop_assert!(
                self.pods.len() == 3 && self.pods.iter().all(|pod| serving(&pod) && !pod.behind),
                "{:#?}",
                self.pods
            );
        }
        let nobody = !self.pods.iter().any(|pod| serving(&pod));
        for pod in self.pods.iter().filter(goes) {
            let down = !pod.ready && self.now.duration_since(pod.since) >= SignedDuration::from_secs(30);
            prop_assert!(pod.ready || down, "{pod:?}");
            prop_assert!(nobody || gone.len() == 1);
        }
        Ok(())
    }
}
