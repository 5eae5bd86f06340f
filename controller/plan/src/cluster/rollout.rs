//! A change of the pod template, one pod at a time. The stateful set replaces no pod by itself (`OnDelete`); the
//! controller deletes the pod whose turn it is, and the set makes it again from the new template.
//!
//! Nothing is remembered: whose turn it is follows from the pods and from what the nodes say, so a controller that takes
//! over goes on where the other stopped. Invariants: a pod that serves is replaced only while every other one serves
//! and the cluster itself says, asked after the last one came back, that it can do without; no answer is no permission.
//! A set that Kubernetes rolls (made by somebody else, no field changed since) is left to it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1;
use kube_core::ResourceExt;

use super::{Children, NAME, Seen, Standing, Valid, metadata, node_addresses, stateful_set, storage};
use crate::{EventKind, Note, ObjectRef, Propagation, Step, Uid};

/// Annotation of the RestateCluster with the generation that is rolled out by readiness alone, whatever the nodes say.
pub const ROLL_UNCHECKED: &str = "restate.dev/roll-unchecked";

/// The strategy by which a stateful set leaves its pods to us.
pub(super) const STRATEGY: &str = "OnDelete";

const REVISION: &str = "controller-revision-hash";

/// How long a pod is not ready before it counts as one that nobody misses.
const STUCK: SignedDuration = SignedDuration::from_secs(30);
/// How long a replaced pod has to become ready before another one that is stuck follows.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// How long a pod is ready before the others' word on its node is new: they tell it every two seconds.
const SETTLED: SignedDuration = SignedDuration::from_secs(5);

/// Whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nobody's: every pod is as its template says, or Kubernetes does it.
    Rest,
    /// These pods are replaced now.
    Replace(Vec<(String, Uid)>),
    /// Not yet.
    Wait(String),
}

/// What the pods alone say.
enum Next<'a> {
    Now(Vec<&'a Pod>),
    /// If the cluster can do without it.
    Ask(&'a Pod),
    Wait(String),
}

/// The pods of a set, the highest ordinal first.
struct Pods {
    all: Vec<Pod>,
    /// How many there are to be.
    replicas: i32,
}

struct Pod {
    ordinal: i32,
    name: String,
    uid: Uid,
    outdated: bool,
    going: bool,
    ready: bool,
    /// Since when it is ready, or is not.
    since: Option<Timestamp>,
}

/// Whether a pass must look at the pods: while a new template is on its way to them.
pub fn asks_pods(valid: &Valid, children: &Children) -> bool {
    under_way(valid, children).is_some()
}

/// Whether a pass must ask the nodes: where the pods alone leave the next one's turn to them.
pub fn asks_standing(valid: &Valid, seen: &Seen, now: Timestamp) -> bool {
    let pods = under_way(valid, &seen.children).and_then(|set| pods(valid, set, seen));
    pods.is_some_and(|pods| matches!(pods.next(valid, now), Next::Ask(_)))
}

/// By which labels the pods of this cluster are found.
pub fn pod_selector(cluster: &str) -> String {
    let pairs = metadata::selector_labels(cluster).into_iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// Every node that runs, by pod and address: each must answer.
pub fn nodes_to_ask(valid: &Valid, seen: &Seen) -> Vec<(String, String)> {
    let running = seen.children.stateful_set.as_ref().map_or(0, stateful_set::observed_replicas);
    let addresses = node_addresses(&valid.name, running, &seen.operator.dns_suffix);
    (0..running).map(|ordinal| format!("{NAME}-{ordinal}")).zip(addresses).collect()
}

/// Whose turn it is.
pub(super) fn turn(valid: &Valid, seen: &Seen, now: Timestamp) -> Turn {
    let Some(set) = under_way(valid, &seen.children) else { return Turn::Rest };
    let Some(pods) = pods(valid, set, seen) else {
        return Turn::Wait("the pods could not be read".to_owned());
    };
    let replace =
        |pods: &[&Pod]| Turn::Replace(pods.iter().map(|pod| (pod.name.clone(), pod.uid.clone())).collect());
    match pods.next(valid, now) {
        Next::Now(pods) => replace(&pods),
        Next::Wait(why) => Turn::Wait(why),
        Next::Ask(pod) => match &seen.standing {
            Standing::NotAsked => Turn::Wait("the nodes were not asked".to_owned()),
            Standing::Unknown { why } => Turn::Wait(format!("the nodes have no word: {why}")),
            Standing::Known(health) => health.awaits().map_or_else(|| replace(&[pod]), Turn::Wait),
        },
    }
}

/// What is done about the pods.
pub(super) fn steps(valid: &Valid, seen: &Seen, now: Timestamp) -> Vec<Step> {
    let Turn::Replace(pods) = turn(valid, seen, now) else { return Vec::new() };
    let step = |(name, uid): &(String, Uid)| {
        let object = ObjectRef::of::<v1::Pod>(Some(&valid.name), name);
        Step::Delete { object, uid: uid.clone(), propagation: Propagation::Background }
    };
    let names: Vec<_> = pods.iter().map(|(name, _)| name.as_str()).collect();
    let note = Note {
        kind: EventKind::Normal,
        reason: "PodReplaced",
        action: "Replace",
        message: format!("{} is made again from the new template", names.join(", ")),
    };
    pods.iter().map(step).chain([Step::Note(note)]).collect()
}

/// How far the rollout is and what it waits for; none where there is none.
pub(super) fn progress(valid: &Valid, seen: &Seen, now: Timestamp) -> Option<String> {
    let set = under_way(valid, &seen.children)?;
    let status = set.status.as_ref()?;
    let (updated, all) = (status.updated_replicas.unwrap_or(0), stateful_set::observed_replicas(set));
    let why = match turn(valid, seen, now) {
        Turn::Rest => return None,
        Turn::Replace(pods) => {
            let names: Vec<_> = pods.into_iter().map(|(name, _)| name).collect();
            format!("{} is replaced", names.join(", "))
        }
        Turn::Wait(why) => why,
    };
    Some(format!("{updated} of {all} pods run the new template; {why}"))
}

/// The set whose new template is not everywhere yet, where that is ours to do and its status is about it.
pub(super) fn under_way<'a>(valid: &Valid, children: &'a Children) -> Option<&'a StatefulSet> {
    let set = children.stateful_set.as_ref()?;
    let status = set.status.as_ref()?;
    let ours = metadata::is_ours(valid, &set.metadata) && !storage::is_going(set);
    let behind = status.updated_replicas.unwrap_or(0) < stateful_set::observed_replicas(set);
    let current = status.observed_generation >= set.metadata.generation && status.update_revision.is_some();
    (ours && is_ours_to_do(set) && behind && current).then_some(set)
}

/// Whether the set leaves its pods to us.
pub(super) fn is_ours_to_do(set: &StatefulSet) -> bool {
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some(STRATEGY)
}

impl Pods {
    fn next(&self, valid: &Valid, now: Timestamp) -> Next<'_> {
        let outdated: Vec<_> = self.staying().filter(|pod| pod.outdated).collect();
        let Some(&highest) = outdated.first() else { return Next::Wait("the last one comes up".to_owned()) };
        if self.replicas <= 1 || self.is_missed_by_nobody(valid, now) {
            return Next::Now(outdated);
        }
        if let Some(missing) = self.missing() {
            return Next::Wait(format!("{missing} is being made"));
        }
        if let Some(stuck) = outdated.iter().find(|pod| pod.is_stuck(now, STUCK)) {
            let hopeful = self.unready().find(|pod| !pod.outdated && !pod.is_stuck(now, PATIENCE));
            return hopeful.map_or_else(|| Next::Now(vec![stuck]), |pod| Next::Wait(not_ready(pod)));
        }
        if let Some(pod) = self.unready().next() {
            return Next::Wait(not_ready(pod));
        }
        if let Some(pod) = self.staying().find(|pod| !pod.is_since(now, SETTLED)) {
            return Next::Wait(format!("{} became ready a moment ago", pod.name));
        }
        if valid.annotation(ROLL_UNCHECKED).is_some_and(|value| is_generation(valid, value)) {
            return Next::Now(vec![highest]);
        }
        Next::Ask(highest)
    }

    /// Whether no pod serves, and none is about to: waiting would help nobody.
    fn is_missed_by_nobody(&self, valid: &Valid, now: Timestamp) -> bool {
        let serves = self.staying().any(|pod| pod.ready);
        !serves && (!valid.provisioned || self.staying().all(|pod| pod.is_stuck(now, STUCK)))
    }

    /// A pod that is on its way out, or does not exist.
    fn missing(&self) -> Option<String> {
        let exists = |ordinal: &i32| self.all.iter().any(|pod| pod.ordinal == *ordinal);
        let going = self.all.iter().find(|pod| pod.going).map(|pod| pod.name.clone());
        going.or_else(|| Some(format!("{NAME}-{}", (0..self.replicas).find(|ordinal| !exists(ordinal))?)))
    }

    fn staying(&self) -> impl Iterator<Item = &Pod> {
        self.all.iter().filter(|pod| !pod.going)
    }

    fn unready(&self) -> impl Iterator<Item = &Pod> {
        self.staying().filter(|pod| !pod.ready)
    }
}

fn not_ready(pod: &Pod) -> String {
    format!("{} is not ready", pod.name)
}

fn is_generation(valid: &Valid, value: &str) -> bool {
    valid.generation.is_some_and(|generation| generation.to_string() == value)
}

impl Pod {
    fn is_stuck(&self, now: Timestamp, after: SignedDuration) -> bool {
        !self.ready && self.is_since(now, after)
    }

    fn is_since(&self, now: Timestamp, long: SignedDuration) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) >= long)
    }
}

/// The set's own pods; none where nobody could tell.
fn pods(valid: &Valid, set: &StatefulSet, seen: &Seen) -> Option<Pods> {
    let wanted = set.status.as_ref()?.update_revision.as_deref()?;
    let labels = metadata::selector_labels(&valid.name);
    let is_of = |pod: &&v1::Pod| {
        let selected = labels.iter().all(|(key, value)| pod.labels().get(key) == Some(value));
        selected && pod.owner_references().iter().any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref())
    };
    let all = seen.pods.as_ref()?.iter().filter(is_of);
    let mut all: Vec<_> = all.filter_map(|pod| read(pod, wanted)).collect();
    all.sort_by_key(|pod| std::cmp::Reverse(pod.ordinal));
    Some(Pods { all, replicas: stateful_set::observed_replicas(set) })
}

fn read(pod: &v1::Pod, wanted: &str) -> Option<Pod> {
    let name = pod.metadata.name.clone()?;
    let ordinal = name.strip_prefix(NAME)?.strip_prefix('-')?.parse().ok()?;
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    let changed = ready.and_then(|condition| condition.last_transition_time.as_ref());
    Some(Pod {
        ordinal,
        name,
        uid: Uid(pod.metadata.uid.clone()?),
        outdated: pod.labels().get(REVISION).map(String::as_str) != Some(wanted),
        going: pod.metadata.deletion_timestamp.is_some(),
        ready: ready.is_some_and(|condition| condition.status == "True"),
        since: changed.or(pod.metadata.creation_timestamp.as_ref()).map(|time| time.0),
    })
}
