//! One store: what the API server has of a kind, and what we wrote ourselves, as text. An object in memory takes four
//! times the room of its text, there are thousands of them, and those of one deployment are read at a time.
//!
//! Invariants: an older state of an object never replaces a newer one, and nothing brings back what was seen to go; what
//! a list replaces stays visible until the list is complete; what is read is what was kept; what cannot be read is
//! there.

mod text;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Debug};
use std::mem;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

use super::Kept;
use text::Text;

/// For how long an object that has gone is known to have gone: longer than an answer to a write of ours is under way.
const BURIED: Duration = Duration::from_mins(2);

/// Namespace and name.
type Place = (Box<str>, Box<str>);

/// The objects of one kind.
pub(crate) struct Cache<K: Kept> {
    held: RwLock<Held<K>>,
}

struct Held<K: Kept> {
    current: BTreeMap<Place, Text<K>>,
    /// Objects of another shape than their kind has; as they were last, where they could be read before.
    unreadable: BTreeSet<Place>,
    /// A list that is not complete yet.
    coming: Option<Coming<K>>,
    /// What has gone lately, by uid.
    buried: HashMap<String, Instant>,
}

struct Coming<K: Kept> {
    objects: BTreeMap<Place, Text<K>>,
    unreadable: BTreeSet<Place>,
}

/// An object that is not as it was.
#[derive(Debug)]
pub(crate) struct Change<K: Kept> {
    /// As it is, or as it was last where it is gone.
    pub(crate) object: Arc<K>,
    before: Option<Text<K>>,
}

impl<K: Kept> Change<K> {
    /// As it was before, where it was known and is still there.
    pub(crate) fn before(&self) -> Option<K> {
        self.before.as_ref()?.read()
    }
}

impl<K: Kept> Default for Cache<K> {
    fn default() -> Self {
        let (current, unreadable, buried) = (BTreeMap::new(), BTreeSet::new(), HashMap::new());
        Self { held: RwLock::new(Held { current, unreadable, coming: None, buried }) }
    }
}

impl<K: Kept> Default for Coming<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), unreadable: BTreeSet::new() }
    }
}

impl<K: Kept> Debug for Cache<K> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Cache of {} {}", self.read().current.len(), K::plural(&()))
    }
}

/// Reading.
impl<K: Kept> Cache<K> {
    /// The object of this name.
    pub(crate) fn get(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        self.read().current.get(&place(namespace, name))?.read().map(Arc::new)
    }

    /// Whether there is an object of this name, be it one that cannot be read.
    pub(crate) fn has(&self, namespace: Option<&str>, name: &str) -> bool {
        let (held, place) = (self.read(), place(namespace, name));
        held.current.contains_key(&place) || held.unreadable.contains(&place)
    }

    /// The objects that cannot be read, in order.
    pub(crate) fn unreadable(&self) -> Vec<ObjectRef<K>> {
        self.read().unreadable.iter().map(|(namespace, name)| reference(namespace, name)).collect()
    }

    /// The objects of this namespace whose names start with `name` and a hyphen, in order.
    pub(crate) fn named_after(&self, namespace: &str, name: &str) -> Vec<Arc<K>> {
        self.from(namespace, &format!("{name}-"))
    }

    /// The objects of this namespace, in order.
    pub(crate) fn within(&self, namespace: &str) -> Vec<Arc<K>> {
        self.from(namespace, "")
    }

    fn from(&self, namespace: &str, prefix: &str) -> Vec<Arc<K>> {
        let held = self.read();
        let named = held.current.range((Box::from(namespace), Box::from(prefix))..);
        let named = named.take_while(|((own, name), _)| **own == *namespace && name.starts_with(prefix));
        named.filter_map(|(_, text)| text.read().map(Arc::new)).collect()
    }

    /// All objects, each as it is when it is looked at.
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<K>> {
        let all = self.marked(|_, _| true);
        all.into_iter().filter_map(|object| self.get(object.namespace.as_deref(), &object.name))
    }

    /// The objects of such a namespace and mark, in order.
    pub(crate) fn marked(&self, is_such: impl Fn(&str, &K::Mark) -> bool) -> Vec<ObjectRef<K>> {
        let held = self.read();
        let such = held.current.iter().filter(|((namespace, _), text)| is_such(namespace, text.mark()));
        such.map(|((namespace, name), _)| reference(namespace, name)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Held<K>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writing.
impl<K: Kept> Cache<K> {
    /// Takes over what the API server answered to a write of ours, and tells what is different now: more than what
    /// was written, where somebody else was faster. A watch will not tell it again.
    pub(crate) fn absorb(&self, mut object: K) -> Option<Change<K>> {
        object.trim();
        let mut held = self.write();
        let known = held.current.contains_key(&place_of(&object));
        // An object that is going and is not known was seen to be gone.
        let is_there = known || object.meta().deletion_timestamp.is_none();
        let has_gone = object.meta().uid.as_ref().is_some_and(|uid| held.buried.contains_key(uid));
        (is_there && !has_gone).then(|| held.absorbed(object)).flatten()
    }

    /// Takes over what a watch said, and tells what is different now.
    pub(crate) fn take(&self, event: Event<K>) -> Vec<Change<K>> {
        let mut held = self.write();
        match event.modify(K::trim) {
            Event::Apply(object) => held.changed(object).into_iter().collect(),
            Event::Delete(object) => held.gone(object).into_iter().collect(),
            Event::Init => {
                held.coming = Some(Coming::default());
                Vec::new()
            }
            Event::InitApply(object) => {
                let place = place_of(&object);
                if let Some((_, text)) = Text::of(object) {
                    held.coming.get_or_insert_default().add(place, text);
                }
                Vec::new()
            }
            Event::InitDone => held.replaced(),
        }
    }

    /// The same, of an object that cannot be read: what was known of it before is left, and that it is there.
    pub(crate) fn take_unreadable(&self, event: Event<Box<ObjectMeta>>) -> Vec<Change<K>> {
        let mut held = self.write();
        match event {
            Event::Apply(meta) => {
                held.unreadable.insert(place_in(&meta));
                Vec::new()
            }
            Event::InitApply(meta) => {
                held.comes_unreadable(place_in(&meta));
                Vec::new()
            }
            Event::Delete(meta) => held.gone_unread(&meta).into_iter().collect(),
            Event::Init | Event::InitDone => Vec::new(),
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held<K>> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Kept> Coming<K> {
    /// What is listed, or was written meanwhile: the later of both.
    fn add(&mut self, place: Place, text: Text<K>) {
        match self.objects.entry(place) {
            Entry::Occupied(known) if known.get().is_later_than(&text) => {}
            Entry::Occupied(mut known) => drop(known.insert(text)),
            Entry::Vacant(free) => drop(free.insert(text)),
        }
    }
}

impl<K: Kept> Held<K> {
    /// A list that is under way may have been begun before the write: what is new is not in it. What was known before and
    /// is not in it is gone.
    fn absorbed(&mut self, object: K) -> Option<Change<K>> {
        let place = place_of(&object);
        let is_new = !self.current.contains_key(&place);
        let change = self.changed(object);
        if let (Some(coming), Some(text)) = (&mut self.coming, self.current.get(&place).filter(|_| is_new)) {
            coming.add(place, text.clone());
        }
        change
    }

    fn changed(&mut self, object: K) -> Option<Change<K>> {
        let place = place_of(&object);
        self.unreadable.remove(&place);
        let (object, text) = Text::of(object)?;
        let before = match self.current.entry(place) {
            Entry::Vacant(free) => {
                free.insert(text);
                None
            }
            Entry::Occupied(known) if known.get().is_later_than(&text) => return None,
            Entry::Occupied(mut known) => {
                let before = known.insert(text);
                if before == *known.get() {
                    return None;
                }
                Some(before)
            }
        };
        Some(Change { object: Arc::new(object), before })
    }

    /// The end of an object; nothing, where another one of the same name is there already.
    fn gone(&mut self, object: K) -> Option<Change<K>> {
        let place = place_of(&object);
        let known = self.current.get(&place);
        if known.is_some_and(|known| known.read().is_some_and(|known| known.meta().uid != object.meta().uid))
        {
            return None;
        }
        drop(self.current.remove(&place));
        self.unreadable.remove(&place);
        self.bury(object.meta().uid.clone());
        Some(Change { object: Arc::new(object), before: None })
    }

    /// The end of an object whose last state cannot be read: told by the last one that could.
    fn gone_unread(&mut self, meta: &ObjectMeta) -> Option<Change<K>> {
        let place = place_in(meta);
        self.unreadable.remove(&place);
        let last = self.current.get(&place)?.read()?;
        if last.meta().uid == meta.uid { self.gone(last) } else { None }
    }

    fn comes_unreadable(&mut self, place: Place) {
        let coming = self.coming.get_or_insert_default();
        if let Some(known) = self.current.get(&place) {
            coming.add(place.clone(), known.clone());
        }
        coming.unreadable.insert(place);
    }

    fn bury(&mut self, uids: impl IntoIterator<Item = String>) {
        self.buried.retain(|_, since| since.elapsed() < BURIED);
        self.buried.extend(uids.into_iter().map(|uid| (uid, Instant::now())));
    }

    fn replaced(&mut self) -> Vec<Change<K>> {
        let Coming { objects, unreadable } = self.coming.take().unwrap_or_default();
        self.unreadable = unreadable;
        let mut before = mem::replace(&mut self.current, objects);
        let mut changes = Vec::new();
        for (place, text) in &mut self.current {
            let known = before.remove(place);
            match known {
                Some(known) if known.is_later_than(text) => *text = known,
                Some(known) if known == *text => {}
                before => changes.extend(change(text, before)),
            }
        }
        let gone: Vec<_> = before.into_values().filter_map(|text| change(&text, None)).collect();
        self.bury(gone.iter().filter_map(|change| change.object.meta().uid.clone()));
        changes.extend(gone);
        changes
    }
}

fn change<K: Kept>(text: &Text<K>, before: Option<Text<K>>) -> Option<Change<K>> {
    Some(Change { object: Arc::new(text.read()?), before })
}

fn place(namespace: Option<&str>, name: &str) -> Place {
    (namespace.unwrap_or_default().into(), name.into())
}

fn place_of<K: Resource>(object: &K) -> Place {
    place_in(object.meta())
}

fn place_in(meta: &ObjectMeta) -> Place {
    place(meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default())
}

fn reference<K: Kept>(namespace: &str, name: &str) -> ObjectRef<K> {
    let reference = ObjectRef::new(name);
    if namespace.is_empty() { reference } else { reference.within(namespace) }
}

#[cfg(test)]
mod tests;
