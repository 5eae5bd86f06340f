//! What goes into a decision about one RestateDeployment, and what comes out.
//!
//! Stage in the flow: between gather and plan. Invariant: everything that a decision depends on is in [`Seen`] or is
//! the clock; whoever fills it from caches that have not been filled once must not ask for a decision. Not for
//! asking anybody.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use restate_crd::{RestateDeployment, RestateDeploymentStatus};
use restate_model::Snapshot;

use super::concern::Interest;
use crate::{Admin, Finalizer, Plan};

/// Everything that was seen of one RestateDeployment.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The stored object.
    pub object: Arc<RestateDeployment>,
    /// Every replica set of its namespace whose name starts with `<name>-`, whoever owns it. Those of a namesake
    /// or of somebody else are told apart by the owner's uid.
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    /// Every service of its namespace whose name starts with `<name>-`, and the one that `spec.stableService` names.
    pub services: Vec<Arc<Service>>,
    /// Every autoscaler of its namespace whose name starts with `<name>-`.
    pub autoscalers: Vec<Arc<HorizontalPodAutoscaler>>,
    /// Whether the RestateCluster that it names exists.
    pub cluster: ClusterSeen,
    /// Whether its namespace is being deleted: its pods go, whatever we do.
    pub namespace_terminating: bool,
    /// The newest answers of the Restate that it registers with.
    pub snapshot: Option<Arc<Snapshot>>,
    /// What cluster-internal names end with: `cluster.local`.
    pub dns_suffix: String,
}

/// What is known of the RestateCluster that a RestateDeployment names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterSeen {
    /// None is named: the target is a service or an URL.
    NotNamed,
    /// It exists.
    Present,
    /// It does not exist: said by a cache that has been filled.
    Absent,
}

/// What is to be done about one RestateDeployment, and what is to be said.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The steps, and when to look again.
    pub plan: Plan,
    /// The status to publish once the steps have been run. It differs from the stored one only where it has to.
    pub status: RestateDeploymentStatus,
    /// What the poller has to ask for us.
    pub demand: Demand,
    /// What becomes of our finalizer once *every* step has succeeded.
    pub finalizer: Finalizer,
}

/// What has to be known about a Restate, and is not yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Which Restate; `None` where nothing can be asked.
    pub admin: Option<Admin>,
    /// Deployments and routing.
    pub registry: bool,
    /// Unfinished work.
    pub usage: bool,
    /// Which answer counts although it says the same as the last one.
    pub next: Next,
    /// Which other answers count at all.
    pub interest: Interest,
}

/// Which answer counts although it says the same as the last one: by the moment of its question. The later in this
/// order, the sooner one comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Next {
    /// None: only one that says something else.
    #[default]
    News,
    /// The next about unfinished work. That question rests in proportion to what it costs Restate.
    Usage,
    /// The next about deployments and routing.
    Registry,
}
