//! State and ring of changes, as plain data: no locks, no time.
//!
//! Invariant: the ring holds every change between its floor and the state, in order, each under a version of its
//! own. A version that was not issued here, or lies below the floor, is unknown: whoever holds it lists again.

use std::{
    cmp::Ordering,
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use crate::encoded::Encoded;

/// So many changes are kept at least; more when there are many objects, or were until now, so that a change or the
/// end of all of them at once does not push every watch out.
const SMALLEST_RING: usize = 4096;

/// All objects at one version, sorted by namespace and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) version: u64,
    pub(crate) items: Vec<Arc<Encoded>>,
}

impl State {
    /// The objects of a namespace, or all.
    pub(crate) fn within(&self, namespace: Option<&str>) -> &[Arc<Encoded>] {
        let Some(namespace) = namespace else { return &self.items };
        let start = self.items.partition_point(|item| item.key().0 < namespace);
        let end = self.items.partition_point(|item| item.key().0 <= namespace);
        &self.items[start..end]
    }

    pub(crate) fn get(&self, key: (&str, &str)) -> Option<&Arc<Encoded>> {
        let found = self.items.binary_search_by(|item| item.key().cmp(&key));
        found.ok().and_then(|at| self.items.get(at))
    }
}

/// One change: an object before and after. Neither is there for versions that were issued without a change.
#[derive(Debug)]
pub(crate) struct Change {
    /// The version; of several that were issued in a row without a change, the last.
    pub(crate) version: u64,
    /// The first of them.
    first: u64,
    pub(crate) before: Option<Arc<Encoded>>,
    pub(crate) after: Option<Arc<Encoded>>,
    /// The event as most watches want it, written by the first that does.
    pub(crate) line: OnceLock<Bytes>,
}

impl Change {
    pub(crate) fn new(version: u64, before: Option<Arc<Encoded>>, after: Option<Arc<Encoded>>) -> Self {
        Self { version, first: version, before, after, line: OnceLock::new() }
    }

    fn is_empty(&self) -> bool {
        self.before.is_none() && self.after.is_none()
    }

    /// How the versions that this stands for compare with another.
    fn compared(&self, version: u64) -> Ordering {
        if (self.first..=self.version).contains(&version) {
            Ordering::Equal
        } else {
            self.version.cmp(&version)
        }
    }
}

/// Why no watch can start after a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It is too old, or somebody else's.
    Expired,
    /// It is ours, and we have not reached it.
    Future,
}

#[derive(Debug)]
pub(crate) struct Log {
    state: Option<Arc<State>>,
    ring: VecDeque<Arc<Change>>,
    /// Position of the ring's first change, counted from the beginning of time.
    first: u64,
    /// The version before the ring's first change.
    floor: u64,
    smallest: usize,
    /// The most objects that there were, until the changes after them have left the ring.
    widest: usize,
    wide_until: u64,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self::with_capacity(SMALLEST_RING)
    }

    pub(crate) fn with_capacity(smallest: usize) -> Self {
        Self { state: None, ring: VecDeque::new(), first: 0, floor: 0, smallest, widest: 0, wide_until: 0 }
    }

    /// The objects; nothing before the first publication.
    pub(crate) fn state(&self) -> Option<&Arc<State>> {
        self.state.as_ref()
    }

    /// Where a watch that has seen the state goes on.
    pub(crate) fn position(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    /// How many changes have left the ring.
    pub(crate) fn dropped(&self) -> u64 {
        self.first
    }

    /// Takes the next state and what led to it. The first state has no changes that anybody could have missed.
    pub(crate) fn advance(&mut self, changes: Vec<Change>, state: State) {
        if self.state.is_none() {
            self.floor = state.version;
        } else {
            self.ring.extend(changes.into_iter().map(Arc::new));
        }
        let capacity = self.capacity(state.items.len());
        self.state = Some(Arc::new(state));
        while self.ring.len() > capacity {
            if let Some(dropped) = self.ring.pop_front() {
                self.first += 1;
                self.floor = dropped.version;
            }
        }
    }

    /// Twice the objects that there are, or were before changes that are still in the ring.
    fn capacity(&mut self, now: usize) -> usize {
        let before = self.state.as_ref().map_or(0, |state| state.items.len());
        if before >= self.widest || self.first >= self.wide_until {
            (self.widest, self.wide_until) = (before, self.position());
        }
        self.smallest.max(now.max(self.widest) * 2)
    }

    /// Takes a version that was issued without a change. However many come in a row, they take one place: whoever only
    /// reads pushes nobody out.
    pub(crate) fn pass(&mut self, state: State) {
        let mut change = Change::new(state.version, None, None);
        if let Some(last) = self.ring.pop_back_if(|last| last.is_empty()) {
            change.first = last.first;
        }
        self.advance(vec![change], state);
    }

    /// The position after this version, if it was issued here and nothing since is lost.
    pub(crate) fn after(&self, version: u64) -> Result<u64, Unknown> {
        let current = self.state.as_ref().map_or(0, |state| state.version);
        if version == self.floor && version != 0 {
            return Ok(self.first);
        }
        match self.ring.binary_search_by(|change| change.compared(version)) {
            Ok(at) => Ok(self.first + at as u64 + 1),
            Err(_) if version > current => Err(Unknown::Future),
            Err(_) => Err(Unknown::Expired),
        }
    }

    /// Up to `limit` changes from this position on; `None` if some of them are lost.
    pub(crate) fn read(&self, position: u64, limit: usize) -> Option<Vec<Arc<Change>>> {
        let skipped = usize::try_from(position.checked_sub(self.first)?).ok()?;
        Some(self.ring.iter().skip(skipped).take(limit).cloned().collect())
    }
}
