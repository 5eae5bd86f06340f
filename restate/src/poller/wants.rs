//! Who wants what, right now. Invariants: a poke that arrives while a question is under way is not answered by it;
//! one for the registry does not wait for usage to have rested.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Demand;

#[derive(Debug, Default)]
pub(super) struct Wants {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    registry: usize,
    usage: usize,
    urgent: Urgent,
    /// Usage is not asked for before this moment, whoever wants it.
    rests_until: Option<Instant>,
}

/// What was poked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Urgent {
    pub(super) registry: bool,
    pub(super) usage: bool,
}

/// What is wanted at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Want {
    /// At the poller's pace.
    pub(super) standing: Option<Demand>,
    /// Soon.
    pub(super) urgent: Urgent,
}

impl Wants {
    pub(super) fn hold(&self, demand: Demand) {
        let mut state = self.state();
        match demand {
            Demand::Registry => state.registry += 1,
            Demand::Usage => state.usage += 1,
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn release(&self, demand: Demand) {
        let mut state = self.state();
        match demand {
            Demand::Registry => state.registry -= 1,
            Demand::Usage => state.usage -= 1,
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn poke(&self, demand: Demand) {
        let mut state = self.state();
        let Urgent { registry, usage } = &mut state.urgent;
        let urgent = match demand {
            Demand::Registry => registry,
            Demand::Usage => usage,
        };
        let is_new = !std::mem::replace(urgent, true);
        drop(state);
        if is_new {
            self.changed.notify_one();
        }
    }

    pub(super) fn rest_until(&self, moment: Option<Instant>) {
        self.state().rests_until = moment;
    }

    /// Until when nobody is answered anew, if that is still to come.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.state().rests_until.filter(|moment| *moment > Instant::now())
    }

    pub(super) fn now(&self) -> Want {
        let state = self.state();
        let standing = match (state.registry, state.usage) {
            (0, 0) => None,
            (_, 0) => Some(Demand::Registry),
            (_, _) => Some(Demand::Usage),
        };
        Want { standing, urgent: state.urgent }
    }

    /// A round of this kind starts now: it answers the pokes so far that it covers. Says whether there were any.
    pub(super) fn answer(&self, round: Demand) -> bool {
        let mut state = self.state();
        let Urgent { registry, usage } = state.urgent;
        let covers_usage = round == Demand::Usage;
        state.urgent = Urgent { registry: false, usage: usage && !covers_usage };
        registry || (usage && covers_usage)
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
