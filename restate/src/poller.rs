//! One task per Restate and process that asks on behalf of everybody.
//!
//! Stage in the flow: between [`crate::admin`] and every reader of a snapshot. Invariants: at most one question is
//! under way per endpoint; nothing is asked while nobody wants an answer; readers never wait for each other; a
//! reading is replaced only by a complete newer one, a failure leaves it to grow old. Not for writes.
//!
//! How to use it: subscribe, and keep the [`Subscription`]. Hold a [`Demand`] while something depends on the answer
//! (a superseded version, a deletion, a watcher); [`Subscription::changes`] wakes when what Restate says changed or
//! somebody's question was answered; [`Subscription::fresh_after`] gives the answer to a question that started
//! after a moment, for whoever is about to act on it.

mod hub;
mod observe;
mod pace;
mod source;
mod task;
mod wants;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::Timestamp;
use restate_model::{EndpointKey, Failure, Snapshot};
use tokio::sync::watch;

use crate::admin::Admin;
use crate::endpoint::Endpoint;
use crate::transport::Transport;
use hub::Hub;

pub use observe::{Asked, NoObserver, Observer, Question};
pub use pace::Pace;

/// What somebody wants to know. The second includes the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Demand {
    /// What is registered, and where new calls go.
    Registry,
    /// And how much unfinished work there is: a query that costs Restate something.
    Usage,
}

/// All pollers of this process. Cheap to clone.
#[derive(Clone)]
pub struct Pollers {
    transport: Transport,
    pace: Pace,
    observer: Arc<dyn Observer>,
    hubs: Arc<Mutex<HashMap<Endpoint, Weak<Hub>>>>,
}

impl Pollers {
    /// No pollers yet; `observer` hears of each question asked.
    pub fn new(transport: &Transport, pace: Pace, observer: Arc<dyn Observer>) -> Self {
        Self { transport: transport.clone(), pace, observer, hubs: Arc::default() }
    }

    /// The poller of this endpoint, which starts with the first subscription and ends with the last. Must be called
    /// within a tokio runtime.
    pub fn subscribe(&self, endpoint: &Endpoint) -> Subscription {
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = hubs.get(endpoint).and_then(Weak::upgrade) {
            return Subscription { hub };
        }
        hubs.retain(|_, hub| hub.strong_count() > 0);
        let admin = Admin::new(&self.transport, endpoint);
        let hub = Arc::new(Hub::start(admin, endpoint.key().clone(), self.pace, Arc::clone(&self.observer)));
        hubs.insert(endpoint.clone(), Arc::downgrade(&hub));
        Subscription { hub }
    }
}

impl fmt::Debug for Pollers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pollers").field("pace", &self.pace).finish_non_exhaustive()
    }
}

/// A share in one poller. By itself it asks nothing.
#[derive(Clone, Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
}

/// As long as this lives, the poller asks at its own pace.
#[derive(Debug)]
#[must_use = "a demand ends when it is dropped"]
pub struct Held {
    hub: Arc<Hub>,
    demand: Demand,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.hub.wants.release(self.demand);
    }
}

impl Subscription {
    /// Which Restate.
    pub fn key(&self) -> &EndpointKey {
        &self.hub.key
    }

    /// The newest answers, of whatever age.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.hub.rounds.borrow().clone()
    }

    /// Wakes after each round: also when only the age changed.
    pub fn rounds(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.hub.rounds.clone()
    }

    /// Wakes when what Restate says changed (or whether it says anything), and after a round that was poked for.
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.hub.changes.clone()
    }

    /// Wants answers at the poller's own pace until the guard is dropped.
    pub fn demand(&self, demand: Demand) -> Held {
        self.hub.wants.hold(demand);
        Held { hub: Arc::clone(&self.hub), demand }
    }

    /// Wants one answer soon. Many pokes before the next question are one.
    pub fn poke(&self, demand: Demand) {
        self.hub.wants.poke(demand);
    }

    /// The same for whoever only shows what is known: where Restate has answered and rests from a usage query for
    /// longer than `patience`, the last answers, at once. They are as recent as it may be asked.
    pub async fn recent(
        &self,
        moment: Timestamp,
        demand: Demand,
        patience: std::time::Duration,
    ) -> Result<Arc<Snapshot>, Failure> {
        self.hub.recent(moment, demand, patience).await
    }

    /// The first snapshot whose readings were asked for after `moment`, or why there is none. As soon as the pace
    /// allows: whoever has a deadline sets it himself.
    pub async fn fresh_after(&self, moment: Timestamp, demand: Demand) -> Result<Arc<Snapshot>, Failure> {
        self.hub.fresh_after(moment, demand).await
    }
}

#[cfg(test)]
mod tests;
