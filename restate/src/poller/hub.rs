//! What subscriptions share with the task of their endpoint. Ends the task when the last of them is gone.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use restate_model::{EndpointKey, Failure, FailureKind, Reading, Snapshot};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::source::{Clock, Source};
use super::task::{Publisher, Task};
use super::wants::Wants;
use super::{Demand, Observer, Pace};

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) key: EndpointKey,
    pub(super) wants: Arc<Wants>,
    pub(super) rounds: watch::Receiver<Arc<Snapshot>>,
    pub(super) changes: watch::Receiver<Arc<Snapshot>>,
    clock: Clock,
    _task: AbortOnDropHandle<()>,
}

impl Hub {
    pub(super) fn start<S: Source>(
        source: S,
        key: EndpointKey,
        pace: Pace,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let wants = Arc::new(Wants::default());
        let (publisher, rounds, changes) = Publisher::new();
        let clock = source.clock();
        let task = Task::new(source, key.clone(), pace, observer);
        let running = tokio::spawn(task.run(Arc::clone(&wants), publisher));
        Self { key, wants, rounds, changes, clock, _task: AbortOnDropHandle::new(running) }
    }

    /// As [`Self::fresh_after`], but with what there is where work is not to be counted anew within `patience`.
    pub(super) async fn recent(
        &self,
        moment: Timestamp,
        demand: Demand,
        patience: Duration,
    ) -> Result<Arc<Snapshot>, Failure> {
        let snapshot = self.rounds.borrow().clone();
        let rests = self.wants.rests_until().is_some_and(|until| until > Instant::now() + patience);
        if demand == Demand::Usage && rests && is_fresh(&snapshot, Timestamp::MIN, demand) {
            if !is_fresh(&snapshot, moment, demand) {
                self.wants.poke(demand);
            }
            // What is registered rests for less, and is to be had unless this Restate is slow altogether.
            let _ = timeout(patience, self.fresh_after(moment, Demand::Registry)).await;
            return Ok(self.rounds.borrow().clone());
        }
        self.fresh_after(moment, demand).await
    }

    pub(super) async fn fresh_after(
        &self,
        moment: Timestamp,
        demand: Demand,
    ) -> Result<Arc<Snapshot>, Failure> {
        self.until(moment).await;
        let mut rounds = self.rounds.clone();
        loop {
            let snapshot = rounds.borrow_and_update().clone();
            if is_fresh(&snapshot, moment, demand) {
                return Ok(snapshot);
            }
            if let Some(failure) = snapshot.failure.clone().filter(|failure| failure.at > moment) {
                return Err(failure);
            }
            self.wants.poke(demand);
            if rounds.changed().await.is_err() {
                return Err(self.ended());
            }
        }
    }

    /// No question can start after a moment that is still to come.
    async fn until(&self, moment: Timestamp) {
        let ahead = moment.duration_since((self.clock)());
        tokio::time::sleep(Duration::try_from(ahead).unwrap_or_default()).await;
    }

    fn ended(&self) -> Failure {
        let message = "the poller of this Restate has ended".to_owned();
        Failure { at: (self.clock)(), kind: FailureKind::Unreachable, message }
    }
}

fn is_fresh(snapshot: &Snapshot, moment: Timestamp, demand: Demand) -> bool {
    let registry = snapshot.registry.as_ref().is_some_and(|reading| reading.is_newer_than(moment));
    let usage = || snapshot.usage.as_ref().is_some_and(|reading: &Reading<_>| reading.is_newer_than(moment));
    match demand {
        Demand::Registry => registry,
        Demand::Usage => registry && usage(),
    }
}
