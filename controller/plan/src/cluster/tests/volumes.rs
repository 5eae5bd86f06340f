//! Volumes in a world that does what the API server does: whatever is asked for and wherever a pass ends, volumes
//! only grow, and no pod is touched.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::*;
use crate::Propagation;

const GIB: i64 = 1 << 30;

/// A cluster and what exists of it.
#[derive(Clone, Debug)]
struct World {
    object: RestateCluster,
    children: Children,
}

fn claim(cluster: &str, ordinal: usize, bytes: i64, class: &str, phase: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("storage-restate-{ordinal}"), "namespace": cluster, "uid": format!("claim-{ordinal}"),
            "labels": {"app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": cluster},
        },
        "spec": {"storageClassName": class, "resources": {"requests": {"storage": bytes.to_string()}}},
        "status": {"phase": phase, "capacity": {"storage": bytes.to_string()}},
    }))
    .unwrap()
}

fn size(claim: &PersistentVolumeClaim) -> i64 {
    let resources = claim.spec.as_ref().unwrap().resources.as_ref().unwrap();
    resources.requests.as_ref().unwrap()["storage"].0.parse().unwrap()
}

impl World {
    /// Three nodes as the existing operator made them, taken over, with volumes of 2 GiB.
    fn adopted() -> Self {
        let mut children = children(RICH);
        children.claims =
            (0..3).map(|ordinal| claim("rich", ordinal, 2 * GIB, "local-path", "Bound")).collect();
        let mut world = Self { object: object(RICH), children };
        world.settle(usize::MAX);
        world
    }

    fn wants(mut self, bytes: i64) -> Self {
        self.object.spec.storage.storage_request_bytes = bytes;
        self
    }

    fn plan(&self) -> Plan {
        plan(&self.valid(), &seen(self.children.clone()), now())
    }

    fn valid(&self) -> Valid {
        validate(&self.object).unwrap()
    }

    fn verdict(&self) -> restate_crd::condition::Verdict {
        super::super::storage::verdict(&self.valid(), &self.children)
    }

    fn template(&self) -> Value {
        json!(self.children.stateful_set.as_ref().unwrap().spec.as_ref().unwrap().template)
    }

    fn template_size(&self) -> i64 {
        let set = self.children.stateful_set.as_ref().unwrap();
        size(&set.spec.as_ref().unwrap().volume_claim_templates.as_ref().unwrap()[0])
    }

    fn sizes(&self) -> Vec<i64> {
        self.children.claims.iter().map(size).collect()
    }

    /// Passes until nothing is left to do; each performs at most so many steps. Gives what was done.
    fn settle(&mut self, at_most: usize) -> Vec<Step> {
        let mut done = Vec::new();
        for _ in 0..60 {
            let steps: Vec<Step> = self.plan().steps.into_iter().take(at_most).collect();
            if steps.is_empty() {
                return done;
            }
            for step in &steps {
                self.perform(step);
            }
            done.extend(steps);
        }
        panic!("no end: {done:#?}");
    }

    fn perform(&mut self, step: &Step) {
        match step {
            Step::Aside(step) => self.perform(step),
            Step::Annotate { object, annotations, .. } if object.kind == "RestateCluster" => {
                for (key, value) in annotations {
                    match value {
                        Some(value) => drop(self.object.annotations_mut().insert(key.clone(), value.clone())),
                        None => drop(self.object.annotations_mut().remove(key)),
                    }
                }
            }
            Step::Delete { object, propagation, .. } if object.kind == "StatefulSet" => {
                assert_eq!(*propagation, Propagation::Orphan, "no pod may go");
                assert!(self.object.annotations().contains_key(REPLACED), "it could not be made again");
                self.children.stateful_set = None;
            }
            Step::Apply(_, object) if matches!(**object, Object::PersistentVolumeClaim(_)) => {
                let Object::PersistentVolumeClaim(change) = &**object else { unreachable!() };
                let uid = &change.metadata.uid;
                let found = self.children.claims.iter_mut().find(|found| found.metadata.uid == *uid);
                let found = found.unwrap().spec.as_mut().unwrap();
                let change = change.spec.clone().unwrap();
                found.resources = change.resources;
                found.volume_attributes_class_name = change.volume_attributes_class_name;
            }
            step => {
                let plan = Plan { steps: vec![step.clone()], parts: Vec::new(), outcome: Outcome::Settled };
                self.children = after(self.children.clone(), &plan);
            }
        }
    }
}

/// users.md §3 (README): storage grows online; §2a 0.6.1: not over and over again.
#[test]
fn volumes_grow_and_the_set_is_replaced_once_with_its_pods_left_alone() {
    let mut world = World::adopted().wants(3 * GIB);
    let template = world.template();
    let done = world.settle(usize::MAX);
    assert_eq!((world.sizes(), world.template_size()), (vec![3 * GIB; 3], 3 * GIB));
    assert_eq!(world.template(), template, "the pods are taken back as they are");
    let kinds: Vec<String> = done.iter().map(|step| format!("{step:?}").chars().take(8).collect()).collect();
    assert_eq!(kinds, ["Aside(Ap", "Aside(Ap", "Aside(Ap", "Annotate", "Delete {", "Apply(Op", "Annotate"]);
    assert_eq!(world.verdict().reason.to_string(), "VolumesGrowing", "the capacity follows");
    for claim in &mut world.children.claims {
        claim.status.as_mut().unwrap().capacity.as_mut().unwrap().get_mut("storage").unwrap().0 =
            "3Gi".into();
    }
    assert_eq!(world.verdict().reason.to_string(), "VolumesAsWanted");
}

/// Readiness is not lost in the moments without a set: nothing happens to the pods.
#[test]
fn a_cluster_whose_set_is_replaced_stays_ready() {
    let mut world = World::adopted().wants(3 * GIB);
    all_ready(&mut world.children);
    let member = |world: &World| Seen {
        nodes: nodes(&world.valid(), &NodeIdentity::Member),
        ..seen(world.children.clone())
    };
    world.object.status = Some(status(&world.object, &world.valid(), &member(&world), now()));
    while world.children.stateful_set.is_some() {
        let step = world.plan().steps.remove(0);
        world.perform(&step);
    }
    let status = status(&world.object, &world.valid(), &member(&world), now());
    assert!(status.conditions.holds(ConditionType::Ready), "{:#?}", status.conditions);
}

#[test]
fn a_set_that_is_going_is_left_to_go() {
    let mut world = World::adopted().wants(3 * GIB);
    let set = world.children.stateful_set.as_mut().unwrap();
    set.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    let steps = world.plan().steps;
    assert!(steps.iter().all(|step| matches!(step, Step::Aside(_))), "the claims alone: {steps:#?}");
}

/// A class that cannot expand: said, never tried; the template stays with its claims.
#[test]
fn a_class_that_does_not_expand_is_named_and_not_asked() {
    let mut world = World::adopted().wants(3 * GIB);
    world.children.expandable = [("local-path".to_owned(), false)].into();
    assert_eq!(world.plan().steps, vec![]);
    let verdict = world.verdict();
    assert_eq!(verdict.reason.to_string(), "ExpansionNotAllowed");
    assert!(verdict.message.contains("storage-restate-0 (local-path)"), "{}", verdict.message);
    assert_eq!(classes_to_ask(&world.valid(), &world.children), ["local-path"]);
    let at_rest = World::adopted();
    assert_eq!(classes_to_ask(&at_rest.valid(), &at_rest.children), [""; 0], "nobody grows");
}

/// A node that has no volume yet would get one of the old size.
#[test]
fn the_set_waits_for_every_claim() {
    let mut world = World::adopted().wants(3 * GIB);
    world.children.claims[2] = claim("rich", 2, 2 * GIB, "local-path", "Pending");
    world.settle(usize::MAX);
    assert_eq!((world.sizes(), world.template_size()), (vec![3 * GIB, 3 * GIB, 2 * GIB], 2 * GIB));
    world.children.claims.pop();
    world.settle(usize::MAX);
    assert_eq!(world.template_size(), 2 * GIB);
}

/// users.md §3 (README): volumeAttributesClass.
#[test]
fn attributes_change_in_place_and_are_not_taken_back() {
    let mut world = World::adopted();
    world.object.spec.storage.volume_attributes_class_name = Some("fast".into());
    world.settle(usize::MAX);
    let attributes = |world: &World| {
        let of = |claim: &PersistentVolumeClaim| claim.spec.clone().unwrap().volume_attributes_class_name;
        world.children.claims.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(attributes(&world), vec![Some("fast".to_owned()); 3]);
    assert_eq!(world.sizes(), vec![2 * GIB; 3]);
    world.object.spec.storage.volume_attributes_class_name = None;
    assert_eq!(world.settle(usize::MAX), vec![]);
    assert_eq!(attributes(&world), vec![Some("fast".to_owned()); 3]);
}

/// users.md §3 (README): never shrinks, class immutable.
#[rstest]
#[case::size(json!({"storageRequestBytes": 1}), "VolumesNeverShrink")]
#[case::class(json!({"storageRequestBytes": 2 * GIB, "storageClassName": "other"}), "StorageClassFixed")]
fn what_volumes_cannot_do_is_said_and_not_tried(#[case] storage: Value, #[case] reason: &str) {
    let mut world = World::adopted();
    world.object.spec.storage = serde_json::from_value(storage).unwrap();
    assert_eq!(world.plan().steps, vec![]);
    assert_eq!(world.verdict().reason.to_string(), reason);
}

/// A claim of another cluster or of another purpose is nobody's to change.
#[test]
fn foreign_claims_are_left_alone() {
    let mut world = World::adopted().wants(3 * GIB);
    let mut foreign = claim("rich", 0, GIB, "local-path", "Bound");
    foreign.metadata.labels.as_mut().unwrap().insert("app.kubernetes.io/instance".into(), "other".into());
    let mut other = claim("rich", 1, GIB, "local-path", "Bound");
    other.metadata.name = Some("backup-restate-0".into());
    world.children.claims.extend([foreign, other]);
    world.settle(usize::MAX);
    assert_eq!(world.sizes()[3..], [GIB, GIB]);
}

fn any_claim() -> impl Strategy<Value = (i64, bool, bool)> {
    (1..6_i64, prop::bool::weighted(0.8), prop::bool::weighted(0.8))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// architecture §4.5, whatever is asked for in a row, and wherever the process ends between two steps.
    #[test]
    fn volumes_only_grow_and_pods_stay(
        claims in prop::collection::vec(any_claim(), 3),
        wishes in prop::collection::vec((1..8_i64, prop::option::of("[ab]")), 1..5),
        at_most in 1..4_usize,
    ) {
        let mut world = World::adopted();
        world.children.expandable = [("grows".to_owned(), true), ("stays".to_owned(), false)].into();
        world.children.claims = claims.iter().enumerate().map(|(ordinal, (gib, bound, grows))| {
            let class = if *grows { "grows" } else { "stays" };
            claim("rich", ordinal, gib * GIB, class, if *bound { "Bound" } else { "Pending" })
        }).collect();
        world.object.spec.storage.storage_class_name = None;
        let (template, mut template_size) = (world.template(), world.template_size());
        for (gib, attributes) in wishes {
            let before = world.sizes();
            world.object.spec.storage.storage_request_bytes = gib * GIB;
            world.object.spec.storage.volume_attributes_class_name = attributes;
            world.settle(at_most);
            prop_assert!(before.iter().zip(world.sizes()).all(|(before, after)| *before <= after));
            prop_assert!(world.template_size() >= template_size);
            template_size = world.template_size();
            prop_assert_eq!(world.template(), template.clone());
            prop_assert!(!world.object.annotations().contains_key(REPLACED));
            prop_assert_eq!(world.children.claims.len(), 3);
            let held = world.children.claims.iter().any(|claim| {
                size(claim) < gib * GIB || claim.status.as_ref().unwrap().phase.as_deref() != Some("Bound")
            });
            prop_assert!(held || world.template_size() >= gib * GIB, "new nodes get what is wanted");
        }
    }
}
