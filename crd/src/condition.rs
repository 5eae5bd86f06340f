//! Conditions: what an object says about itself, and the one rule by which that changes.
//!
//! Stage in the flow: status, after execute. Invariant: setting a condition to what it already says changes
//! nothing, so that nothing is written at rest; conditions of other writers stay as they are. Not for
//! deciding which condition holds: that is the plan's.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use strum::{AsRefStr, Display, EnumIter, EnumString, IntoStaticStr};

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, Display, EnumIter, EnumString, IntoStaticStr)]
pub enum ConditionType {
    /// The object is as its spec wants it, and serves.
    Ready,
    /// Something is on its way: pods, a registration, a provisioning.
    Progressing,
    /// Enough pods are available to serve.
    Available,
    /// Restate knows the current version and routes new calls to it.
    Registered,
    /// Nothing will change until somebody changes something.
    Stalled,
    /// Older versions are kept for work that is not finished.
    Draining,
    /// The Restate cluster has been provisioned.
    Provisioned,
    /// The spec has fields that are accepted and not yet acted on; the message names them.
    NotYetActedOn,
    /// The volumes have the size and the classes that the spec wants.
    StorageAsWanted,
    /// Objects give the pods the cloud identities that the spec asks for.
    IdentityReady,
    /// The cluster's own configuration is not what the spec wants.
    ClusterConfigDrift,
    /// Logs and partitions have followed a replication that was raised.
    ReplicationFollows,
    /// Every node could be told its region and zone.
    NodeLocations,
    /// A node came back without its disk and does not start.
    NodeDataLoss,
    /// The image is not rolled out: a minor version would be skipped, or Restate would go down.
    UpgradeHeld,
    /// Several nodes and nowhere to put snapshots.
    SnapshotsNotConfigured,
    /// The memory that the configuration gives to the server exceeds the container's limit.
    MemoryOvercommitted,
    /// The controller may not reach the admin API, by the spec's own word.
    AdminAccessClosed,
    /// The cluster lives in the operator's own namespace.
    SharesOperatorNamespace,
    /// Fewer nodes are wanted than run: they are emptied and removed, or something stands against it.
    ScalingDown,
    /// The spec asks for objects that the operator was told not to manage.
    NotManaged,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, Display, EnumIter, EnumString, IntoStaticStr)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It is not known: unknown is neither yes nor no.
    Unknown,
}

/// Why a condition has its status. One word per cause; the message carries the particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, Display, EnumIter, EnumString, IntoStaticStr)]
pub enum Reason {
    // All is well
    /// The RestateCluster serves.
    Healthy,
    /// The current version serves and new calls go to it.
    Deployed,
    /// The cluster has been provisioned, by whomever.
    Provisioned,
    /// Restate routes new calls to the current version.
    Routed,
    /// Nothing is being drained, nothing is stuck.
    Idle,
    /// Enough pods are available.
    PodsAvailable,
    /// Every field of the spec is acted on.
    AllFieldsActedOn,

    /// The volumes have the size and the classes that the spec wants.
    VolumesAsWanted,
    /// The pods have the identities that the spec asks for.
    IdentityGiven,
    /// Every node knows its region and zone.
    LocationsKnown,
    /// Every log and every partition has as many copies as wanted.
    ReplicationFollowed,
    /// Logs and partitions are replicated as wanted.
    ReplicationAsWanted,

    // It will pass
    /// An identity is being made by its own controller.
    IdentityPending,
    /// Logs and partitions follow a replication that was raised.
    ReplicationFollowing,
    /// Replication is lower than wanted.
    ReplicationBehind,
    /// The nodes are in fewer zones or regions than the copies are to be.
    AwaitingZones,
    /// Pods are not bound yet, or do not have the labels yet that say where they are.
    AwaitingLocation,
    /// The labels of a node cannot be read.
    NodeLabelsUnknown,
    /// Too few nodes belong to the cluster for the replication that is wanted.
    AwaitingNodes,
    /// Not every node runs the last change yet.
    RolloutUnfinished,
    /// Volumes are growing, or change their attributes.
    VolumesGrowing,
    /// Pods are not ready yet.
    PodsNotReady,
    /// Waiting to be provisioned, automatically or by hand.
    AwaitingProvisioning,
    /// The version is being registered.
    Registering,
    /// Restate has the version, and routes new calls elsewhere still.
    AwaitingRouting,
    /// Restate does not answer, or not in full.
    RestateUnreachable,
    /// What Restate said is too old or too incomplete to act on.
    UsageUnknown,
    /// Old versions have unfinished work, or their delay runs.
    VersionsDraining,
    /// The object is being deleted and waits for unfinished work.
    AwaitingInvocations,
    /// The last pass failed; it is repeated with growing pauses.
    ReconcileFailed,

    /// Nodes that are to be removed take nothing new.
    NodesDraining,
    /// Partitions are still on nodes that are to be removed.
    AwaitingPartitions,
    /// Logs still write to nodes that are to be removed.
    AwaitingLogs,
    /// Old segments of logs are trimmed off nodes that are to be removed.
    TrimmingLogs,
    /// Nodes that are to be removed leave those that hold the metadata.
    LeavingMetadata,
    /// Nodes that hold nothing any more are stopped.
    StoppingNodes,
    /// Nodes that run no more are removed from the cluster.
    RemovingNodes,
    /// The volumes of removed nodes are dealt with.
    ReleasingVolumes,
    /// Nodes that were to be removed are wanted again.
    NodesReturning,
    /// Nodes do not live, or not in full use.
    NodesSilent,

    // Somebody has to act
    /// The nodes that would be left are too few, or too near to each other, for the copies.
    ReplicationWouldNotHold,
    /// A field has a value that cannot be acted on; the message names it.
    InvalidSpec,
    /// The selector does not match the labels of the pod template.
    SelectorMismatch,
    /// The pod template is not one that Kubernetes would run.
    InvalidTemplate,
    /// The RestateCluster or RestateCloudEnvironment that is named does not exist.
    TargetNotFound,
    /// Restate refuses the registration for good; the message has its code and words.
    RegistrationRejected,
    /// Another deployment, not ours, serves one of the services.
    ForeignDeployment,
    /// An object of a name that is needed belongs to somebody else.
    NameTaken,
    /// The mode is not supported yet: the object is read, and never changed.
    ModeNotSupported,
    /// Fields are accepted and not yet acted on.
    FieldsNotYetActedOn,
    /// A deletion is held: by protection, by users of a cluster, by an overdue drain.
    DeletionHeld,
    /// Work is paused by annotation.
    Paused,
    /// The spec wants smaller volumes than there are: volumes never shrink.
    VolumesNeverShrink,
    /// The spec names another storage class than the volumes were made with.
    StorageClassFixed,
    /// The storage class of the volumes does not let them grow.
    ExpansionNotAllowed,
    /// The kind that gives an identity is not installed.
    IdentityNotInstalled,
    /// An identity cannot be made of what the spec and the operator say.
    IdentityNotConfigured,
    /// Replication is higher than wanted, and is never lowered by itself.
    ReplicationHigher,
    /// Logs live on one node alone.
    LogsAreLocal,
    /// A node has no label with its region or zone.
    NodeWithoutLocation,
    /// A region or zone has a name that Restate does not take.
    LocationNotAllowed,
    /// A node's pod is in another region or zone than it joined in.
    LocationChanged,
    /// A node's disk is gone or another one.
    DiskLost,
    /// The image would skip a minor version.
    VersionSkipped,
    /// The image has a lower minor version than what runs.
    VersionLowered,
    /// There is nowhere to put snapshots.
    NoSnapshotDestination,
    /// The configuration wants more memory than the container may have.
    MemoryExceedsLimit,
    /// Network policies keep the controller out.
    AccessClosed,
    /// The namespace is the operator's own.
    OperatorNamespace,
    /// A switch of the operator is off.
    SwitchedOff,
}

/// One condition as it is stored. Other writers' conditions pass through unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the condition is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds: `True`, `False` or `Unknown`.
    pub status: String,
    /// One word for why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The particulars, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// Generation of the object that the condition was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// What is to be said about one condition; the time is added by [`Conditions::set`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the condition holds.
    pub status: ConditionStatus,
    /// Why.
    pub reason: Reason,
    /// The particulars, for people.
    pub message: String,
    /// Generation that was looked at.
    pub observed_generation: Option<i64>,
}

impl Verdict {
    /// A verdict that does not say which generation it is about.
    #[must_use]
    pub fn new(status: ConditionStatus, reason: Reason, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), observed_generation: None }
    }

    /// The same verdict, about `generation`.
    #[must_use]
    pub fn of_generation(self, generation: Option<i64>) -> Self {
        Self { observed_generation: generation, ..self }
    }
}

/// The conditions of an object, in the order in which they first appeared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Conditions(Vec<Condition>);

impl Conditions {
    /// Says `verdict` about `kind`. The transition time stays unless the status changes.
    pub fn set(&mut self, kind: ConditionType, verdict: Verdict, now: Timestamp) {
        let Verdict { status, reason, message, observed_generation } = verdict;
        let unchanged = self.get(kind).filter(|old| old.status == status.as_ref());
        let since = unchanged.and_then(|old| old.last_transition_time.clone()).unwrap_or(Time(now));
        let condition = Condition {
            kind: kind.to_string(),
            status: status.to_string(),
            reason: Some(reason.to_string()),
            message: Some(message),
            last_transition_time: Some(since),
            observed_generation,
        };
        match self.0.iter_mut().find(|old| old.kind == condition.kind) {
            Some(old) => *old = condition,
            None => self.0.push(condition),
        }
    }

    /// Takes back what was said about `kind`.
    pub fn clear(&mut self, kind: ConditionType) {
        self.0.retain(|condition| condition.kind != kind.as_ref());
    }

    /// What is said about `kind`.
    #[must_use]
    pub fn get(&self, kind: ConditionType) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.kind == kind.as_ref())
    }

    /// Whether `kind` is said to hold.
    #[must_use]
    pub fn holds(&self, kind: ConditionType) -> bool {
        self.get(kind).is_some_and(|condition| condition.status == ConditionStatus::True.as_ref())
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, also those of other writers.
    pub fn iter(&self) -> impl Iterator<Item = &Condition> {
        self.0.iter()
    }
}

impl FromIterator<Condition> for Conditions {
    fn from_iter<I: IntoIterator<Item = Condition>>(conditions: I) -> Self {
        Self(conditions.into_iter().collect())
    }
}

/// `null` is stored where no condition was ever set.
impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

impl JsonSchema for Conditions {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Conditions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Option<Vec<Condition>>>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;
    use strum::IntoEnumIterator;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn not_ready(message: &str) -> Verdict {
        Verdict::new(ConditionStatus::False, Reason::PodsNotReady, message)
    }

    #[test]
    fn the_transition_time_changes_only_with_the_status() {
        let mut conditions = Conditions::default();
        conditions.set(ConditionType::Ready, not_ready("0 of 2"), at(10));
        conditions.set(ConditionType::Ready, not_ready("1 of 2").of_generation(Some(3)), at(20));
        let ready = conditions.get(ConditionType::Ready).unwrap();
        assert_eq!(ready.last_transition_time, Some(Time(at(10))));
        assert_eq!(ready.message.as_deref(), Some("1 of 2"));
        assert_eq!(ready.observed_generation, Some(3));

        conditions.set(
            ConditionType::Ready,
            Verdict::new(ConditionStatus::True, Reason::Deployed, "2 of 2"),
            at(30),
        );
        assert_eq!(conditions.get(ConditionType::Ready).unwrap().last_transition_time, Some(Time(at(30))));
        assert!(conditions.holds(ConditionType::Ready));
    }

    #[test]
    fn a_condition_without_a_time_gets_one() {
        let stored = json!([{"type": "Ready", "status": "False"}]);
        let mut conditions: Conditions = serde_json::from_value(stored).unwrap();
        conditions.set(ConditionType::Ready, not_ready(""), at(5));
        assert_eq!(conditions.get(ConditionType::Ready).unwrap().last_transition_time, Some(Time(at(5))));
    }

    #[test]
    fn conditions_of_others_keep_their_place_and_words() {
        let stored = json!([
            {"type": "example.com/Audited", "status": "Maybe", "reason": "X"},
            {"type": "Ready", "status": "False"},
            {"type": "Other", "status": "True"},
        ]);
        let before: Conditions = serde_json::from_value(stored.clone()).unwrap();
        let mut after = before.clone();
        after.set(ConditionType::Ready, not_ready("x"), at(1));
        after.set(ConditionType::Stalled, not_ready("y"), at(1));
        after.clear(ConditionType::Ready);
        after.clear(ConditionType::Stalled);
        assert_eq!(serde_json::to_value(&after).unwrap(), json!([stored[0], stored[2]]));
    }

    #[rstest]
    #[case::null(json!(null))]
    #[case::empty(json!([]))]
    fn absent_conditions_are_none(#[case] stored: serde_json::Value) {
        assert!(serde_json::from_value::<Conditions>(stored).unwrap().is_empty());
    }

    #[test]
    fn the_names_are_the_words_that_tools_wait_for() {
        let names: Vec<&str> = ConditionType::iter().map(Into::into).collect();
        let expected = "Ready Progressing Available Registered Stalled Draining Provisioned NotYetActedOn \
                        StorageAsWanted IdentityReady ClusterConfigDrift ReplicationFollows NodeLocations \
                        NodeDataLoss UpgradeHeld SnapshotsNotConfigured MemoryOvercommitted AdminAccessClosed \
                        SharesOperatorNamespace ScalingDown NotManaged";
        assert_eq!(names.join(" "), expected);
    }

    fn any_verdict() -> impl Strategy<Value = (ConditionType, Verdict)> {
        let kinds = prop::sample::select(ConditionType::iter().collect::<Vec<_>>());
        let statuses = prop::sample::select(ConditionStatus::iter().collect::<Vec<_>>());
        let reasons = prop::sample::select(Reason::iter().collect::<Vec<_>>());
        (kinds, statuses, reasons, "[a-z]{0,3}", prop::option::of(0_i64..3)).prop_map(
            |(kind, status, reason, message, generation)| {
                (kind, Verdict::new(status, reason, message).of_generation(generation))
            },
        )
    }

    proptest! {
        #[test]
        fn saying_the_same_again_changes_nothing(said in prop::collection::vec(any_verdict(), 1..12)) {
            let mut conditions = Conditions::default();
            for (second, (kind, verdict)) in (0..).zip(said) {
                conditions.set(kind, verdict.clone(), at(second));
                let before = conditions.clone();
                conditions.set(kind, verdict, at(second + 1_000));
                prop_assert_eq!(&conditions, &before);
                prop_assert_eq!(conditions.iter().filter(|c| c.kind == kind.as_ref()).count(), 1);
            }
        }
    }
}
