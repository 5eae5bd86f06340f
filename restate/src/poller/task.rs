//! The loop of one endpoint: wait until somebody wants something and it is due, ask, publish.
//!
//! Invariants: one question at a time. No reading is kept that was asked for later than now: where the clock was set
//! back, its moment would make it newer than what happened since. The registry is asked before usage in the same round, so that a round that
//! names a version as idle started from knowing where its services were routed.

use std::sync::Arc;

use jiff::Timestamp;
use restate_model::{EndpointKey, Failure, Reading, Registry, Snapshot};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::pace::{Ended, Exchange, Schedule};
use super::source::Source;
use super::wants::Wants;
use super::{Asked, Demand, Observer, Pace, Question};
use crate::admin::Error;

pub(super) struct Task<S> {
    source: S,
    key: EndpointKey,
    observer: Arc<dyn Observer>,
    schedule: Schedule,
    snapshot: Snapshot,
}

pub(super) struct Publisher {
    rounds: watch::Sender<Arc<Snapshot>>,
    changes: watch::Sender<Arc<Snapshot>>,
}

type Receiver = watch::Receiver<Arc<Snapshot>>;

impl Publisher {
    pub(super) fn new() -> (Self, Receiver, Receiver) {
        let (rounds, every_round) = watch::channel(Arc::default());
        let (changes, news) = watch::channel(Arc::default());
        (Self { rounds, changes }, every_round, news)
    }

    fn publish(&self, snapshot: &Snapshot, poked: bool) {
        let snapshot = Arc::new(snapshot.clone());
        let news = poked || !same_content(&self.changes.borrow(), &snapshot);
        self.rounds.send_replace(Arc::clone(&snapshot));
        if news {
            self.changes.send_replace(snapshot);
        }
    }
}

impl<S: Source> Task<S> {
    pub(super) fn new(source: S, key: EndpointKey, pace: Pace, observer: Arc<dyn Observer>) -> Self {
        Self { source, key, observer, schedule: Schedule::new(pace), snapshot: Snapshot::default() }
    }

    pub(super) async fn run(mut self, wants: Arc<Wants>, publisher: Publisher) {
        loop {
            let next = self.schedule.next(wants.now(), Instant::now());
            let Some((due, demand)) = next else {
                wants.changed().await;
                continue;
            };
            if due > Instant::now() {
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = wants.changed() => {}
                }
                continue;
            }
            let poked = wants.answer(demand);
            self.round(demand).await;
            wants.rest_until(self.schedule.usage_rests_until());
            publisher.publish(&self.snapshot, poked);
        }
    }

    async fn round(&mut self, demand: Demand) {
        let at = (self.source.clock())();
        let outcome = match demand {
            Demand::Registry => self.ask_registry().await,
            Demand::Usage => self.ask_both().await,
        };
        self.forget_the_future();
        self.snapshot.failure = outcome.err().map(|error| failure(at, &error));
        if self.snapshot.failure.is_none() {
            self.schedule.recovered();
        }
    }

    /// A question that failed is what is left of a reading whose moment has not come yet.
    fn forget_the_future(&mut self) {
        let now = (self.source.clock())();
        let Snapshot { registry, usage, failure: _ } = &mut self.snapshot;
        registry.take_if(|reading| reading.is_newer_than(now));
        usage.take_if(|reading| reading.is_newer_than(now));
    }

    async fn ask_both(&mut self) -> Result<(), Error> {
        if let Err(error) = self.ask_registry().await {
            self.schedule.skipped_usage();
            return Err(error);
        }
        let started = Instant::now();
        let answer = self.source.usage().await;
        self.note(
            Demand::Usage,
            started,
            ended(self.snapshot.usage.as_ref(), &answer),
            answer.as_ref().err(),
        );
        self.snapshot.usage = Some(answer?);
        Ok(())
    }

    async fn ask_registry(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let before = self.snapshot.registry.as_ref();
        // First of all: what is shared is equal at a glance, to all who compare it from here on.
        let answer = self.source.registry().await.map(|reading| match before {
            Some(before) => Reading { value: Registry::shared(reading.value, &before.value), ..reading },
            None => reading,
        });
        let ended = ended(before, &answer);
        self.note(Demand::Registry, started, ended, answer.as_ref().err());
        self.snapshot.registry = Some(answer?);
        Ok(())
    }

    fn note(&mut self, demand: Demand, started: Instant, ended: Ended, error: Option<&Error>) {
        let now = Instant::now();
        let took = now.duration_since(started);
        self.schedule.note(demand, ended, &Exchange { took, ended_at: now, chance: fastrand::f64() });
        let question = match demand {
            Demand::Registry => Question::Registry,
            Demand::Usage => Question::Usage,
        };
        self.observer.asked(&self.key, Asked { question, took, failed: error.map(Error::kind) });
        if let Some(error) = error {
            tracing::debug!(endpoint = %self.key, question = <&str>::from(question), error = error.words(), "no answer");
        }
    }
}

fn ended<T: PartialEq>(before: Option<&Reading<T>>, answer: &Result<Reading<T>, Error>) -> Ended {
    match answer {
        Err(_) => Ended::Failed,
        Ok(reading) if before.is_some_and(|before| before.value == reading.value) => Ended::Unchanged,
        Ok(_) => Ended::Changed,
    }
}

fn failure(at: Timestamp, error: &Error) -> Failure {
    Failure { at, kind: error.kind(), message: error.words() }
}

fn same_content(before: &Snapshot, after: &Snapshot) -> bool {
    let Snapshot { registry, usage, failure } = before;
    let kind = |failure: &Option<Failure>| failure.as_ref().map(|failure| failure.kind);
    same_value(registry.as_ref(), after.registry.as_ref())
        && same_value(usage.as_ref(), after.usage.as_ref())
        && kind(failure) == kind(&after.failure)
}

fn same_value<T: PartialEq>(before: Option<&Reading<T>>, after: Option<&Reading<T>>) -> bool {
    before.map(|reading| &reading.value) == after.map(|reading| &reading.value)
}
