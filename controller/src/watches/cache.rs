//! One store: what the API server has of a kind, and what we wrote ourselves, as text. An object in memory takes four
//! times the room of its text, there are thousands of them, and those of one deployment are read at a time.
//!
//! Invariants: an older state of an object never replaces a newer one; what a list replaces stays visible until the
//! list is complete; what is read is what was kept.

mod text;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::{self, Debug};
use std::mem;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

use super::Kept;
use text::Text;

/// Namespace and name.
type Place = (Box<str>, Box<str>);

/// The objects of one kind.
pub(crate) struct Cache<K: Kept> {
    held: RwLock<Held<K>>,
}

struct Held<K: Kept> {
    current: BTreeMap<Place, Text<K>>,
    /// Of a list that is not complete yet.
    coming: BTreeMap<Place, Text<K>>,
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
        Self { held: RwLock::new(Held { current: BTreeMap::new(), coming: BTreeMap::new() }) }
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

    /// Whether there is an object of this name.
    pub(crate) fn has(&self, namespace: Option<&str>, name: &str) -> bool {
        self.read().current.contains_key(&place(namespace, name))
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
        is_there.then(|| held.changed(object)).flatten()
    }

    /// Takes over what a watch said, and tells what is different now.
    pub(crate) fn take(&self, event: Event<K>) -> Vec<Change<K>> {
        let mut held = self.write();
        match event.modify(K::trim) {
            Event::Apply(object) => held.changed(object).into_iter().collect(),
            Event::Delete(object) => held.gone(object).into_iter().collect(),
            Event::Init => {
                held.coming.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let place = place_of(&object);
                held.coming.extend(Text::of(object).map(|(_, text)| (place, text)));
                Vec::new()
            }
            Event::InitDone => held.replaced(),
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held<K>> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Kept> Held<K> {
    fn changed(&mut self, object: K) -> Option<Change<K>> {
        let place = place_of(&object);
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
        Some(Change { object: Arc::new(object), before: None })
    }

    fn replaced(&mut self) -> Vec<Change<K>> {
        let mut before = mem::replace(&mut self.current, mem::take(&mut self.coming));
        let mut changes = Vec::new();
        for (place, text) in &mut self.current {
            let known = before.remove(place);
            match known {
                Some(known) if known.is_later_than(text) => *text = known,
                Some(known) if known == *text => {}
                before => changes.extend(change(text, before)),
            }
        }
        changes.extend(before.into_values().filter_map(|text| change(&text, None)));
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
    let meta = object.meta();
    place(meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default())
}

fn reference<K: Kept>(namespace: &str, name: &str) -> ObjectRef<K> {
    let reference = ObjectRef::new(name);
    if namespace.is_empty() { reference } else { reference.within(namespace) }
}

#[cfg(test)]
mod tests;
