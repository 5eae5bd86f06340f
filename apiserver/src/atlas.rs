//! Whose is what in each Restate: which registered deployment is a version of which RestateDeployment.
//!
//! Stage in the flow: between [`crate::world`] and [`crate::restates`] on one side, services and invocations on the
//! other. Invariant: a namespace owns a registered deployment only if Restate calls it at the Service of one of the
//! namespace's own versions. What is written on objects does not count: whoever may write there could claim
//! anything (Z12).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use apiserver_machinery::status::Status;
use jiff::Timestamp;
use kube::ResourceExt;
use restate_client::query::Scope;
use restate_crd::RestateDeployment;
use restate_model::{DeploymentId, Failure, Invocation, Registry, Service, ServiceName, Snapshot};
use restate_plan::Admin;
use restate_plan::deployment::{View, is_service};

use crate::restates::Restates;
use crate::world::{World, cluster_name};

/// Draws the map anew when anything changed. Clones share it.
#[derive(Clone)]
pub(crate) struct Atlas {
    pub(crate) world: World,
    pub(crate) restates: Restates,
    drawn: Arc<Mutex<Option<Drawn>>>,
}

struct Drawn {
    generation: u64,
    snapshots: Vec<Arc<Snapshot>>,
    map: Arc<Map>,
}

/// Every Restate that a RestateDeployment registers with.
#[derive(Debug, Default)]
pub(crate) struct Map {
    /// In the order of their keys.
    pub(crate) territories: Vec<Territory>,
}

/// One Restate, and who owns what there.
#[derive(Debug)]
pub(crate) struct Territory {
    /// Which Restate.
    pub(crate) admin: Admin,
    /// Namespaces with a RestateDeployment that registers here.
    pub(crate) namespaces: BTreeSet<String>,
    owners: BTreeMap<DeploymentId, Owner>,
    /// Namespaces with a version that is registered here by its own record, and that was not told of yet.
    untold: BTreeSet<String>,
    snapshot: Arc<Snapshot>,
}

/// The version that a registered deployment is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Namespace of both.
    pub(crate) namespace: String,
    /// The RestateDeployment.
    pub(crate) deployment: String,
    /// Its uid.
    pub(crate) deployment_uid: String,
    /// The version.
    pub(crate) version: String,
    /// The RestateCluster; empty where there is none.
    pub(crate) cluster: String,
}

impl Owner {
    /// Whether both are versions of one RestateDeployment.
    pub(crate) fn is_same_deployment(&self, other: &Self) -> bool {
        (&self.namespace, &self.deployment) == (&other.namespace, &other.deployment)
    }
}

impl Atlas {
    pub(crate) fn new(world: World, restates: Restates) -> Self {
        Self { world, restates, drawn: Arc::default() }
    }

    /// What is owned now, of one namespace or all; where Restate is asked first, for a bounded time.
    pub(crate) async fn asked(&self, namespace: Option<&str>) -> Result<Arc<Map>, Status> {
        self.restates.registered(&self.admins(namespace)).await;
        self.known().await
    }

    /// What is owned as of the newest answers.
    pub(crate) async fn known(&self) -> Result<Arc<Map>, Status> {
        let own = self.clone();
        let drawn = tokio::task::spawn_blocking(move || own.draw()).await;
        drawn.map_err(|_| Status::internal("who serves what could not be computed"))
    }

    /// The Restates that RestateDeployments of one namespace, or of all, register with.
    pub(crate) fn admins(&self, namespace: Option<&str>) -> Vec<Admin> {
        let concerned = self.world.deployments();
        let concerned = concerned.iter().filter(|object| is_within(object, namespace));
        let mut admins: Vec<_> = concerned.filter_map(|object| self.world.admin(object)).collect();
        admins.sort_by(|one, other| one.key.cmp(&other.key));
        admins.dedup();
        admins
    }

    fn draw(&self) -> Arc<Map> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let (generation, snapshots) = (self.world.generation(), self.restates.snapshots());
        if let Some(same) = drawn.as_ref().filter(|drawn| drawn.is_of(generation, &snapshots)) {
            return Arc::clone(&same.map);
        }
        let map = Arc::new(self.map(Timestamp::now()));
        *drawn = Some(Drawn { generation, snapshots, map: Arc::clone(&map) });
        map
    }

    fn map(&self, now: Timestamp) -> Map {
        let mut territories: BTreeMap<_, Territory> = BTreeMap::new();
        for parent in self.world.deployments() {
            let Some(admin) = self.world.admin(&parent) else { continue };
            let territory = territories.entry(admin.key.clone()).or_insert_with(|| {
                let snapshot = self.restates.snapshot(&admin).unwrap_or_default();
                Territory::new(admin, snapshot)
            });
            let views = self.world.views(&parent, Some(territory.snapshot.clone()), now);
            territory.settle(&parent, views);
        }
        Map { territories: territories.into_values().collect() }
    }
}

impl Drawn {
    fn is_of(&self, generation: u64, snapshots: &[Arc<Snapshot>]) -> bool {
        self.generation == generation
            && self.snapshots.len() == snapshots.len()
            && self.snapshots.iter().zip(snapshots).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

fn is_within(object: &RestateDeployment, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|namespace| object.namespace().as_deref() == Some(namespace))
}

impl Map {
    /// The Restates that a namespace, or any, has to do with.
    pub(crate) fn of<'a>(&'a self, namespace: Option<&'a str>) -> impl Iterator<Item = &'a Territory> {
        self.territories.iter().filter(move |territory| territory.concerns(namespace))
    }
}

impl Territory {
    pub(crate) fn new(admin: Admin, snapshot: Arc<Snapshot>) -> Self {
        let (namespaces, untold) = (BTreeSet::new(), BTreeSet::new());
        Self { admin, namespaces, owners: BTreeMap::new(), untold, snapshot }
    }

    /// Whether a namespace, or any, has to do with it.
    pub(crate) fn concerns(&self, namespace: Option<&str>) -> bool {
        namespace.is_none_or(|name| self.namespaces.contains(name))
    }

    /// When Restate was asked; none where it has told nothing yet.
    pub(crate) fn observed_at(&self) -> Option<Timestamp> {
        self.snapshot.registry.as_ref().map(|registry| registry.asked_at)
    }

    /// Whether there is something that it has not told to this process: a version of the namespace, or of any, was
    /// registered here once, and what was told last is too old to name it.
    pub(crate) fn owes(&self, namespace: Option<&str>) -> bool {
        match namespace {
            Some(name) => self.untold.contains(name),
            None => !self.untold.is_empty(),
        }
    }

    /// Whether it did not tell what is registered when it was last asked, or was never asked. That it could not count
    /// work, which is asked later in the same round, is no silence.
    pub(crate) fn is_silent(&self) -> bool {
        let told_at = self.observed_at();
        let failed_later = |failure: &Failure| told_at < Some(failure.at);
        told_at.is_none() || self.snapshot.failure.as_ref().is_some_and(failed_later)
    }

    /// The services that Restate routes to a version of somebody's, with their owners.
    pub(crate) fn services(&self) -> impl Iterator<Item = (&Service, &Owner)> {
        let services =
            self.registry().into_iter().flat_map(|registry| registry.services.values().map(Arc::as_ref));
        services.filter_map(|service| Some((service, self.owners.get(&service.deployment)?)))
    }

    /// Names of all services that an invocation of these owners can be of.
    pub(crate) fn offered(&self, scope: &Scope) -> BTreeSet<ServiceName> {
        let registered = self.registry().into_iter().flat_map(|registry| &registry.deployments);
        let own = registered.filter(|(id, _)| scope.deployments.contains(*id));
        let offered =
            own.flat_map(|(_, deployment)| &deployment.services).map(|service| service.name.clone());
        offered.chain(scope.services.iter().cloned()).collect()
    }

    /// What the owners that are wanted may see.
    pub(crate) fn scope(&self, is_wanted: impl Fn(&Owner) -> bool) -> Scope {
        let wanted = self.owners.iter().filter(|(_, owner)| is_wanted(owner));
        let deployments: BTreeSet<_> = wanted.map(|(id, _)| id.clone()).collect();
        let routed = self.services().filter(|(service, _)| deployments.contains(&service.deployment));
        let services = routed.map(|(service, _)| service.name.clone()).collect();
        Scope { deployments, services }
    }

    /// Who serves an invocation that a scope admitted: who it is pinned to, or else who its service is routed to.
    pub(crate) fn owner(&self, invocation: &Invocation) -> Option<&Owner> {
        let pinned = invocation.pinned.as_ref().and_then(|id| self.owners.get(id));
        pinned.or_else(|| self.routed(&invocation.target.service))
    }

    /// To whom new calls to a service go; none where that is nobody's version.
    pub(crate) fn routed(&self, service: &ServiceName) -> Option<&Owner> {
        self.owners.get(&self.registry()?.services.get(service)?.deployment)
    }

    /// Whether an invocation is bound to a version of somebody's.
    pub(crate) fn is_pinned(&self, invocation: &Invocation) -> bool {
        invocation.pinned.as_ref().is_some_and(|id| self.owners.contains_key(id))
    }

    /// Restate's id of a version.
    pub(crate) fn deployment_of(&self, namespace: &str, version: &str) -> Option<(&DeploymentId, &Owner)> {
        self.owners.iter().find(|(_, owner)| owner.namespace == namespace && owner.version == version)
    }

    fn registry(&self) -> Option<&Registry> {
        self.snapshot.registry.as_ref().map(|reading| reading.value.as_ref())
    }

    fn settle(&mut self, parent: &RestateDeployment, views: Vec<View>) {
        let namespace = parent.namespace().unwrap_or_default();
        self.namespaces.insert(namespace.clone());
        if views.iter().any(|view| self.has_not_told(view)) {
            self.untold.insert(namespace.clone());
        }
        for view in views {
            let Some(id) = view.deployment_id.filter(|id| self.is_at(id, &view.name, &namespace)) else {
                continue;
            };
            let owner = Owner {
                namespace: namespace.clone(),
                deployment: parent.name_any(),
                deployment_uid: parent.uid().unwrap_or_default(),
                version: view.name,
                cluster: cluster_name(parent).unwrap_or_default().to_owned(),
            };
            self.owners.insert(id, owner);
        }
    }

    /// Whether a version may be registered here without having been told of: an answer that was asked before it was
    /// registered cannot name it, and who does not answer now may have known it for long.
    fn has_not_told(&self, view: &View) -> bool {
        let names = |id| self.registry().is_some_and(|registry| registry.deployments.contains_key(id));
        let too_early = self.observed_at() <= view.registered_at.or(view.created_at);
        view.deployment_id.as_ref().is_some_and(|id| !names(id)) && (self.is_silent() || too_early)
    }

    /// Whether Restate calls this deployment at the Service of this name.
    fn is_at(&self, id: &DeploymentId, service: &str, namespace: &str) -> bool {
        let registered = self.registry().and_then(|registry| registry.deployments.get(id));
        registered.is_some_and(|registered| is_service(&registered.endpoint, service, namespace))
    }
}

#[cfg(test)]
pub(crate) mod tests;
