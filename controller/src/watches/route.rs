//! Whom a change wakes: from any object to the stored objects whose plans look at it.
//!
//! Invariant: while this process does not act, nobody is woken; when it begins to act, everybody is.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Mutex, OnceLock, PoisonError};

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::object::HasStatus;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::scheduler::ScheduleRequest;
use kube::{Resource, ResourceExt};
use restate_crd::condition::ConditionType;
use restate_crd::{RestateCloudEnvironment, RestateCluster, RestateDeployment};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use super::kept::Reliance;
use super::{Change, Kept, Stores};

/// The objects of one kind that want a pass.
#[derive(Debug)]
pub(crate) struct Queue<K: Resource<DynamicType = ()>>(Mutex<Option<UnboundedSender<Wish<K>>>>);

/// That an object gets a pass, and when.
pub(crate) type Wish<K> = ScheduleRequest<ObjectRef<K>>;

impl<K: Resource<DynamicType = ()>> Default for Queue<K> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<K: Resource<DynamicType = ()>> Queue<K> {
    /// From now on, wishes arrive here; those of before are dropped.
    pub(crate) fn open(&self) -> UnboundedReceiver<Wish<K>> {
        let (sender, receiver) = unbounded_channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// This object wants a pass.
    pub(crate) fn push(&self, object: ObjectRef<K>) {
        self.push_at(object, Instant::now());
    }

    /// This object wants a pass at this moment, if it has none before.
    pub(crate) fn push_at(&self, object: ObjectRef<K>, run_at: Instant) {
        if let Some(sender) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // Nobody listens any more: the process stopped acting, and will look at everything when it acts again.
            drop(sender.send(ScheduleRequest { message: object, run_at }));
        }
    }
}

/// Wakes whom a change concerns.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    /// Clusters that want a pass.
    pub(crate) clusters: Queue<RestateCluster>,
    /// Deployments that want a pass.
    pub(crate) deployments: Queue<RestateDeployment>,
    /// Cloud environments that want a pass.
    pub(crate) environments: Queue<RestateCloudEnvironment>,
    stores: OnceLock<Stores>,
}

impl Wakers {
    /// Where to look up who is concerned.
    pub(crate) fn know(&self, stores: &Stores) {
        drop(self.stores.set(stores.clone()));
    }

    /// Wakes whom this change concerns.
    pub(super) fn wake<K: Concerns>(&self, change: &Change<K>) {
        K::concerns(change, self);
    }

    /// After a write of ours to an object's status: others are told, and the object itself wants another pass where
    /// the API server answered with more than that, which no watch will tell again.
    pub(crate) fn written<K: Stored>(&self, change: &Change<K>) {
        let object = &change.object;
        K::concerns_others(change, self);
        if !change.before().is_some_and(|before| differs_in_status_alone(before, object)) {
            K::queue(self).push(ObjectRef::from_obj(object.as_ref()));
        }
    }

    fn deployments_with(&self, is_such: impl Fn(&str, &Reliance) -> bool) {
        let Some(stores) = self.stores.get() else { return };
        for object in stores.deployments.marked(is_such) {
            self.deployments.push(object);
        }
    }

    fn cluster(&self, name: &str) {
        let known = self.stores.get().is_some_and(|stores| stores.clusters.has(None, name));
        if known {
            self.clusters.push(ObjectRef::new(name));
        }
    }

    /// The owner, where it is a deployment; also where the object only carries the name of one.
    fn owning_deployment<K: Resource>(&self, object: &K) {
        let Some(namespace) = object.namespace() else { return };
        let owners = object.owner_references().iter().filter(|owner| owner.kind == "RestateDeployment");
        let label = object.labels().get(restate_crd::label::OWNED_BY);
        let names: BTreeSet<&str> =
            owners.map(|owner| owner.name.as_str()).chain(label.map(String::as_str)).collect();
        for name in names {
            self.deployments.push(ObjectRef::new(name).within(&namespace));
        }
    }
}

/// A kind whose changes concern somebody.
pub(crate) trait Concerns: Kept {
    /// Wakes them.
    fn concerns(change: &Change<Self>, wakers: &Wakers);
}

/// A stored kind: an object of it has passes of its own.
pub(crate) trait Stored: Kept + HasStatus<Status: Clone> + Clone {
    /// Where it wants a pass.
    fn queue(wakers: &Wakers) -> &Queue<Self>;

    /// Wakes all but itself.
    fn concerns_others(change: &Change<Self>, wakers: &Wakers);
}

impl<K: Stored> Concerns for K {
    fn concerns(change: &Change<Self>, wakers: &Wakers) {
        K::queue(wakers).push(ObjectRef::from_obj(change.object.as_ref()));
        K::concerns_others(change, wakers);
    }
}

fn differs_in_status_alone<K: Stored>(mut before: K, object: &K) -> bool {
    before.meta_mut().resource_version.clone_from(&object.meta().resource_version);
    *before.status_mut() = object.status().cloned();
    before == *object
}

impl Stored for RestateCluster {
    fn queue(wakers: &Wakers) -> &Queue<Self> {
        &wakers.clusters
    }

    fn concerns_others(change: &Change<Self>, wakers: &Wakers) {
        // A deployment asks whether it exists, and may register once it serves.
        if change.before().is_some_and(|before| serves(&before) == serves(&change.object)) {
            return;
        }
        let name = change.object.name_any();
        wakers.deployments_with(|_, such| such.cluster.as_deref() == Some(&name));
    }
}

fn serves(cluster: &RestateCluster) -> bool {
    cluster.status.as_ref().is_some_and(|status| status.conditions.holds(ConditionType::Ready))
}

impl Stored for RestateDeployment {
    fn queue(wakers: &Wakers) -> &Queue<Self> {
        &wakers.deployments
    }

    fn concerns_others(change: &Change<Self>, wakers: &Wakers) {
        if let Some(cluster) = change.object.spec.restate.register.cluster() {
            let waits =
                |stores: &Stores| stores.clusters.get(None, cluster)?.metadata.deletion_timestamp.clone();
            if wakers.stores.get().and_then(waits).is_some() {
                wakers.clusters.push(ObjectRef::new(cluster));
            }
        }
    }
}

impl Stored for RestateCloudEnvironment {
    fn queue(wakers: &Wakers) -> &Queue<Self> {
        &wakers.environments
    }

    fn concerns_others(_: &Change<Self>, _: &Wakers) {}
}

impl Concerns for Namespace {
    fn concerns(change: &Change<Self>, wakers: &Wakers) {
        let name = change.object.name_any();
        wakers.cluster(&name);
        if change.object.metadata.deletion_timestamp.is_some() {
            wakers.deployments_with(|namespace, _| namespace == name);
        }
    }
}

impl Concerns for ReplicaSet {
    fn concerns(change: &Change<Self>, wakers: &Wakers) {
        wakers.owning_deployment(change.object.as_ref());
    }
}

impl Concerns for HorizontalPodAutoscaler {
    fn concerns(change: &Change<Self>, wakers: &Wakers) {
        wakers.owning_deployment(change.object.as_ref());
    }
}

impl Concerns for Service {
    fn concerns(change: &Change<Self>, wakers: &Wakers) {
        let object = change.object.as_ref();
        wakers.owning_deployment(object);
        wakers.cluster(object.metadata.namespace.as_deref().unwrap_or_default());
        let (own, name) = (object.metadata.namespace.as_deref().unwrap_or_default(), object.name_any());
        wakers.deployments_with(|namespace, such| {
            namespace == own && such.stable_service.as_deref() == Some(&name)
        });
    }
}

macro_rules! of_clusters {
    ($($kind:ident),+) => {
        $(impl Concerns for $kind {
            fn concerns(change: &Change<Self>, wakers: &Wakers) {
                wakers.cluster(change.object.metadata.namespace.as_deref().unwrap_or_default());
            }
        })+
    };
}

of_clusters!(
    StatefulSet,
    ConfigMap,
    ServiceAccount,
    NetworkPolicy,
    PodDisruptionBudget,
    PersistentVolumeClaim
);

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use restate_crd::RestateClusterSpec;
    use serde_json::json;

    use super::*;
    use crate::watches::Cache;

    fn deployment(name: &str, cluster: &str) -> RestateDeployment {
        serde_json::from_value(json!({
            "apiVersion": "restate.dev/v1beta1", "kind": "RestateDeployment",
            "metadata": {"name": name, "namespace": "shop", "uid": name},
            "spec": {"template": {}, "restate": {"register": {"cluster": cluster}}},
        }))
        .unwrap()
    }

    fn cluster(name: &str) -> RestateCluster {
        let metadata = kube::core::ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
        RestateCluster { metadata, spec: RestateClusterSpec::default(), status: None }
    }

    fn woken<K: Resource<DynamicType = ()>>(queue: &mut UnboundedReceiver<Wish<K>>) -> Vec<String> {
        let mut names = Vec::new();
        while let Ok(request) = queue.try_recv() {
            names.push(request.message.name);
        }
        names.sort();
        names
    }

    fn fill<K: Kept>(cache: &Cache<K>, objects: Vec<K>) {
        for object in objects {
            drop(cache.take(Event::Apply(object)));
        }
    }

    fn tell<K: Concerns + Clone>(object: &K, before: Option<&K>, wakers: &Wakers) {
        let cache = Cache::default();
        if let Some(known) = before {
            drop(cache.take(Event::Apply(known.clone())));
        }
        for change in cache.take(Event::Apply(object.clone())) {
            wakers.wake(&change);
        }
    }

    fn world() -> (Wakers, Stores) {
        let (wakers, stores) = (Wakers::default(), Stores::default());
        wakers.know(&stores);
        fill(&stores.clusters, vec![cluster("prod"), cluster("test")]);
        fill(
            &stores.deployments,
            vec![deployment("a", "prod"), deployment("b", "prod"), deployment("c", "test")],
        );
        (wakers, stores)
    }

    #[test]
    fn a_cluster_wakes_itself_and_who_registers_with_it() {
        let (wakers, _stores) = world();
        let (mut clusters, mut deployments) = (wakers.clusters.open(), wakers.deployments.open());
        tell(&cluster("prod"), None, &wakers);
        assert_eq!(
            (woken(&mut clusters), woken(&mut deployments)),
            (vec!["prod".into()], vec!["a".into(), "b".into()])
        );
    }

    #[test]
    fn a_clusters_progress_wakes_deployments_only_when_it_begins_or_ceases_to_serve() {
        let (wakers, _stores) = world();
        let mut deployments = wakers.deployments.open();
        let with = |ready: &str, message: &str| {
            let conditions = json!([{"type": "Ready", "status": ready, "message": message}]);
            let status = Some(serde_json::from_value(json!({"conditions": conditions})).unwrap());
            RestateCluster { status, ..cluster("test") }
        };
        tell(&with("False", "b"), Some(&with("False", "a")), &wakers);
        assert!(woken(&mut deployments).is_empty());
        tell(&with("True", "b"), Some(&with("False", "a")), &wakers);
        assert_eq!(woken(&mut deployments), ["c"]);
    }

    /// What we wrote ourselves is told by no watch: who waits for it hears of it at once, and nobody else.
    #[test]
    fn a_status_of_ours_wakes_who_waits_for_it_and_not_the_cluster_itself() {
        let (wakers, stores) = world();
        let (mut clusters, mut deployments) = (wakers.clusters.open(), wakers.deployments.open());
        let with = |ready: &str, version: &str| {
            let status = json!({"conditions": [{"type": "Ready", "status": ready}]});
            let status = Some(serde_json::from_value(status).unwrap());
            let mut object = RestateCluster { status, ..cluster("test") };
            object.metadata.resource_version = Some(version.to_owned());
            object
        };
        wakers.written(&stores.clusters.absorb(with("True", "5")).unwrap());
        assert_eq!((woken(&mut clusters), woken(&mut deployments)), (Vec::new(), vec!["c".into()]));
        assert!(stores.clusters.take(Event::Apply(with("True", "5"))).is_empty(), "its echo is no news");
    }

    #[test]
    fn a_version_wakes_its_deployment_alone() {
        let (wakers, _stores) = world();
        let (mut clusters, mut deployments) = (wakers.clusters.open(), wakers.deployments.open());
        let owner = json!({"apiVersion": "restate.dev/v1beta1", "kind": "RestateDeployment", "name": "a", "uid": "a"});
        let version: ReplicaSet = serde_json::from_value(json!({
            "metadata": {"name": "a-1", "namespace": "shop", "ownerReferences": [owner],
                         "labels": {"restate.dev/owned-by": "a"}},
        }))
        .unwrap();
        tell(&version, None, &wakers);
        assert_eq!((woken(&mut clusters), woken(&mut deployments)), (Vec::new(), vec!["a".into()]));
    }

    #[test]
    fn objects_in_a_clusters_namespace_wake_it_and_others_nobody() {
        let (wakers, _stores) = world();
        let (mut clusters, mut deployments) = (wakers.clusters.open(), wakers.deployments.open());
        for namespace in ["prod", "kube-system"] {
            let set: StatefulSet =
                serde_json::from_value(json!({"metadata": {"name": "restate", "namespace": namespace}}))
                    .unwrap();
            tell(&set, None, &wakers);
        }
        assert_eq!((woken(&mut clusters), woken(&mut deployments)), (vec!["prod".into()], Vec::new()));
    }

    #[test]
    fn a_deletion_that_waits_for_its_users_looks_again_when_one_goes() {
        let (wakers, stores) = world();
        let mut clusters = wakers.clusters.open();
        tell(&deployment("a", "prod"), None, &wakers);
        assert!(woken(&mut clusters).is_empty());
        let mut going = cluster("prod");
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        fill(&stores.clusters, vec![going]);
        tell(&deployment("a", "prod"), None, &wakers);
        assert_eq!(woken(&mut clusters), ["prod"]);
    }

    #[test]
    fn nobody_is_woken_while_nothing_acts() {
        let (wakers, _stores) = world();
        tell(&cluster("prod"), None, &wakers);
        assert!(woken(&mut wakers.clusters.open()).is_empty());
    }
}
