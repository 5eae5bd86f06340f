//! Every Restate that stored objects name: one poller each, on behalf of all who want to know something; and the
//! calls that steps make.
//!
//! Stage in the flow: beside the watches, before gather; and under execute. Invariants: a Restate is asked only
//! while an object wants an answer; an object is woken only by answers that it wants. Not for deciding what an
//! answer means.

mod calls;
mod nodes;
mod standing;
mod wants;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use restate_client::poller::{Asked, Observer, Pace, Question};
use restate_client::turns::Turn;
use restate_client::{Endpoint, Policy, Pollers, Subscription, Transport, Turns};
use restate_crd::RestateDeployment;
use restate_model::{EndpointKey, Failure, FailureKind, Snapshot};
use restate_plan::deployment::{Demand, Next};
use restate_plan::{Admin, LookAgain, Outcome};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use calls::Error;

use crate::runtime::metrics::Metrics;
use crate::watches::Wakers;
use wants::{Ear, Want};

/// How many changes of one Restate's registry are under way at the same time. Restate keeps it as one value, which each
/// change reads, and writes back if nobody was faster: many at once wear out its tries and its processor, and none gets
/// through.
const CHANGES: usize = 1;

/// Who wants to know something of a Restate.
pub(crate) type Wanting = ObjectRef<RestateDeployment>;

/// Every Restate that stored objects name.
#[derive(Debug)]
pub(crate) struct Restates {
    transport: Transport,
    policy: Policy,
    pollers: Pollers,
    wakers: Arc<Wakers>,
    state: Arc<Mutex<State>>,
    turns: Turns,
}

#[derive(Debug, Default)]
struct State {
    followed: HashMap<EndpointKey, Followed>,
    wants: HashMap<Wanting, Want>,
}

/// One Restate that somebody wants to know something of.
#[derive(Debug)]
struct Followed {
    subscription: Subscription,
    /// Wakes who wants to know; ends with the last of them.
    _waker: AbortOnDropHandle<()>,
}

impl Restates {
    /// Nothing is asked yet.
    pub(crate) fn new(
        transport: Transport,
        policy: Policy,
        metrics: Arc<Metrics>,
        wakers: Arc<Wakers>,
    ) -> Self {
        let pollers = Pollers::new(&transport, Pace::default(), Arc::new(Queries(metrics)));
        Self { transport, policy, pollers, wakers, state: Arc::default(), turns: Turns::of(CHANGES) }
    }

    /// The newest answers of this Restate, where anybody asked. One that must not be asked has failed to answer.
    pub(crate) fn snapshot(&self, admin: &Admin) -> Option<Arc<Snapshot>> {
        if let Some(followed) = self.state().followed.get(&admin.key) {
            return Some(followed.subscription.snapshot());
        }
        let error = Endpoint::new(&admin.url, &self.policy).err()?;
        let failure =
            Failure { at: Timestamp::now(), kind: FailureKind::Unreachable, message: error.to_string() };
        Some(Arc::new(Snapshot { failure: Some(failure), ..Snapshot::default() }))
    }

    /// From now on, `who` wants this, and no longer what it wanted before. It was decided on what was `known`.
    pub(crate) fn demand(
        &self,
        who: &Wanting,
        wanted: &Demand,
        outcome: &Outcome,
        known: Option<Arc<Snapshot>>,
    ) {
        let Demand { admin, registry, usage, next, interest } = wanted;
        let question = match (usage, registry) {
            (true, _) => Some(restate_client::Demand::Usage),
            (false, true) => Some(restate_client::Demand::Registry),
            (false, false) => None,
        };
        let (Some(admin), Some(question)) = (admin, question) else { return self.forget(who) };
        // Under one lock, from the subscription to the want that keeps it: whoever tidies up in between would take away
        // what wakes us.
        let mut state = self.state();
        let before = state.wants.remove(who);
        let Some(subscription) = self.follow(&mut state, admin) else { return state.tidy() };
        // A moment to come is no reason to miss an answer before it.
        let next = match outcome {
            Outcome::Waiting { look_again: LookAgain::OnSnapshot | LookAgain::At(_), .. } => *next,
            Outcome::Waiting { look_again: LookAgain::OnChange | LookAgain::After(_), .. }
            | Outcome::Settled => Next::News,
        };
        let ear = Ear { interest: interest.clone(), next, known: known.unwrap_or_default() };
        let mut want = Want::renewed(before, &admin.key, &subscription, question, ear);
        if want.ear.hears_at_once(&subscription.snapshot()) {
            self.wakers.deployments.push(who.clone());
        }
        state.wants.insert(who.clone(), want);
        state.tidy();
    }

    /// `who` wants nothing any more.
    pub(crate) fn forget(&self, who: &Wanting) {
        let mut state = self.state();
        if state.wants.remove(who).is_some() {
            state.tidy();
        }
    }

    /// Waits until it is our turn to change this Restate's registry, but no longer than that.
    pub(crate) async fn turn(&self, admin: &Admin, patience: Duration) -> Option<Turn> {
        self.turns.take(&admin.key, patience).await
    }

    /// Something was changed at this Restate: whoever wants to know should hear of it soon.
    pub(crate) fn look_now(&self, admin: &Admin) {
        if let Some(followed) = self.state().followed.get(&admin.key) {
            followed.subscription.poke(restate_client::Demand::Registry);
        }
    }

    fn follow(&self, state: &mut State, admin: &Admin) -> Option<Subscription> {
        if let Some(followed) = state.followed.get(&admin.key) {
            return Some(followed.subscription.clone());
        }
        let endpoint = match Endpoint::new(&admin.url, &self.policy) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                tracing::warn!(endpoint = %admin.key, %error, "this Restate cannot be asked");
                return None;
            }
        };
        let subscription = self.pollers.subscribe(&endpoint);
        let waker = wants::wake(admin.key.clone(), &subscription, &self.state, &self.wakers);
        let followed = Followed { subscription: subscription.clone(), _waker: waker };
        state.followed.insert(admin.key.clone(), followed);
        Some(subscription)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Nobody is followed for whom nobody asks.
    fn tidy(&mut self) {
        let wants = &self.wants;
        self.followed.retain(|key, _| wants.values().any(|want| want.key == *key));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the questions.
struct Queries(Arc<Metrics>);

impl Observer for Queries {
    fn asked(&self, _: &EndpointKey, asked: Asked) {
        let Asked { question, took: _, failed } = asked;
        if question == Question::Usage || failed.is_some() {
            tracing::debug!(question = <&'static str>::from(question), ?failed, "asked");
        }
        self.0.asked_restate(question.into(), failed.is_none());
    }
}

#[cfg(test)]
mod tests;
