//! What one object wants to know, and when it is woken.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use restate_client::poller::Held;
use restate_client::{Demand, Subscription};
use restate_model::{EndpointKey, Reading, Snapshot};
use restate_plan::deployment::{Difference, Interest, MAX_AGE, Next};
use tokio_util::task::AbortOnDropHandle;

use super::{State, lock};
use crate::watches::Wakers;

/// What one object wants to know.
#[derive(Debug)]
pub(super) struct Want {
    /// Of which Restate.
    pub(super) key: EndpointKey,
    question: Demand,
    _held: Held,
    pub(super) ear: Ear,
}

/// Which answers are a reason to look at the object again.
#[derive(Debug)]
pub(super) struct Ear {
    /// Which of those that say something else.
    pub(super) interest: Interest,
    /// Which of those that say the same.
    pub(super) next: Next,
    /// What was known when the object was decided on, and whatever of later answers did not concern it.
    pub(super) known: Arc<Snapshot>,
}

impl Want {
    /// What it wants now. Whoever begins to want something gets an answer soon; whoever goes on wanting it waits
    /// for the poller's own pace.
    pub(super) fn renewed(
        before: Option<Self>,
        key: &EndpointKey,
        subscription: &Subscription,
        question: Demand,
        ear: Ear,
    ) -> Self {
        match before {
            Some(before) if before.key == *key && before.question == question => Self { ear, ..before },
            Some(_) | None => {
                let held = subscription.demand(question);
                subscription.poke(question);
                Self { key: key.clone(), question, _held: held, ear }
            }
        }
    }
}

impl Ear {
    /// Whether an answer that came while the object was decided on is one.
    pub(super) fn hears_at_once(&mut self, newest: &Arc<Snapshot>) -> bool {
        !Arc::ptr_eq(&self.known, newest) && self.hears(&mut Round::new(newest.clone()))
    }

    /// Whether this answer is a reason to look at the object again.
    pub(super) fn hears(&mut self, round: &mut Round) -> bool {
        let known = std::mem::replace(&mut self.known, round.now.clone());
        let counts = match self.next {
            Next::News => false,
            Next::Usage => moment(known.usage.as_ref()) != moment(round.now.usage.as_ref()),
            Next::Registry => moment(known.registry.as_ref()) != moment(round.now.registry.as_ref()),
        };
        let fails =
            round.now.failure.as_ref().is_some_and(|failure| {
                self.next != Next::News || round.now.is_older_than(MAX_AGE, failure.at)
            });
        counts || fails || round.since(&known).concerns(&self.interest)
    }
}

fn moment<T>(reading: Option<&Reading<T>>) -> Option<Timestamp> {
    reading.map(|reading| reading.asked_at)
}

/// The newest answers, and what they say otherwise than those that objects knew. There are few of those, as whoever was
/// not concerned knows the newest.
#[derive(Debug)]
pub(super) struct Round {
    now: Arc<Snapshot>,
    differences: Vec<(Arc<Snapshot>, Difference)>,
}

impl Round {
    pub(super) fn new(now: Arc<Snapshot>) -> Self {
        Self { now, differences: Vec::new() }
    }

    fn since(&mut self, known: &Arc<Snapshot>) -> &Difference {
        let found = self.differences.iter().position(|(of, _)| Arc::ptr_eq(of, known));
        let index = found.unwrap_or_else(|| {
            self.differences.push((known.clone(), Difference::between(known, &self.now)));
            self.differences.len() - 1
        });
        &self.differences[index].1
    }
}

/// Wakes whoever this Restate's answers concern: everybody when it begins or ceases to answer, and after each answer or
/// failure those that wait for one; on a failure also everybody for whom what was said has grown old.
pub(super) fn wake(
    key: EndpointKey,
    subscription: &Subscription,
    state: &Arc<Mutex<State>>,
    wakers: &Arc<Wakers>,
) -> AbortOnDropHandle<()> {
    let mut rounds = subscription.rounds();
    let (state, wakers) = (Arc::downgrade(state), wakers.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        while rounds.changed().await.is_ok() {
            let mut round = Round::new(rounds.borrow_and_update().clone());
            let Some(state) = state.upgrade() else { return };
            for (who, want) in lock(&state).wants.iter_mut().filter(|(_, want)| want.key == key) {
                if want.ear.hears(&mut round) {
                    tracing::debug!(object = %who, next = ?want.ear.next, "an answer wakes it");
                    wakers.deployments.push(who.clone());
                }
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use restate_model::{Failure, FailureKind, UsageReport};
    use rstest::rstest;

    use super::*;

    fn said(registry: i64, usage: Option<i64>) -> Arc<Snapshot> {
        let at = |second| Timestamp::constant(second, 0);
        Arc::new(Snapshot {
            registry: Some(Reading { asked_at: at(registry), value: Arc::default() }),
            usage: usage.map(|usage| Reading { asked_at: at(usage), value: UsageReport::default() }),
            failure: None,
        })
    }

    fn ear(next: Next, known: Arc<Snapshot>) -> Ear {
        Ear { interest: Interest::default(), next, known }
    }

    /// users.md 2b (op#138): a query of a second rests for fifty, in which the registry is read ten times.
    #[rstest]
    #[case::of_the_other_question(Next::Usage, said(15, Some(10)), false)]
    #[case::of_the_question(Next::Usage, said(15, Some(15)), true)]
    #[case::both(Next::Registry, said(15, Some(15)), true)]
    #[case::routing(Next::Registry, said(15, Some(10)), true)]
    #[case::again(Next::Registry, said(10, Some(10)), false)]
    #[case::nobody_waits(Next::News, said(15, Some(15)), false)]
    #[case::it_ceases_to_be_known(Next::News, said(15, None), true)]
    fn the_same_answer_wakes_whom_it_counts_for(
        #[case] next: Next,
        #[case] round: Arc<Snapshot>,
        #[case] wakes: bool,
    ) {
        let mut ear = ear(next, said(10, Some(10)));
        assert_eq!(ear.hears(&mut Round::new(round)), wakes);
    }

    #[test]
    fn what_was_heard_once_is_known() {
        let mut ear = ear(Next::News, Arc::default());
        assert!(ear.hears(&mut Round::new(said(10, None))), "it begins to answer");
        assert!(!ear.hears(&mut Round::new(said(15, None))));
    }

    #[rstest]
    #[case::nobody_waits(Next::News, [11, 12], [true, false])]
    #[case::what_was_said_is_old(Next::News, [700, 760], [true, true])]
    #[case::an_answer_is_waited_for(Next::Registry, [11, 12], [true, true])]
    fn a_failure_wakes_everybody_once_and_who_waits_each_time(
        #[case] next: Next,
        #[case] seconds: [i64; 2],
        #[case] wakes: [bool; 2],
    ) {
        let mut ear = ear(next, said(10, None));
        let heard = seconds.map(|second| {
            let failure = Failure {
                at: Timestamp::constant(second, 0),
                kind: FailureKind::TimedOut,
                message: String::new(),
            };
            let failed = Snapshot { failure: Some(failure), ..Snapshot::clone(&said(10, None)) };
            ear.hears(&mut Round::new(Arc::new(failed)))
        });
        assert_eq!(heard, wakes);
    }
}
