//! When to ask next. Plain arithmetic on instants: no task, no client.
//!
//! Invariant: after a good answer that took `t`, the same question is not asked again before it has rested so long
//! that it takes at most its duty of the time, whoever asks for it. After a failure it rests, too.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::Demand;
use super::wants::Want;

/// How often a poller asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The shortest interval, while answers change.
    pub floor: Duration,
    /// The longest interval that grows from unchanged answers.
    pub ceiling: Duration,
    /// The share of time that usage queries may take of Restate.
    pub usage_duty: f64,
    /// The share of time that reading the registry may take; it is cheap, and rollouts wait for it.
    pub registry_duty: f64,
}

impl Default for Pace {
    /// Removal follows the end of work within seconds, at no more than 2 % of Restate's time.
    fn default() -> Self {
        Self {
            floor: Duration::from_secs(1),
            ceiling: Duration::from_secs(5),
            usage_duty: 0.02,
            registry_duty: 0.2,
        }
    }
}

/// Growth of the interval while nothing changes.
const GROWTH: f64 = 1.5;
/// Spreads the pollers of many processes.
const JITTER: f64 = 0.2;
/// First and longest pause after failures.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A failed question rests three times as long as it took, at most so long: a hanging Restate is spared, and one
/// that is back is found within a minute.
const FAILED_REST: Duration = Duration::from_mins(1);

/// One question's past.
#[derive(Clone, Copy, Debug)]
struct Lane {
    /// Not before, whoever asks.
    rested: Instant,
    /// Not before, at the poller's own pace.
    due: Instant,
    interval: Duration,
}

/// When which question is due.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    registry: Option<Lane>,
    usage: Option<Lane>,
    retry: Option<ExponentialBackoff>,
}

/// One question's way there and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) took: Duration,
    pub(super) ended_at: Instant,
    /// In 0..1: spreads the next one.
    pub(super) chance: f64,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Changed,
    Unchanged,
    Failed,
}

impl Schedule {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, registry: None, usage: None, retry: None }
    }

    /// The next round: when, and what. `None` while nobody wants anything.
    pub(super) fn next(&self, want: Want, now: Instant) -> Option<(Instant, Demand)> {
        let Want { standing, urgent } = want;
        let at = |demand, soon| (self.due(demand, soon, now), demand);
        let rounds = [
            urgent.usage.then(|| at(Demand::Usage, true)),
            urgent.registry.then(|| at(Demand::Registry, true)),
            standing.filter(|kind| *kind == Demand::Usage).map(|kind| at(kind, false)),
            standing.map(|_| at(Demand::Registry, false)),
        ];
        rounds.into_iter().flatten().min_by_key(|(due, demand)| (*due, std::cmp::Reverse(*demand)))
    }

    /// Until when usage rests after the last question, whoever asks.
    pub(super) fn usage_rests_until(&self) -> Option<Instant> {
        self.usage.map(|lane| lane.rested)
    }

    /// Notes how a question ended.
    pub(super) fn note(&mut self, question: Demand, ended: Ended, exchange: &Exchange) {
        let lane = match ended {
            Ended::Failed => self.failed(question, exchange),
            Ended::Changed | Ended::Unchanged => self.answered(question, ended, exchange),
        };
        *self.lane_mut(question) = Some(lane);
    }

    /// A whole round was good: failures are forgotten.
    pub(super) fn recovered(&mut self) {
        self.retry = None;
    }

    /// The registry could not be read, so usage was not asked: it waits as long as the registry does.
    pub(super) fn skipped_usage(&mut self) {
        let Some(registry) = self.registry else { return };
        let usage = self.usage.unwrap_or(registry);
        let later =
            Lane { rested: usage.rested.max(registry.rested), due: usage.due.max(registry.due), ..usage };
        self.usage = Some(later);
    }

    fn answered(&self, question: Demand, ended: Ended, exchange: &Exchange) -> Lane {
        let Exchange { took, ended_at, chance } = *exchange;
        let Pace { floor, ceiling, usage_duty, registry_duty } = self.pace;
        let duty = match question {
            Demand::Registry => registry_duty,
            Demand::Usage => usage_duty,
        };
        let before = self.lane(question).map_or(floor, |lane| lane.interval);
        let interval = match ended {
            Ended::Changed | Ended::Failed => floor,
            Ended::Unchanged => before.mul_f64(GROWTH).clamp(floor, ceiling.max(floor)),
        };
        let rested = ended_at + took.mul_f64(1.0 / duty - 1.0);
        let due = rested.max(ended_at + interval.mul_f64(1.0 + JITTER * chance));
        Lane { rested, due, interval }
    }

    fn failed(&mut self, question: Demand, exchange: &Exchange) -> Lane {
        let Exchange { took, ended_at, chance: _ } = *exchange;
        let (shortest, longest) = RETRY;
        let interval = self.lane(question).map_or(self.pace.floor, |lane| lane.interval);
        let pause = self.retry.get_or_insert_with(backoff).next().unwrap_or(longest);
        let rest = shortest.max(took * 3).min(FAILED_REST);
        Lane { rested: ended_at + rest, due: ended_at + rest.max(pause), interval }
    }

    fn due(&self, demand: Demand, soon: bool, now: Instant) -> Instant {
        self.lane(demand).map_or(now, |lane| if soon { lane.rested } else { lane.due }).max(now)
    }

    fn lane(&self, demand: Demand) -> Option<Lane> {
        match demand {
            Demand::Registry => self.registry,
            Demand::Usage => self.usage,
        }
    }

    fn lane_mut(&mut self, demand: Demand) -> &mut Option<Lane> {
        match demand {
            Demand::Registry => &mut self.registry,
            Demand::Usage => &mut self.usage,
        }
    }
}

fn backoff() -> ExponentialBackoff {
    let (shortest, longest) = RETRY;
    ExponentialBuilder::default()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests;
