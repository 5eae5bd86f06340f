//! The audit log (M8): one line of JSON for each request, in the shape of kube-apiserver's own events.
//!
//! Invariant: no body, no query, no header and no token is written. A request never waits for the log: lines that
//! cannot be written in time are counted. The id joins a line with kube-apiserver's about the same request. Lines that
//! come together leave together: each write wakes whoever collects the logs of containers, on the same processors.

mod event;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use http::StatusCode;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authz::Decision;
use crate::metrics::Metrics;
use crate::request_info::RequestInfo;
use crate::user::User;
use event::Fields;

/// Lines that may wait to be written.
const WAITING: usize = 4096;
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(50);
/// What is left at the end is written in this time, or not at all.
const LAST: Duration = Duration::from_secs(2);

/// What is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display, strum::EnumString)]
pub enum Level {
    /// Nothing.
    None,
    /// Requests that change something, streams through us, and refusals.
    Changes,
    /// Everything but health checks.
    #[default]
    Metadata,
}

/// The id of a request; in the extensions of each.
#[derive(Clone, Debug)]
pub struct AuditId(pub String);

/// Where the stages and the handler note what belongs into the line; in the extensions of each request.
#[derive(Clone, Debug)]
pub struct Note(Arc<Mutex<Fields>>);

/// Writes the lines. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Log {
    level: Level,
    queue: Option<mpsc::Sender<String>>,
    writer: TaskTracker,
    ending: CancellationToken,
    metrics: Metrics,
}

impl Log {
    /// Writes to `out` from a task of its own.
    pub fn new(level: Level, out: impl AsyncWrite + Send + Unpin + 'static, metrics: Metrics) -> Self {
        let (queue, lines) = mpsc::channel(WAITING);
        let log = Self { level, queue: Some(queue).filter(|_| level != Level::None), metrics, ..Self::off() };
        if level != Level::None {
            log.writer.spawn(write(lines, out, log.ending.clone()));
        }
        log
    }

    /// Writes nothing.
    pub fn off() -> Self {
        Self {
            level: Level::None,
            queue: None,
            writer: TaskTracker::new(),
            ending: CancellationToken::new(),
            metrics: Metrics::unread(),
        }
    }

    /// Writes what waits, and nothing that comes later.
    pub(crate) async fn end(&self) {
        self.ending.cancel();
        self.writer.close();
        if tokio::time::timeout(LAST, self.writer.wait()).await.is_err() {
            tracing::warn!("the last lines of the audit log could not be written");
        }
    }

    pub(crate) fn record(&self, note: &Note, code: StatusCode) {
        let Some(queue) = &self.queue else { return };
        let line = note.with(|fields| fields.is_worth(self.level, code).then(|| fields.line(code)));
        if line.is_some_and(|line| queue.try_send(line).is_err()) {
            self.metrics.audit_dropped();
        }
    }
}

impl Note {
    pub(crate) fn of(request: &Request) -> Self {
        let info = request.extensions().get::<RequestInfo>().cloned().unwrap_or_default();
        Self(Arc::new(Mutex::new(Fields::new(request, info))))
    }

    /// Adds a fact of the handler's: say, the hash of a statement (C12).
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        self.with(|fields| fields.annotate(key, value));
    }

    pub(crate) fn user(&self, user: &User) {
        self.with(|fields| fields.set_user(user));
    }

    pub(crate) fn impersonated(&self, user: &User) {
        self.with(|fields| fields.set_impersonated(user));
    }

    pub(crate) fn decision(&self, decision: &Decision) {
        self.with(|fields| fields.set_decision(decision));
    }

    fn with<T>(&self, change: impl FnOnce(&mut Fields) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn write(
    mut lines: mpsc::Receiver<String>,
    mut out: impl AsyncWrite + Unpin,
    ending: CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            received = lines.recv_many(&mut batch, WAITING) => if received == 0 { return },
            () = ending.cancelled() => lines.close(),
        }
        let written = out.write_all(batch.concat().as_bytes()).await;
        if let Err(error) = written.and(out.flush().await) {
            tracing::error!(%error, "failed to write the audit log");
        }
        batch.clear();
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = ending.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests;
