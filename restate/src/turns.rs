//! How much is done at one Restate at the same time. Invariant: no more than so much at each; whoever comes first is
//! first, and nobody waits longer than it wants to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use restate_model::EndpointKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A turn; it lasts until it is dropped.
pub type Turn = OwnedSemaphorePermit;

/// So many turns for each Restate. Clones share them.
#[derive(Clone, Debug)]
pub struct Turns {
    at_once: usize,
    all: Arc<Mutex<HashMap<EndpointKey, Arc<Semaphore>>>>,
}

impl Turns {
    /// With so many turns each.
    pub fn of(at_once: usize) -> Self {
        Self { at_once, all: Arc::default() }
    }

    /// Waits in line, but no longer than that.
    pub async fn take(&self, restate: &EndpointKey, patience: Duration) -> Option<Turn> {
        tokio::time::timeout(patience, self.at(restate).acquire_owned()).await.ok()?.ok()
    }

    fn at(&self, restate: &EndpointKey) -> Arc<Semaphore> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody has or waits for are let go.
        all.retain(|key, turns| key == restate || Arc::strong_count(turns) > 1);
        let turns = all.entry(restate.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.at_once)));
        Arc::clone(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_and_restate() {
        let turns = Turns::of(1);
        let (a, b) = (EndpointKey::from("http://a"), EndpointKey::from("http://b"));
        let first = turns.take(&a, PATIENCE).await.unwrap();
        let _other = turns.take(&b, PATIENCE).await.unwrap();
        assert!(turns.take(&a, PATIENCE).await.is_none(), "nobody waits for ever");
        drop(first);
        assert!(turns.take(&a, PATIENCE).await.is_some());
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_restate_at_which_nothing_is_done() {
        let turns = Turns::of(1);
        for number in 0..5 {
            let restate = EndpointKey::from(format!("http://{number}").as_str());
            drop(turns.take(&restate, PATIENCE).await.unwrap());
        }
        assert_eq!(turns.all.lock().unwrap().len(), 1);
    }
}
