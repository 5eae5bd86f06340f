//! One store: kube's, with an index by name, and with what we wrote ourselves.
//!
//! Invariant: an older state of an object never replaces a newer one.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use super::Kept;

/// Namespaces and names, in order.
type Names = BTreeSet<(String, String)>;

/// The objects of one kind.
pub(crate) struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Mutex<Writer<K>>,
    store: Store<K>,
    names: RwLock<Names>,
}

/// An object that is not as it was.
#[derive(Debug)]
pub(crate) struct Change<K> {
    /// As it is, or as it was last where it is gone.
    pub(crate) object: Arc<K>,
    /// As it was before, where it was known and is still there.
    pub(crate) before: Option<Arc<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Default for Cache<K> {
    fn default() -> Self {
        let writer = Writer::<K>::default();
        Self { store: writer.as_reader(), writer: Mutex::new(writer), names: RwLock::default() }
    }
}

impl<K: Resource<DynamicType = ()> + Clone> Debug for Cache<K> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Cache of {} {}", self.store.len(), K::plural(&()))
    }
}

impl<K: Resource<DynamicType = ()> + Clone> Cache<K> {
    /// To read all of it.
    pub(crate) fn reader(&self) -> Store<K> {
        self.store.clone()
    }

    /// The object of this name.
    pub(crate) fn get(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        let reference = ObjectRef::new(name);
        self.store.get(&namespace.map_or(reference.clone(), |namespace| reference.within(namespace)))
    }

    /// The objects of this namespace whose names start with `name` and a hyphen, in order.
    pub(crate) fn named_after(&self, namespace: &str, name: &str) -> Vec<Arc<K>> {
        let prefix = format!("{name}-");
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let from = names.range((namespace.to_owned(), prefix.clone())..);
        let found = from.take_while(|(place, found)| place == namespace && found.starts_with(&prefix));
        found.filter_map(|(namespace, name)| self.get(Some(namespace), name)).collect()
    }
}

impl<K: Resource<DynamicType = ()> + Clone + Kept> Cache<K> {
    /// Takes over what the API server answered to a write of ours, and tells what is different now: more than what
    /// was written, where somebody else was faster. A watch will not tell it again.
    pub(crate) fn absorb(&self, object: K) -> Option<Change<K>> {
        let known = self.store.get(&ObjectRef::from_obj(&object)).is_some();
        // An object that is going and is not known was seen to be gone.
        let is_there = known || object.meta().deletion_timestamp.is_none();
        is_there.then(|| self.take(Event::Apply(object))).and_then(|mut changes| changes.pop())
    }

    /// Takes over what a watch said, and tells what is different now.
    pub(crate) fn take(&self, event: Event<K>) -> Vec<Change<K>> {
        let event = event.modify(|object| {
            restate_plan::ownership::trim(object.meta_mut());
            object.trim();
        });
        match event {
            Event::Apply(object) => self.changed(object).into_iter().collect(),
            Event::Delete(object) => self.gone(object).into_iter().collect(),
            Event::InitDone => self.replaced(),
            event @ (Event::Init | Event::InitApply(_)) => {
                self.write(&mut self.writer(), &event);
                Vec::new()
            }
        }
    }

    fn changed(&self, object: K) -> Option<Change<K>> {
        // Held from the look to the write: a watch and a write of ours may come at the same moment.
        let mut writer = self.writer();
        let known = self.store.get(&ObjectRef::from_obj(&object));
        if known.as_ref().is_some_and(|known| is_newer(known.as_ref(), &object)) {
            return None;
        }
        self.write(&mut writer, &Event::Apply(object.clone()));
        let same = known.as_ref().is_some_and(|known| is_same(known.as_ref(), &object));
        (!same).then(|| Change { object: Arc::new(object), before: known })
    }

    /// The end of an object; nothing, where another one of the same name is there already.
    fn gone(&self, object: K) -> Option<Change<K>> {
        let mut writer = self.writer();
        let known = self.store.get(&ObjectRef::from_obj(&object));
        if known.is_some_and(|known| known.meta().uid != object.meta().uid) {
            return None;
        }
        self.write(&mut writer, &Event::Delete(object.clone()));
        Some(Change { object: Arc::new(object), before: None })
    }

    fn replaced(&self) -> Vec<Change<K>> {
        let mut writer = self.writer();
        let before: HashMap<_, _> = self
            .store
            .state()
            .into_iter()
            .map(|object| (ObjectRef::from_obj(object.as_ref()), object))
            .collect();
        self.write(&mut writer, &Event::InitDone);
        let mut changes = Vec::new();
        let mut gone = before.clone();
        for object in self.store.state() {
            let known = gone.remove(&ObjectRef::from_obj(object.as_ref()));
            if !known.as_ref().is_some_and(|known| is_same(known.as_ref(), object.as_ref())) {
                changes.push(Change { object, before: known });
            }
        }
        changes.extend(gone.into_values().map(|object| Change { object, before: None }));
        changes
    }

    fn writer(&self) -> MutexGuard<'_, Writer<K>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, writer: &mut Writer<K>, event: &Event<K>) {
        writer.apply_watcher_event(event);
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Apply(object) => drop(names.insert(place(object))),
            Event::Delete(object) => drop(names.remove(&place(object))),
            Event::Init | Event::InitApply(_) => {}
            Event::InitDone => {
                *names = self.store.state().iter().map(|object| place(object.as_ref())).collect();
            }
        }
    }
}

fn place<K: Resource<DynamicType = ()>>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Whether nothing but the version is different.
fn is_same<K: Resource<DynamicType = ()> + Clone + PartialEq>(known: &K, object: &K) -> bool {
    let mut known = known.clone();
    known.meta_mut().resource_version.clone_from(&object.meta().resource_version);
    known == *object
}

/// Whether `known` is a later state of the same object. Versions of one resource are comparable numbers
/// (Kubernetes 1.35 says so for all; etcd's always were).
fn is_newer<K: Resource>(known: &K, object: &K) -> bool {
    let version = |object: &K| object.meta().resource_version.as_ref()?.parse::<u64>().ok();
    known.meta().uid == object.meta().uid
        && matches!((version(known), version(object)), (Some(known), Some(object)) if known > object)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::ReplicaSet;
    use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
    use serde_json::json;

    use super::*;

    fn replica_set(name: &str, version: u64, replicas: i32) -> ReplicaSet {
        let owner = json!({"apiVersion": "v1", "kind": "X", "name": "x", "uid": "owner"});
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": version.to_string(),
                         "managedFields": [{"manager": "x"}], "ownerReferences": [owner]},
            "spec": {"replicas": replicas, "selector": {}},
        }))
        .unwrap()
    }

    fn names(changes: &[Change<ReplicaSet>]) -> Vec<String> {
        let mut names: Vec<_> = changes.iter().map(|change| change.object.name_any()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_a_difference_is_a_change() {
        let cache = Cache::default();
        assert_eq!(names(&cache.take(Event::Apply(replica_set("a", 1, 2)))), ["a"]);
        assert_eq!(
            names(&cache.take(Event::Apply(replica_set("a", 2, 2)))),
            [""; 0],
            "only its version moved"
        );
        assert_eq!(names(&cache.take(Event::Apply(replica_set("a", 3, 3)))), ["a"]);
        assert_eq!(cache.get(Some("shop"), "a").unwrap().metadata.managed_fields, None);
    }

    #[test]
    fn what_we_wrote_is_known_at_once_and_its_echo_wakes_nobody() {
        let cache = Cache::default();
        cache.take(Event::Apply(replica_set("a", 1, 2)));
        cache.absorb(replica_set("a", 5, 0));
        assert_eq!(
            names(&cache.take(Event::Apply(replica_set("a", 4, 1)))),
            [""; 0],
            "older than our own write"
        );
        assert_eq!(cache.get(Some("shop"), "a").unwrap().spec.as_ref().unwrap().replicas, Some(0));
        assert_eq!(names(&cache.take(Event::Apply(replica_set("a", 5, 0)))), [""; 0]);
    }

    #[test]
    fn a_new_object_of_the_same_name_is_not_an_older_state() {
        let cache = Cache::default();
        cache.take(Event::Apply(replica_set("a", 9, 2)));
        let mut reborn = replica_set("a", 3, 2);
        reborn.metadata.uid = Some("other".to_owned());
        assert_eq!(names(&cache.take(Event::Apply(reborn))), ["a"]);
    }

    #[test]
    fn a_late_word_of_an_end_takes_no_new_object_away() {
        let cache = Cache::default();
        let mut reborn = replica_set("a", 3, 2);
        reborn.metadata.uid = Some("other".to_owned());
        cache.take(Event::Apply(reborn));
        assert_eq!(names(&cache.take(Event::Delete(replica_set("a", 9, 2)))), [""; 0]);
        assert!(cache.get(Some("shop"), "a").is_some());
    }

    #[test]
    fn a_list_tells_what_came_went_and_changed() {
        let cache = Cache::default();
        for name in ["stays", "changes", "goes"] {
            cache.take(Event::Apply(replica_set(name, 1, 1)));
        }
        cache.take(Event::Init);
        for (name, replicas) in [("stays", 1), ("changes", 2), ("comes", 1)] {
            cache.take(Event::InitApply(replica_set(name, 7, replicas)));
        }
        assert!(cache.get(Some("shop"), "goes").is_some(), "until the list is complete, the old state holds");
        assert_eq!(names(&cache.take(Event::InitDone)), ["changes", "comes", "goes"]);
        assert!(cache.get(Some("shop"), "goes").is_none());
    }

    #[test]
    fn versions_are_found_by_the_name_of_their_deployment() {
        let cache = Cache::default();
        for name in ["a", "a-1", "a-b-1", "a-2", "ab-1", "b-1"] {
            cache.take(Event::Apply(replica_set(name, 1, 2)));
        }
        let named = |namespace: &str, name: &str| -> Vec<String> {
            cache.named_after(namespace, name).iter().map(|object| object.name_any()).collect()
        };
        assert_eq!(named("shop", "a"), ["a-1", "a-2", "a-b-1"]);
        assert_eq!(named("other", "a"), [""; 0]);
        assert_eq!(names(&cache.take(Event::Delete(replica_set("a-1", 2, 2)))), ["a-1"]);
        assert_eq!(named("shop", "a"), ["a-2", "a-b-1"]);
    }

    #[test]
    fn an_autoscalers_heartbeat_is_no_change() {
        let cache: Cache<HorizontalPodAutoscaler> = Cache::default();
        let beat = |version: &str, seconds: i64| -> HorizontalPodAutoscaler {
            serde_json::from_value(json!({
                "metadata": {"name": "a", "namespace": "shop", "uid": "a", "resourceVersion": version},
                "status": {"desiredReplicas": seconds},
            }))
            .unwrap()
        };
        assert_eq!(cache.take(Event::Apply(beat("1", 15))).len(), 1);
        assert_eq!(cache.take(Event::Apply(beat("2", 30))).len(), 0);
    }
}
