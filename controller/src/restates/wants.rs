//! What one object wants to know, and when it is woken.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use restate_client::poller::Held;
use restate_client::{Demand, Subscription};
use restate_model::{EndpointKey, Snapshot};
use restate_plan::deployment::{Difference, Interest};
use tokio_util::task::AbortOnDropHandle;

use super::{State, lock};
use crate::watches::Wakers;

/// What one object wants to know.
#[derive(Debug)]
pub(super) struct Want {
    /// Of which Restate.
    pub(super) key: EndpointKey,
    question: Demand,
    interest: Interest,
    _held: Held,
    /// Until an answer to a question that was asked after this moment, every answer counts.
    since: Option<Timestamp>,
    /// Whether it waits for the next answer, also for one that says the same.
    waits: bool,
}

impl Want {
    /// What it wants now. Whoever begins to want something gets an answer soon; whoever goes on wanting it waits
    /// for the poller's own pace.
    pub(super) fn renewed(
        before: Option<Self>,
        key: &EndpointKey,
        subscription: &Subscription,
        question: Demand,
        interest: &Interest,
    ) -> Self {
        match before {
            Some(before) if before.key == *key && before.question == question => {
                before.interested(interest.clone())
            }
            Some(_) | None => {
                let held = subscription.demand(question);
                subscription.poke(question);
                Self {
                    key: key.clone(),
                    question,
                    interest: interest.clone(),
                    _held: held,
                    since: Some(Timestamp::now()),
                    waits: false,
                }
            }
        }
    }

    pub(super) fn waiting(self, waits: bool) -> Self {
        Self { waits, ..self }
    }

    /// An answer may have come while the object was interested in less.
    fn interested(self, interest: Interest) -> Self {
        let since = if self.interest == interest { self.since } else { Some(Timestamp::now()) };
        Self { interest, since, ..self }
    }

    /// Whether this answer is a reason to look at the object again.
    fn hears(&mut self, round: &Snapshot, difference: &Difference) -> bool {
        let begins = self.since.is_some();
        self.since.take_if(|since| is_asked_after(round, self.question, *since));
        begins || self.waits || round.failure.is_some() || difference.concerns(&self.interest)
    }
}

fn is_asked_after(round: &Snapshot, question: Demand, since: Timestamp) -> bool {
    let asked_at = match question {
        Demand::Registry => round.registry.as_ref().map(|reading| reading.asked_at),
        Demand::Usage => round.usage.as_ref().map(|reading| reading.asked_at),
    };
    asked_at.is_some_and(|asked_at| asked_at > since)
}

/// Wakes whoever this Restate's answers concern; on a failure everybody (what was said grows old), and after each
/// answer those that wait for one.
pub(super) fn wake(
    key: EndpointKey,
    subscription: &Subscription,
    state: &Arc<Mutex<State>>,
    wakers: &Arc<Wakers>,
) -> AbortOnDropHandle<()> {
    let mut rounds = subscription.rounds();
    let mut before = rounds.borrow_and_update().clone();
    let (state, wakers) = (Arc::downgrade(state), wakers.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        while rounds.changed().await.is_ok() {
            let round = rounds.borrow_and_update().clone();
            let difference = Difference::between(&before, &round);
            let Some(state) = state.upgrade() else { return };
            for (who, want) in lock(&state).wants.iter_mut().filter(|(_, want)| want.key == key) {
                if want.hears(&round, &difference) {
                    wakers.deployments.push(who.clone());
                }
            }
            before = round;
        }
    }))
}
