//! Watches: the changes of a store, one JSON line each, for as long as somebody listens (W1–W15, W21).
//!
//! A watch keeps no queue. It holds a position in the store's ring and reads on at its own pace; whoever is so slow
//! that the ring has moved on is told to list again. Invariant: what a client has seen is the state at some version,
//! never more, never less.

mod stream;

use std::time::Duration;

use apiserver_kind::Gvk;
use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderValue, header};
use jiff::Timestamp;

use crate::{
    list::{ListOptions, Reading, Stored, Version, VersionMatch, whole_state_for},
    metrics::Metrics,
    resource::{Call, Wanted},
    serve::body::until,
    shutdown::Draining,
    status::Status,
    store::Unknown,
};
use stream::{Begin, Watching};

/// Without a wish of the client, a watch lasts from one to two times this (W6).
const LASTS: Duration = Duration::from_mins(30);

/// A client that reads has seen the end of its watch by then; one that does not is cut (W10).
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Counts what a watch sends (M2).
pub(crate) struct Counter {
    pub(crate) metrics: Metrics,
    pub(crate) gvk: Gvk,
    pub(crate) plural: &'static str,
}

impl Counter {
    fn sent(&self, line: &Bytes) {
        self.metrics.watch_event(self.gvk.group, self.gvk.version, self.plural, line.len());
    }

    /// The initial events of a streamed list were sent.
    fn listed(&self, took: Duration) {
        self.metrics.watch_list(self.gvk.group, self.gvk.version, self.plural, took);
    }
}

/// Answers a watch.
pub(crate) async fn watch(
    stored: &Stored,
    reading: Reading,
    (call, draining, counter): (&Call, Draining, Counter),
) -> Result<Response, Status> {
    let begin = match begin(stored, &reading.options, call).await? {
        Ok(begin) => begin,
        Err(status) => return Ok(response(Body::from(error_line(&status)))),
    };
    let lasts = reading.options.timeout.filter(|wish| !wish.is_zero()).unwrap_or_else(some_time);
    let end = end(lasts, draining).boxed().shared();
    let over = end.clone().then(|()| tokio::time::sleep(LAST_WORDS));
    let watching = Watching::new(stored, (reading, counter), begin).until(end);
    Ok(response(until(Body::from_stream(watching.into_stream()), over)))
}

/// Completes when the watch has lasted so long, or when its turn comes in a graceful stop.
async fn end(lasts: Duration, draining: Draining) {
    tokio::select! {
        () = tokio::time::sleep(lasts) => {}
        () = draining.turn_to_end() => {}
    }
}

/// Where a watch begins; the inner refusal is for clients that expect it as an event, since only then they list again.
async fn begin(stored: &Stored, options: &ListOptions, call: &Call) -> Result<Result<Begin, Status>, Status> {
    let initial = match (options.send_initial_events, options.version) {
        (Some(wish), _) => wish,
        (None, Version::At(_)) => false,
        (None, Version::Freshest | Version::Any) => true,
    };
    if let (false, Version::At(version)) = (initial, options.version) {
        return after(stored, version).await;
    }
    let wanted = Wanted::of(&options.selection);
    let version = (options.version, Some(VersionMatch::NotOlderThan));
    whole_state_for(stored, version, (&wanted, &call.warnings)).await?;
    let log = stored.feed.log();
    let Some(state) = log.state().cloned() else {
        return Err(Status::unavailable("nothing has been observed yet"));
    };
    let position = log.position();
    Ok(Ok(if initial {
        Begin::State { state, position, marked: options.send_initial_events == Some(true) }
    } else {
        Begin::After { position }
    }))
}

/// A version of our own that we still know, or have not reached; everybody else's is too old (W4).
async fn after(stored: &Stored, version: u64) -> Result<Result<Begin, Status>, Status> {
    let known = || {
        if stored.feed.clock.is_own(version) {
            stored.feed.log().after(version)
        } else {
            Err(Unknown::Expired)
        }
    };
    match known() {
        Ok(position) => Ok(Ok(Begin::After { position })),
        Err(Unknown::Future) if stored.feed.clock.is_ahead(version, Timestamp::now()) => {
            crate::list::reached(&stored.feed, version).await?;
            Ok(known().map(|position| Begin::After { position }).map_err(|_| too_old(version)))
        }
        Err(Unknown::Expired | Unknown::Future) => Ok(Err(too_old(version))),
    }
}

fn too_old(version: u64) -> Status {
    Status::expired(format!("too old resource version: {version}"))
}

pub(crate) fn error_line(status: &Status) -> Bytes {
    [b"{\"type\":\"ERROR\",\"object\":".as_slice(), &status.json(), b"}\n"].concat().into()
}

fn some_time() -> Duration {
    // The bits of a random identifier are as good a share as any.
    let [first, ..] = *uuid::Uuid::new_v4().as_bytes();
    LASTS + LASTS.mul_f64(f64::from(first) / 256.0)
}

fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
