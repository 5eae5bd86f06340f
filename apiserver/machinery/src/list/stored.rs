//! Reading from a store: which state may answer, and which part of it (R12, R13).

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use jiff::Timestamp;
use tokio::time::timeout;

use super::{
    ListMeta, Reading, VersionMatch,
    kept::Kept,
    options::{ListOptions, Version},
    resume::Token,
};
use crate::{
    encoded::Encoded,
    resource::{ErasedSource, Wanted},
    serve::warnings::Warnings,
    status::Status,
    store::{Feed, State},
};

/// How long a request waits for a version, or for the first look, before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(3);
/// A request lives for 60 s in the aggregation layer; a look that takes longer than this helps nobody (T12).
const LONGEST_LOOK: Duration = Duration::from_secs(25);

/// A resource that is read from a store.
pub(crate) struct Stored {
    pub(crate) feed: Arc<Feed>,
    pub(crate) source: Arc<dyn ErasedSource>,
    /// States of lists in portions.
    kept: Kept,
}

/// The same for whoever takes what is not there for deleted: a list, and what a watch begins with (W15).
pub(crate) async fn whole_state_for(
    stored: &Stored,
    (version, version_match): (Version, Option<VersionMatch>),
    (wanted, warnings): (&Wanted, &Warnings),
) -> Result<Arc<State>, Status> {
    // What is cached is good enough only if it is all.
    let version = match version {
        Version::Any if stored.source.whole(wanted).await.is_err() => Version::Freshest,
        other => other,
    };
    let state = state_for(stored, (version, version_match), (wanted, warnings)).await?;
    stored.source.whole(wanted).await?;
    // The state may be older than what was found to be whole.
    let newest = || stored.feed.state().unwrap_or_else(|| Arc::clone(&state));
    Ok(if version_match == Some(VersionMatch::Exact) { state } else { newest() })
}

/// The state that answers a request for this version; asks the source to look first where that is needed.
async fn state_for(
    stored: &Stored,
    (version, version_match): (Version, Option<VersionMatch>),
    (wanted, warnings): (&Wanted, &Warnings),
) -> Result<Arc<State>, Status> {
    let state = match version {
        Version::Any => match stored.feed.state() {
            Some(state) => state,
            None => freshest(stored, wanted, warnings).await?,
        },
        Version::Freshest => freshest(stored, wanted, warnings).await?,
        Version::At(version) if version_match == Some(VersionMatch::Exact) => stored.exactly(version)?,
        Version::At(version) => not_older_than(stored, version, wanted).await?,
    };
    if let Some(warning) = stored.feed.warning() {
        warnings.add(warning);
    }
    Ok(state)
}

/// Asks the source to look now. Where it cannot, what was last seen is shown, with a warning.
async fn freshest(stored: &Stored, wanted: &Wanted, warnings: &Warnings) -> Result<Arc<State>, Status> {
    let looked = look(stored, wanted).await;
    match (looked, stored.feed.state()) {
        (Ok(()), Some(state)) => Ok(state),
        (Ok(()), None) => first(&stored.feed).await,
        (Err(status), Some(state)) => {
            warnings.add(format!("what is shown may be out of date: {status}"));
            Ok(state)
        }
        (Err(status), None) => Err(status),
    }
}

/// A source bounds its look by itself; this is for the day when it does not.
async fn look(stored: &Stored, wanted: &Wanted) -> Result<(), Status> {
    let late = |_| Status::timeout("the source of these objects did not answer in time", 1);
    timeout(LONGEST_LOOK, stored.source.fresh(wanted)).await.map_err(late)?
}

/// Waits for the first publication.
async fn first(feed: &Feed) -> Result<Arc<State>, Status> {
    let mut bell = feed.bell();
    let published = async {
        loop {
            bell.mark_unchanged();
            if let Some(state) = feed.state() {
                return state;
            }
            if bell.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let none = |_| Status::unavailable("nothing has been observed yet").retry_after(1);
    timeout(PATIENCE, published).await.map_err(none)
}

/// Another replica's version says when somebody looked: to be not older, look afresh and pass it (W4).
async fn not_older_than(stored: &Stored, version: u64, wanted: &Wanted) -> Result<Arc<State>, Status> {
    let feed = &stored.feed;
    if let Some(state) = feed.state().filter(|state| feed.clock.is_own(version) && state.version >= version) {
        return Ok(state);
    }
    if !feed.clock.is_ahead(version, Timestamp::now()) {
        look(stored, wanted).await?;
        first(feed).await?;
        feed.pass(version, Timestamp::now());
        return first(feed).await;
    }
    reached(feed, version).await
}

/// Waits until a version of our own is reached.
pub(crate) async fn reached(feed: &Feed, version: u64) -> Result<Arc<State>, Status> {
    let mut bell = feed.bell();
    let published = async {
        loop {
            bell.mark_unchanged();
            if let Some(state) = feed.state().filter(|state| state.version >= version) {
                return state;
            }
            if bell.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let current = || feed.state().map_or(0, |state| state.version);
    timeout(PATIENCE, published).await.map_err(|_| Status::too_large_resource_version(version, current()))
}

impl Stored {
    pub(crate) fn new(feed: Arc<Feed>, source: Arc<dyn ErasedSource>) -> Self {
        Self { feed, source, kept: Kept::default() }
    }

    /// One object.
    pub(crate) async fn get(
        &self,
        version: Version,
        (wanted, warnings): (&Wanted, &Warnings),
    ) -> Result<Option<Arc<Encoded>>, Status> {
        let state = state_for(self, (version, None), (wanted, warnings)).await?;
        let key =
            (wanted.namespace.as_deref().unwrap_or_default(), wanted.name.as_deref().unwrap_or_default());
        if let Some(found) = state.get(key) {
            return Ok(Some(Arc::clone(found)));
        }
        // Unknown is not absent.
        self.source.whole(wanted).await?;
        Ok(None)
    }

    /// A list, or a portion of it.
    pub(crate) async fn list(&self, reading: &Reading, warnings: &Warnings) -> Result<Response, Status> {
        let Reading { options, render } = reading;
        let selection = &options.selection;
        let token = options.resume.as_deref().map(|text| Token::decode(text, selection)).transpose()?;
        let state = if let Some(token) = &token {
            self.kept_state(token, options).await?
        } else {
            let wanted = Wanted::of(selection);
            whole_state_for(self, (options.version, options.version_match), (&wanted, warnings)).await?
        };
        let items = state.within(selection.namespace.as_deref());
        let start = token.map_or(0, |token| {
            items.partition_point(|item| item.key() <= (token.after.0.as_str(), token.after.1.as_str()))
        });
        let mut rest: Vec<Arc<Encoded>> =
            items[start..].iter().filter(|item| selection.matches(item)).cloned().collect();
        // A cached list may ignore its limit, as the watch cache of kube-apiserver does.
        let is_cached = options.version == Version::Any && options.resume.is_none();
        let limit = if is_cached || !self.source.in_portions() { 0 } else { options.limit };
        let page = if limit == 0 { rest.len() } else { rest.len().min(limit) };
        let meta = self.meta(&state, &rest, (page, options));
        rest.truncate(page);
        render.list(meta, rest)
    }

    fn meta(
        &self,
        state: &Arc<State>,
        rest: &[Arc<Encoded>],
        (page, options): (usize, &ListOptions),
    ) -> ListMeta {
        let meta = ListMeta::at(state.version);
        if page == rest.len() {
            return meta;
        }
        self.kept.keep(state);
        let after = rest[page.saturating_sub(1)].key();
        let token = Token::new(state.version, after, &options.selection);
        let remaining = options.selection.is_everything().then_some(rest.len() - page);
        ListMeta { resume: Some(token.encode()), remaining_item_count: remaining, ..meta }
    }

    fn held(&self, version: u64) -> Option<Arc<State>> {
        let current = self.feed.state().filter(|state| state.version == version);
        current.or_else(|| self.kept.find(version))
    }

    fn exactly(&self, version: u64) -> Result<Arc<State>, Status> {
        let gone =
            || Status::expired(format!("The resourceVersion for the provided list is too old: {version}"));
        self.held(version).ok_or_else(gone)
    }

    /// The state that a portion continues. If it is gone, 410 with a token that goes on in the present one (E6).
    async fn kept_state(&self, token: &Token, options: &ListOptions) -> Result<Arc<State>, Status> {
        if token.version == 0 {
            self.source.whole(&Wanted::of(&options.selection)).await?;
            return self.feed.state().ok_or_else(|| Status::unavailable("nothing has been observed yet"));
        }
        self.held(token.version).ok_or_else(|| {
            let (namespace, name) = &token.after;
            let fresh = Token::new(0, (namespace, name), &options.selection);
            let message = "The provided continue parameter is too old to display a consistent list result. You can \
                           start a new list without the continue parameter, or use the continue token in this \
                           response to retrieve the remainder of the results, which may then be inconsistent with \
                           those already received.";
            Status { resume: Some(fresh.encode()), ..Status::expired(message) }
        })
    }
}
