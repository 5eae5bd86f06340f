//! The body of a watch.

use std::{collections::VecDeque, convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::unfold};
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep},
};

use super::{Counter, error_line, too_old};
use crate::{
    encoded::Encoded,
    list::{Reading, Stored},
    negotiate::Form,
    store::{Change, Feed, State},
};

/// Bookmarks come this often (W7).
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// So many changes are taken at a time.
const BATCH: usize = 128;
/// So many bytes of the first objects are written at a time: they are a watch's own, and many begin together.
const PORTION: usize = 16 * 1024;

/// Where a watch begins.
#[derive(Debug)]
pub(super) enum Begin {
    /// With the objects of this state, then from the position on; a bookmark marks where the state ends, if wanted.
    State { state: Arc<State>, position: u64, marked: bool },
    /// From the position on.
    After { position: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE")]
enum Event {
    Added,
    Modified,
    Deleted,
    Bookmark,
}

/// One watch.
pub(super) struct Watching {
    feed: Arc<Feed>,
    bell: watch::Receiver<u64>,
    reading: Reading,
    counter: Counter,
    begun: Instant,
    /// Objects of the first state that were not sent yet.
    initial: Option<Initial>,
    position: u64,
    /// The version up to which everything was sent.
    version: u64,
    ready: VecDeque<Bytes>,
    headed: bool,
    ended: bool,
    bookmark: Pin<Box<Sleep>>,
    end: BoxFuture<'static, ()>,
}

struct Initial {
    state: Arc<State>,
    next: usize,
    marked: bool,
}

impl Watching {
    pub(super) fn new(stored: &Stored, (reading, counter): (Reading, Counter), begin: Begin) -> Self {
        let (initial, position) = match begin {
            Begin::State { state, position, marked } => (Some(Initial { state, next: 0, marked }), position),
            Begin::After { position } => (None, position),
        };
        Self {
            feed: Arc::clone(&stored.feed),
            bell: stored.feed.bell(),
            reading,
            counter,
            begun: Instant::now(),
            initial,
            position,
            version: 0,
            ready: VecDeque::new(),
            headed: false,
            ended: false,
            bookmark: Box::pin(sleep(BOOKMARK_EVERY)),
            end: futures::future::pending().boxed(),
        }
    }

    /// Ends, with a last bookmark, once `end` completes.
    pub(super) fn until(mut self, end: impl Future<Output = ()> + Send + 'static) -> Self {
        self.end = end.boxed();
        self
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        unfold(self, |mut watching| async move { watching.next().await.map(|line| (Ok(line), watching)) })
            .fuse()
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                self.counter.sent(&line);
                return Some(line);
            }
            if self.ended {
                return None;
            }
            self.bell.mark_unchanged();
            if self.end.as_mut().now_or_never().is_some() {
                // However much there is still to tell.
                self.end();
            } else if !self.fill() {
                self.wait().await;
            }
        }
    }

    /// Takes what there is; false if there was nothing to look at.
    fn fill(&mut self) -> bool {
        if let Some(initial) = self.initial.take() {
            self.fill_initial(initial);
            return true;
        }
        let (changes, reached) = {
            let log = self.feed.log();
            (log.read(self.position, BATCH), log.state().map_or(0, |state| state.version))
        };
        let Some(changes) = changes else {
            self.ready.push_back(error_line(&too_old(self.version)));
            self.ended = true;
            return true;
        };
        if changes.is_empty() {
            self.version = reached;
            return false;
        }
        self.position += changes.len() as u64;
        for change in changes {
            self.version = change.version;
            let line = self.line(&change);
            self.ready.extend(line);
        }
        true
    }

    fn fill_initial(&mut self, initial: Initial) {
        let Initial { state, next, marked } = initial;
        let items = state.within(self.reading.options.selection.namespace.as_deref());
        let (mut until, mut bytes) = (next, 0);
        while until < items.len() && until < next + BATCH && bytes < PORTION {
            if self.reading.options.selection.matches(&items[until]) {
                let line = self.written(Event::Added, &items[until]);
                bytes += line.len();
                self.ready.push_back(line);
            }
            until += 1;
        }
        if until < items.len() {
            self.initial = Some(Initial { next: until, state, marked });
            return;
        }
        self.version = state.version;
        if marked {
            self.counter.listed(self.begun.elapsed());
        }
        if marked && self.reading.options.bookmarks {
            self.ready.push_back(self.bookmarked(true));
        }
    }

    async fn wait(&mut self) {
        tokio::select! {
            changed = self.bell.changed() => self.ended = changed.is_err(),
            () = &mut self.end => self.end(),
            () = &mut self.bookmark => {
                self.bookmark.as_mut().reset(Instant::now() + BOOKMARK_EVERY);
                self.push_bookmark();
            }
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.push_bookmark();
    }

    fn push_bookmark(&mut self) {
        if self.reading.options.bookmarks && self.version != 0 {
            self.ready.push_back(self.bookmarked(false));
        }
    }

    /// A change as this watch sees it: what stops to match is deleted, what begins to match is added (W13).
    fn line(&mut self, change: &Change) -> Option<Bytes> {
        let selection = &self.reading.options.selection;
        let seen = |object: &Option<Arc<Encoded>>| object.clone().filter(|object| selection.matches(object));
        let (before, after) = (seen(&change.before), seen(&change.after));
        let is_shared = self.reading.render.form == Form::Object
            && before.is_some() == change.before.is_some()
            && after.is_some() == change.after.is_some();
        let (event, object) = match (before, after) {
            (None, None) => return None,
            (None, Some(after)) => (Event::Added, after),
            (Some(_), Some(after)) => (Event::Modified, after),
            (Some(before), None) => (Event::Deleted, before),
        };
        if is_shared && let Some(line) = change.line.get() {
            return Some(line.clone());
        }
        let object = if event == Event::Deleted { Arc::new(object.at(change.version)) } else { object };
        let line = self.written(event, &object);
        Some(if is_shared { change.line.get_or_init(|| line).clone() } else { line })
    }

    fn written(&mut self, event: Event, object: &Encoded) -> Bytes {
        let mut line = opened(event, object.json().len());
        self.reading.render.write_event_object(&mut line, object, !self.headed);
        self.headed = true;
        line.extend_from_slice(b"}\n");
        line.into()
    }

    fn bookmarked(&self, ends_initial_events: bool) -> Bytes {
        let mut line = opened(Event::Bookmark, 256);
        self.reading.render.write_bookmark(&mut line, self.version, ends_initial_events);
        line.extend_from_slice(b"}\n");
        line.into()
    }
}

fn opened(event: Event, size: usize) -> Vec<u8> {
    let mut line = Vec::with_capacity(size + 64);
    let name: &str = event.into();
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line
}

/// What a watch itself takes, its timers and what it was asked for included.
#[cfg(test)]
pub(super) fn size() -> usize {
    std::mem::size_of::<Watching>() + std::mem::size_of::<Sleep>() * 2
}
