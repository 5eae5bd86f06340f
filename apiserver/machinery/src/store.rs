//! The last known objects of a kind, and the changes that led to them.
//!
//! A poller publishes the complete set; what changed is found by content, stamped with a resource version, and kept
//! in a bounded ring from which watches read at their own pace. Invariants: readers never wait for each other or for
//! an encoding; a failed look publishes nothing, so nothing is ever reported as deleted because its source was
//! silent (W15).

mod feed;
mod levels;
mod log;

#[cfg(test)]
mod tests;

use std::{marker::PhantomData, sync::Arc};

use apiserver_kind::Resource;

pub(crate) use feed::Feed;
pub(crate) use levels::Levels;
pub(crate) use log::{Change, State, Unknown};

use crate::{encoded, version::Clock};

/// The objects of one kind, for a poller to fill.
#[derive(Debug)]
pub struct Store<K> {
    pub(crate) feed: Arc<Feed>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self { feed: Arc::clone(&self.feed), kind: PhantomData }
    }
}

impl<K: Resource> Store<K> {
    /// A store that nobody has published to yet; stores of one process share the clock.
    pub fn new(clock: &Arc<Clock>) -> Self {
        let feed = Feed::new(Arc::clone(clock), K::DESCRIPTOR.selectable_fields);
        Self { feed: Arc::new(feed), kind: PhantomData }
    }

    /// Publishes the complete set of objects. What is not in it is deleted; leave in what could not be asked about.
    pub fn publish(&self, objects: Vec<K>) -> Result<(), encoded::Error> {
        self.publish_each(objects)
    }

    /// The same for objects that are made one by one: thousands of them are never in memory at a time.
    pub fn publish_each(&self, objects: impl IntoIterator<Item = K>) -> Result<(), encoded::Error> {
        self.feed.publish(objects, jiff::Timestamp::now())
    }

    /// Says to every reader, as a warning, why what is shown may be old or partial; `None` ends it (R11).
    pub fn set_warning(&self, warning: Option<String>) {
        self.feed.set_warning(warning);
    }

    /// How many watches are open: a poller needs to look by itself only while there are any (W16).
    pub fn watchers(&self) -> usize {
        self.feed.watchers()
    }
}
