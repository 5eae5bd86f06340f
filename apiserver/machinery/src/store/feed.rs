//! The log behind a lock, with a bell: publishing, and waiting for more.

use std::{
    cmp::Ordering,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use apiserver_kind::Kind;
use jiff::Timestamp;
use tokio::sync::watch;

use super::log::{Change, Log, State};
use crate::{
    encoded::{Encoded, Error, fingerprint},
    version::Clock,
};

#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) clock: Arc<Clock>,
    selectable: &'static [&'static str],
    /// Held while a publication is compared and encoded; readers do not need it.
    publishing: Mutex<()>,
    log: Mutex<Log>,
    warning: Mutex<Option<String>>,
    bell: watch::Sender<u64>,
}

impl Feed {
    pub(crate) fn new(clock: Arc<Clock>, selectable: &'static [&'static str]) -> Self {
        Self::over(Log::new(), clock, selectable)
    }

    pub(crate) fn over(log: Log, clock: Arc<Clock>, selectable: &'static [&'static str]) -> Self {
        let bell = watch::Sender::new(0);
        Self {
            clock,
            selectable,
            publishing: Mutex::default(),
            log: Mutex::new(log),
            warning: Mutex::default(),
            bell,
        }
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> Option<Arc<State>> {
        self.log().state().cloned()
    }

    /// Rings whenever there is more to read.
    pub(crate) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    pub(crate) fn watchers(&self) -> usize {
        self.bell.receiver_count()
    }

    pub(crate) fn warning(&self) -> Option<String> {
        self.warning.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_warning(&self, warning: Option<String>) {
        *self.warning.lock().unwrap_or_else(PoisonError::into_inner) = warning;
    }

    pub(crate) fn publish<K: Kind>(
        &self,
        objects: impl IntoIterator<Item = K>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.state();
        let stamps = Stamps { clock: &self.clock, now, selectable: self.selectable };
        let (changes, state) = match old {
            None => (Vec::new(), stamps.first(objects)?),
            Some(old) => stamps.next(&old, objects)?,
        };
        self.advance(changes, state);
        Ok(())
    }

    /// Issues a version above `version` for an unchanged state.
    pub(crate) fn pass(&self, version: u64, now: Timestamp) {
        let _one_at_a_time = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = self.state().filter(|state| state.version < version) else { return };
        let stamp = self.clock.stamp(now);
        let state = State { version: stamp, ..State::clone(&state) };
        self.log().pass(state);
        self.ring();
    }

    fn advance(&self, changes: Vec<Change>, state: State) {
        self.log().advance(changes, state);
        self.ring();
    }

    fn ring(&self) {
        let position = self.log().position();
        self.bell.send_replace(position);
    }
}

fn key<K: Kind>(object: &K) -> (&str, &str) {
    let metadata = object.metadata();
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// Sorted by key; of several with one key the last one counts.
fn in_order<T>(mut items: Vec<T>, key: impl Fn(&T) -> (&str, &str)) -> Vec<T> {
    items.reverse();
    items.sort_by(|one, other| key(one).cmp(&key(other)));
    items.dedup_by(|later, first| key(later) == key(first));
    items
}

/// What an object looks like: as before, or otherwise, and then without a version of its own.
enum Looked {
    Same(Arc<Encoded>),
    New(Encoded),
}

impl Looked {
    fn key(&self) -> (&str, &str) {
        match self {
            Self::Same(item) => item.key(),
            Self::New(item) => item.key(),
        }
    }
}

/// What stands for a version until there is one.
const UNSTAMPED: u64 = 1;

/// Finds what changed, and stamps it.
struct Stamps<'a> {
    clock: &'a Clock,
    now: Timestamp,
    selectable: &'static [&'static str],
}

impl Stamps<'_> {
    fn first<K: Kind>(&self, objects: impl IntoIterator<Item = K>) -> Result<State, Error> {
        let version = self.clock.stamp(self.now);
        let encoded = |object: K| Encoded::of(&object, self.selectable, version).map(Arc::new);
        let items = objects.into_iter().map(encoded).collect::<Result<_, _>>()?;
        Ok(State { version, items: in_order(items, |item| item.key()) })
    }

    /// Objects are taken one by one: thousands of them are never in memory at a time.
    fn next<K: Kind>(
        &self,
        old: &State,
        objects: impl IntoIterator<Item = K>,
    ) -> Result<(Vec<Change>, State), Error> {
        let looked = objects.into_iter().map(|object| self.looked(&object, old));
        let looked = in_order(looked.collect::<Result<_, _>>()?, Looked::key);
        let mut changes = Vec::new();
        let mut items = Vec::with_capacity(looked.len());
        let mut left = old.items.iter().peekable();
        for looked in looked {
            while let Some(gone) = left.next_if(|item| item.key() < looked.key()) {
                changes.push(self.deleted(gone));
            }
            let before = left.next_if(|item| item.key().cmp(&looked.key()) == Ordering::Equal);
            match looked {
                Looked::Same(item) => items.push(item),
                Looked::New(item) => items.push(self.changed(&item, before, &mut changes)),
            }
        }
        changes.extend(left.map(|gone| self.deleted(gone)));
        let version = changes.last().map_or(old.version, |change| change.version);
        Ok((changes, State { version, items }))
    }

    fn looked<K: Kind>(&self, object: &K, old: &State) -> Result<Looked, Error> {
        let fingerprint = fingerprint(object)?;
        let before = old.get(key(object)).filter(|before| before.fingerprint == fingerprint);
        if let Some(same) = before {
            return self.looked_at_again(object, same).map(Looked::Same);
        }
        Encoded::with_fingerprint(object, self.selectable, (UNSTAMPED, fingerprint)).map(Looked::New)
    }

    fn changed(
        &self,
        item: &Encoded,
        before: Option<&Arc<Encoded>>,
        changes: &mut Vec<Change>,
    ) -> Arc<Encoded> {
        // Another uid is another object: the old one goes before the new one comes.
        let before = match before {
            Some(other) if other.uid != item.uid => {
                changes.push(self.deleted(other));
                None
            }
            before => before,
        };
        let version = self.clock.stamp(self.now);
        let item = Arc::new(item.at(version));
        changes.push(Change::new(version, before.cloned(), Some(Arc::clone(&item))));
        item
    }

    /// The same content: the same bytes, unless it tells when it was looked at.
    fn looked_at_again<K: Kind>(&self, object: &K, same: &Arc<Encoded>) -> Result<Arc<Encoded>, Error> {
        if matches!(object.settled(), std::borrow::Cow::Borrowed(_)) {
            return Ok(Arc::clone(same));
        }
        let unchanged = (same.version, same.fingerprint);
        Encoded::with_fingerprint(object, self.selectable, unchanged).map(Arc::new)
    }

    fn deleted(&self, gone: &Arc<Encoded>) -> Change {
        Change::new(self.clock.stamp(self.now), Some(Arc::clone(gone)), None)
    }
}
