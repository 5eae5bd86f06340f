//! What a plan is made of. A step carries every name, number and precondition that its execution needs: the
//! executor chooses nothing, and runs the steps in the order given until one fails.

mod nodes;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use restate_model::{DeploymentId, EndpointKey, ServiceName};
use strum::IntoStaticStr;

use crate::cluster::Configuration;
use crate::{Object, ObjectRef, Uid};

pub use nodes::{Become, ChangeNodes, LeaveMetadata, NodeChange, Snapshot, TrimLog};

/// The decision of one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// Where parts begin that stand for themselves: where a step is refused, it goes on with the next of these. Without
    /// any, the first refusal ends the pass.
    pub parts: Vec<usize>,
    /// Where that leaves the object, if every step succeeds.
    pub outcome: Outcome,
}

/// One act. Everything but [`Step::is_irreversible`] ones can be repeated without harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Server-side apply with force, as this field manager.
    Apply(Manager, Box<Object>),
    /// Create, and fail where the name is taken: never seizes what exists.
    Create(Box<Object>),
    /// Merge-patch annotations of exactly this object: `None` removes.
    Annotate {
        /// Which object.
        object: ObjectRef,
        /// Must still be this one.
        uid: Uid,
        /// Values to set or remove.
        annotations: BTreeMap<String, Option<String>>,
    },
    /// Merge-patch exactly this object, all in one write.
    Patch(Patch),
    /// Set the owner references of exactly this object (merge patch of the whole list).
    Owners {
        /// Which object.
        object: ObjectRef,
        /// Must still be this one.
        uid: Uid,
        /// All that remain.
        owners: Vec<OwnerReference>,
    },
    /// What an earlier controller owned of this object's fields becomes ours ([`crate::ownership`]).
    TakeOver {
        /// Which object.
        object: ObjectRef,
        /// Must still be this one.
        uid: Uid,
    },
    /// Set `spec.replicas` of exactly this object.
    Scale {
        /// Which object.
        object: ObjectRef,
        /// Must still be this one.
        uid: Uid,
        /// To how many.
        replicas: i32,
    },
    /// Exactly this stateful set replaces no pod by itself any more. A step of its own: an apply cannot take away the
    /// parameters of the strategy that it had, and with them the other is refused.
    LeavePods {
        /// Which stateful set.
        object: ObjectRef,
        /// Must still be this one.
        uid: Uid,
    },
    /// Delete exactly this object.
    Delete {
        /// Which object.
        object: ObjectRef,
        /// Must still be this one.
        uid: Uid,
        /// What happens to what it owns.
        propagation: Propagation,
    },
    /// Register a version with Restate. Its id is recorded at once on the object that carries it, and with it the
    /// label that it is the routed one: that is what Restate does with what it accepts.
    Register(Registration),
    /// Remove a version from Restate. Nothing is recorded: the plan says what is written before and after.
    Deregister(Deregistration),
    /// Claim the right to provision by a compare-and-swap on the stored `RestateCluster`.
    Claim(Claim),
    /// Provision, after a claim.
    Provision(Provision),
    /// Change the configuration of a cluster that was provisioned.
    Configure(Configure),
    /// Change states of nodes in their cluster, or remove their entries, all in one compare-and-swap.
    ChangeNodes(ChangeNodes),
    /// Take one node out of those that hold the cluster's metadata.
    LeaveMetadata(LeaveMetadata),
    /// Let a node hold the cluster's metadata again.
    JoinMetadata {
        /// The cluster's name.
        cluster: String,
        /// gRPC address of that very node.
        node: String,
    },
    /// Make a snapshot of a partition.
    Snapshot(Snapshot),
    /// Forget what a snapshot holds.
    TrimLog(TrimLog),
    /// Set `spec.replicas` of exactly this stateful set to fewer: the pods above belong to nodes that hold nothing.
    Stop {
        /// Which object.
        object: ObjectRef,
        /// Must still be this one.
        uid: Uid,
        /// To how many.
        replicas: i32,
    },
    /// Tell people.
    Note(Note),
    /// Beside the main path: where the inner step fails, the following ones still run, and the pass fails at its
    /// end with that error.
    Aside(Box<Step>),
}

impl Step {
    /// Itself, or what is done beside the main path.
    pub fn inner(&self) -> &Self {
        match self {
            Self::Aside(step) => step,
            step => step,
        }
    }

    /// Whether this step cannot be taken back: such a step needs a lease that outlives its deadline, and is never
    /// retried blindly.
    pub fn is_irreversible(&self) -> bool {
        match self {
            Self::Deregister(_)
            | Self::Provision(_)
            | Self::Delete { .. }
            | Self::LeaveMetadata(_)
            | Self::TrimLog(_)
            | Self::Stop { .. } => true,
            Self::ChangeNodes(change) => change.removes(),
            Self::Scale { replicas, .. } => *replicas == 0,
            Self::Patch(patch) => patch.replicas == Some(0),
            Self::Apply(..)
            | Self::Create(_)
            | Self::Annotate { .. }
            | Self::Owners { .. }
            | Self::TakeOver { .. }
            | Self::LeavePods { .. }
            | Self::Register(_)
            | Self::Claim(_)
            | Self::Configure(_)
            | Self::JoinMetadata { .. }
            | Self::Snapshot(_)
            | Self::Note(_) => false,
            Self::Aside(step) => step.is_irreversible(),
        }
    }
}

/// What is to be different about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Which object.
    pub object: ObjectRef,
    /// Must still be this one.
    pub uid: Uid,
    /// Annotations to set or remove.
    pub annotations: BTreeMap<String, Option<String>>,
    /// Labels to set or remove.
    pub labels: BTreeMap<String, Option<String>>,
    /// `spec.replicas` to set.
    pub replicas: Option<i32>,
}

impl Patch {
    /// Of this object, nothing yet.
    pub fn of(object: ObjectRef, uid: Uid) -> Self {
        Self { object, uid, annotations: BTreeMap::new(), labels: BTreeMap::new(), replicas: None }
    }

    /// Both in one, where they are about the same object; the later one has the last word. Else gives it back.
    #[must_use]
    pub fn absorb(&mut self, later: Self) -> Option<Self> {
        if (&self.object, &self.uid) != (&later.object, &later.uid) {
            return Some(later);
        }
        self.annotations.extend(later.annotations);
        self.labels.extend(later.labels);
        self.replicas = later.replicas.or(self.replicas);
        None
    }
}

/// What happens to the objects that a deleted object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    Orphan,
}

/// How to reach the admin API of one Restate. Made by `plan` from manifests, never from an API request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Admin {
    /// Which Restate.
    pub key: EndpointKey,
    /// The URL of its admin API, without a trailing slash.
    pub url: String,
}

/// To which deployment each of these services goes.
pub type Routes = BTreeMap<ServiceName, DeploymentId>;

/// `POST /deployments`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// With which Restate.
    pub admin: Admin,
    /// The endpoint that Restate is to call.
    pub uri: String,
    /// Move routing to it although the endpoint is known already: as long as its services go to these.
    pub force: Option<Routes>,
    /// Allow changes that Restate calls breaking.
    pub breaking: bool,
    /// Speak HTTP/1.1 to it.
    pub http11: bool,
    /// The object of this version: the id and the time are recorded on it as soon as Restate answers.
    pub version: Version,
    /// With which other Restates it was registered before, and by which id: what is recorded of those stays.
    pub former: BTreeMap<String, DeploymentId>,
}

/// The text that records other Restates; none, where there are none.
pub fn record_of(former: &BTreeMap<String, DeploymentId>) -> Option<String> {
    // Texts as keys and values always have one.
    (!former.is_empty()).then(|| serde_json::to_string(former)).transpose().unwrap_or_default()
}

/// The object (replica set) that stands for a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Which object.
    pub object: ObjectRef,
    /// Must still be this one.
    pub uid: Uid,
}

/// `DELETE /deployments/{id}?force=true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deregistration {
    /// With which Restate.
    pub admin: Admin,
    /// What goes.
    pub deployment: DeploymentId,
    /// On which object its id is recorded.
    pub version: Version,
    /// What it offers, where none of that may go to it: Restate removes whatever it is told to, so that is looked at once
    /// more, right before. Nothing, where all goes with it.
    pub offers: Vec<ServiceName>,
    /// Why this is safe.
    pub proof: Proof,
}

/// What a destructive step rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Answers that name the deployment, find nothing routed to it and nothing unfinished on it, and whose first
    /// request started at this moment: after it was superseded and after its stamp had passed.
    Idle {
        /// When the questions were asked.
        asked_at: Timestamp,
    },
    /// The `RestateDeployment` is being deleted and nothing unfinished is left as of this moment.
    Deleted {
        /// When the questions were asked.
        asked_at: Timestamp,
    },
    /// The owner asked to abandon unfinished work (`deletePolicy: force`, a documented override, or a namespace
    /// that terminates and takes the pods anyway).
    Abandoned {
        /// Who or what asked for it.
        by: String,
    },
}

/// A compare-and-swap on the stored `RestateCluster` that says who provisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The cluster's name.
    pub cluster: String,
    /// Must still be this one.
    pub uid: Uid,
    /// Must still be at this version.
    pub resource_version: String,
    /// Who claims, and since when.
    pub holder: String,
    /// When.
    pub at: Timestamp,
}

/// `ProvisionCluster` on node 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provision {
    /// The cluster's name.
    pub cluster: String,
    /// Must still be this one.
    pub uid: Uid,
    /// gRPC address of node 0.
    pub node: String,
    /// gRPC addresses of every expected node: each must answer, and none may belong to a cluster.
    pub expected: Vec<String>,
    /// How many partitions; `None`: the server's own configuration.
    pub partitions: Option<u16>,
    /// Replication of logs and partitions (`{node: 2}`); `None`: the server's own configuration.
    pub replication: Option<String>,
    /// Log provider; `None`: the server's own configuration.
    pub log_provider: Option<String>,
}

/// `SetClusterConfiguration`, unless it is another by now than what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configure {
    /// The cluster's name.
    pub cluster: String,
    /// gRPC address of the node that is asked.
    pub node: String,
    /// What the decision rests on.
    pub found: Configuration,
    /// What it becomes.
    pub wanted: Configuration,
}

/// Something that people should read in `kubectl describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Normal or Warning.
    pub kind: EventKind,
    /// A reason in `CamelCase`.
    pub reason: &'static str,
    /// What was done, in `CamelCase`.
    pub action: &'static str,
    /// The text.
    pub message: String,
}

/// The two kinds of Kubernetes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Who owns which fields: the field managers of our server-side applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
pub enum Manager {
    /// Everything that a stored kind asks for: the objects of clusters and versions.
    #[strum(serialize = "restate-operator")]
    Operator,
    /// The status of the stored kinds.
    #[strum(serialize = "restate-operator/status")]
    Status,
}

/// What becomes of our finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizer {
    /// It is set where it is missing, before any step.
    Keep,
    /// It stays as it is: the object is only looked at.
    Leave,
    /// It is taken away, after every step has succeeded.
    Release,
}

/// Where a pass leaves an object. Waiting is not an error.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do until something changes.
    Settled,
    /// Not there yet.
    Waiting {
        /// What for, in `CamelCase`.
        on: &'static str,
        /// When to look again.
        look_again: LookAgain,
    },
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookAgain {
    /// When a watched object or the snapshot changes.
    OnChange,
    /// At this moment, or when something changes before.
    At(Timestamp),
    /// As soon as Restate has been asked again; no object changes by itself.
    OnSnapshot,
    /// After this long.
    After(SignedDuration),
}
