//! States of lists that somebody has begun to read in portions: few, and for a while (R12).
//!
//! Invariant: what nobody asks for is let go all the same, so that no list of long ago is memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::store::State;

/// So many at most, the youngest.
const AT_MOST: usize = 4;
/// So long each, from its first portion: as long as etcd keeps what kube-apiserver continues.
pub(super) const KEPT_FOR: Duration = Duration::from_mins(5);

/// Oldest first. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<States>>);

/// Each with the moment of its first portion.
type States = VecDeque<(Instant, Arc<State>)>;

impl Kept {
    /// Keeps a state, unless it is kept already.
    pub(super) fn keep(&self, state: &Arc<State>) {
        let now = Instant::now();
        let mut kept = self.young(now);
        if kept.iter().any(|(_, old)| old.version == state.version) {
            return;
        }
        kept.push_back((now, Arc::clone(state)));
        if kept.len() > AT_MOST {
            kept.pop_front();
        }
        self.let_go_at(now + KEPT_FOR);
    }

    /// The state of this version, if it is kept still.
    pub(super) fn find(&self, version: u64) -> Option<Arc<State>> {
        let kept = self.young(Instant::now());
        kept.iter().map(|(_, state)| state).find(|state| state.version == version).cloned()
    }

    fn young(&self, now: Instant) -> MutexGuard<'_, States> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(since, _)| now.duration_since(*since) < KEPT_FOR);
        kept
    }

    /// Whether or not anybody comes back.
    fn let_go_at(&self, moment: Instant) {
        let held = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            sleep_until(moment).await;
            if let Some(kept) = held.upgrade() {
                drop(Self(kept).young(Instant::now()));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(version: u64) -> Arc<State> {
        Arc::new(State { version, ..State::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn r12_a_list_that_nobody_continues_is_let_go() {
        let (kept, state) = (Kept::default(), state(1));
        kept.keep(&state);
        tokio::time::sleep(KEPT_FOR.mul_f64(0.99)).await;
        assert!(kept.find(1).is_some());
        kept.keep(&state);
        tokio::time::sleep(KEPT_FOR.mul_f64(0.02)).await;
        assert_eq!(Arc::strong_count(&state), 1, "without a read, and not longer for having been read");
        assert!(kept.find(1).is_none());
    }

    #[tokio::test]
    async fn r12_few_are_kept() {
        let kept = Kept::default();
        (1..=5).for_each(|version| kept.keep(&state(version)));
        let found: Vec<_> = (1..=5).filter(|version| kept.find(*version).is_some()).collect();
        assert_eq!(found, [2, 3, 4, 5]);
    }
}
