//! What one object wants to know, and when it is woken.

use std::sync::{Arc, Mutex};

use restate_client::poller::Held;
use restate_client::{Demand, Subscription};
use restate_model::EndpointKey;
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
    /// Whether it waits for the next answer, also for one that says the same.
    waits: bool,
}

impl Want {
    /// What it wants now. Whoever begins to want something gets an answer soon; whoever goes on wanting it waits
    /// for the poller's own pace.
    pub(super) fn renewed(
        before: Option<Self>,
        key: EndpointKey,
        subscription: &Subscription,
        question: Demand,
        waits: bool,
    ) -> Self {
        match before {
            Some(before) if before.key == key && before.question == question => Self { waits, ..before },
            Some(_) | None => {
                let held = subscription.demand(question);
                subscription.poke(question);
                Self { key, question, _held: held, waits }
            }
        }
    }
}

/// Wakes whoever wants to know what this Restate says: on news and failures everybody (what was said grows old), after
/// each answer those that wait for it.
pub(super) fn wake(
    key: EndpointKey,
    subscription: &Subscription,
    state: &Arc<Mutex<State>>,
    wakers: &Arc<Wakers>,
) -> AbortOnDropHandle<()> {
    let (mut rounds, mut changes) = (subscription.rounds(), subscription.changes());
    let (state, wakers) = (Arc::downgrade(state), wakers.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let news = tokio::select! {
                biased;
                told = changes.changed() => told.map(|()| true),
                told = rounds.changed() => told.map(|()| false),
            };
            let (Ok(news), Some(state)) = (news, state.upgrade()) else { return };
            let news = news || rounds.borrow().failure.is_some();
            let state = lock(&state);
            let concerned = state.wants.iter().filter(|(_, want)| want.key == key && (news || want.waits));
            concerned.for_each(|(who, _)| wakers.deployments.push(who.clone()));
        }
    }))
}
