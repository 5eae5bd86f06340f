//! Where the nodes are: region and zone of each, told to the server before it joins.
//!
//! The server reads its location once per start, from the labels of its pod. It would join without one where a label
//! is missing, so that the container mounts a path that is named by both: Kubernetes starts no container whose path
//! has an empty part. Kubernetes copies the labels from the node to the pod when it binds it (1.35 and later); where
//! nobody did, they are copied here. Invariant: a label that a pod has is never changed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, Pod, VolumeMount};
use restate_crd::cluster::NodeLocation;
use restate_crd::condition::{ConditionStatus, Reason, Verdict};

use super::settings::{self, Setting};
use super::{NAME, Seen, Valid, status};
use crate::{ObjectRef, Patch, Step, Uid};

/// Label with the region.
pub(super) const REGION: &str = "topology.kubernetes.io/region";
/// Label with the zone.
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";
/// Variable with the location.
const VARIABLE: &str = "RESTATE_LOCATION";
/// As the server reads it; both variables are taken from the pod's labels.
const VALUE: &str = "$(POD_REGION).$(POD_ZONE)";
/// Path whose only use is that it does not exist before both labels do.
pub(super) const MOUNT_PATH: &str = "/location";

/// A pod of the cluster, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its name.
    pub name: String,
    /// Which one.
    pub uid: Uid,
    /// The node that runs it; none before it is bound.
    pub node: Option<String>,
    /// Labels of the pod.
    pub labels: Topology,
    /// Labels of the node.
    pub node_labels: NodeLabels,
}

/// The two labels of a pod or a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// The region.
    pub region: Option<String>,
    /// The zone.
    pub zone: Option<String>,
}

/// What a node's labels say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodeLabels {
    /// Nobody asked: the pod has what it needs, or no node.
    #[default]
    NotAsked,
    /// Nobody could tell.
    Unknown {
        /// Why, for people.
        why: String,
    },
    /// They are these.
    Known(Topology),
}

impl Topology {
    /// Of an object's labels; an empty value is none.
    #[must_use]
    pub fn of(labels: Option<&BTreeMap<String, String>>) -> Self {
        let value = |key| labels?.get(key).filter(|value| !value.is_empty()).cloned();
        Self { region: value(REGION), zone: value(ZONE) }
    }

    /// Whether both are there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.region.is_some() && self.zone.is_some()
    }

    fn labels(&self) -> [(&'static str, Option<&String>); 2] {
        [(REGION, self.region.as_ref()), (ZONE, self.zone.as_ref())]
    }
}

/// Names of the pods that a pass must look at, each with its node where its own labels do not say enough: while the
/// spec wants locations and not every node runs.
pub fn pods_to_ask(valid: &Valid, seen: &Seen) -> Vec<String> {
    let asks = valid.node_location.is_some() && !status::is_rolled_out(valid, &seen.children);
    let pods = if asks { 0..valid.replicas } else { 0..0 };
    pods.map(|ordinal| format!("{NAME}-{ordinal}")).collect()
}

/// The variable that tells the server where it is. It comes after every variable that it names.
pub(super) fn variable(valid: &Valid) -> Option<EnvVar> {
    let NodeLocation::TopologyLabels = valid.node_location?;
    Some(EnvVar { name: VARIABLE.to_owned(), value: Some(VALUE.to_owned()), value_from: None })
}

/// The mount that keeps the container from starting without a location.
pub(super) fn mount(valid: &Valid) -> Option<VolumeMount> {
    let NodeLocation::TopologyLabels = valid.node_location?;
    Some(VolumeMount {
        name: "tmp".to_owned(),
        mount_path: MOUNT_PATH.to_owned(),
        sub_path_expr: Some(VALUE.to_owned()),
        read_only: Some(true),
        ..VolumeMount::default()
    })
}

/// Whether the user says where the nodes are as well.
pub(super) fn is_said_twice(valid: &Valid) -> bool {
    let env = valid.compute.env.as_deref().unwrap_or_default();
    let said = settings::text(&valid.settings, env, &["location"], VARIABLE);
    valid.node_location.is_some() && said != Setting::Unset
}

/// Copies what pods lack and their nodes have.
pub(super) fn steps(valid: &Valid, seen: &Seen) -> Vec<Step> {
    seen.located.iter().filter_map(|pod| copy(valid, pod)).collect()
}

fn copy(valid: &Valid, pod: &Located) -> Option<Step> {
    let NodeLabels::Known(node) = &pod.node_labels else { return None };
    let pairs = pod.labels.labels().into_iter().zip(node.labels());
    let lacking = pairs.filter(|((_, own), _)| own.is_none());
    let labels: BTreeMap<_, _> =
        lacking.filter_map(|(_, (key, value))| Some((key.to_owned(), Some(value?.clone())))).collect();
    let object = ObjectRef::of::<Pod>(Some(&valid.name), &pod.name);
    let patch = Patch { labels, ..Patch::of(object, pod.uid.clone()) };
    (!patch.labels.is_empty()).then(|| Step::Aside(Box::new(Step::Patch(patch))))
}

/// Whether another look is needed although nothing that is watched changes: a pod is bound, a node gets its labels.
pub(super) fn is_awaited(valid: &Valid, seen: &Seen) -> bool {
    let located =
        |name: &String| seen.located.iter().any(|pod| pod.name == *name && pod.labels.is_complete());
    !pods_to_ask(valid, seen).iter().all(located)
}

/// Whether every node could be told where it is; none where nobody wants that.
pub(super) fn verdict(valid: &Valid, seen: &Seen) -> Option<Verdict> {
    valid.node_location?;
    if pods_to_ask(valid, seen).is_empty() {
        let message = "every node knows its region and zone";
        return Some(Verdict::new(ConditionStatus::True, Reason::LocationsKnown, message));
    }
    let worst = seen.located.iter().filter_map(|pod| trouble(seen, pod)).min_by_key(|trouble| trouble.0);
    let (_, status, reason, message) = worst.unwrap_or_else(|| waiting(valid, seen));
    Some(Verdict::new(status, reason, message))
}

/// How urgent, and what is to be said.
type Trouble = (u8, ConditionStatus, Reason, String);

fn trouble(seen: &Seen, pod: &Located) -> Option<Trouble> {
    let Located { name, uid: _, node, labels, node_labels } = pod;
    let known = match node_labels {
        NodeLabels::NotAsked => labels,
        NodeLabels::Unknown { why } => {
            let message = format!("nobody can tell where pod {name} runs: {why}");
            return Some((2, ConditionStatus::Unknown, Reason::NodeLabelsUnknown, message));
        }
        NodeLabels::Known(node) => node,
    };
    let no = |urgency, reason, message| Some((urgency, ConditionStatus::False, reason, message));
    let node = node.as_deref().unwrap_or("that it is bound to");
    let merged =
        [labels.region.as_ref().or(known.region.as_ref()), labels.zone.as_ref().or(known.zone.as_ref())];
    if let Some(bad) = merged.iter().flatten().find(|value| value.contains('.')) {
        let message =
            format!("{bad:?} on node {node} (pod {name}): Restate takes no region or zone with a '.'");
        return no(0, Reason::LocationNotAllowed, message);
    }
    let lacks: Vec<_> =
        [REGION, ZONE].iter().zip(merged).filter(|(_, value)| value.is_none()).map(|(key, _)| *key).collect();
    if !matches!(node_labels, NodeLabels::NotAsked) && !lacks.is_empty() {
        let message = format!("node {node} has no label {}; pod {name} starts once it has", lacks.join(", "));
        return no(1, Reason::NodeWithoutLocation, message);
    }
    let [Some(region), Some(zone)] = merged else { return None };
    let member = seen.members.iter().flatten().find(|member| member.name == *name)?;
    let now = format!("{region}.{zone}");
    (!member.location.is_empty() && member.location != now).then(|| {
        let message = format!(
            "{name} joined in {}, and its pod is in {now}: Restate takes the new place over when it starts; its volume \
             should be one that stays in its zone",
            member.location
        );
        (3, ConditionStatus::False, Reason::LocationChanged, message)
    })
}

/// Pods are made, bound and labelled one after the other.
fn waiting(valid: &Valid, seen: &Seen) -> Trouble {
    let located =
        |name: &String| seen.located.iter().any(|pod| pod.name == *name && pod.labels.is_complete());
    let missing: Vec<_> = pods_to_ask(valid, seen).into_iter().filter(|name| !located(name)).collect();
    if missing.is_empty() {
        let message = "every pod knows its region and zone".to_owned();
        return (4, ConditionStatus::True, Reason::LocationsKnown, message);
    }
    let message = format!("{}: no region and zone yet; they start once they have both", missing.join(", "));
    (4, ConditionStatus::False, Reason::AwaitingLocation, message)
}
