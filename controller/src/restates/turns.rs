//! Whose turn it is to change a Restate's registry. Invariant: one change at a time and Restate. Restate keeps the
//! registry as one value, which each change reads, and writes back if nobody was faster: many at once wear out its tries
//! and its processor, and none gets through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use restate_model::EndpointKey;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// The turn, until it is dropped.
pub(crate) type Taken = OwnedMutexGuard<()>;

/// One turn for each Restate.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<EndpointKey, Arc<Turn<()>>>>);

impl Turns {
    /// Waits in line, but no longer than that.
    pub(super) async fn take(&self, restate: &EndpointKey, patience: Duration) -> Option<Taken> {
        tokio::time::timeout(patience, self.of(restate).lock_owned()).await.ok()
    }

    fn of(&self, restate: &EndpointKey) -> Arc<Turn<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody has or waits for are let go.
        turns.retain(|key, turn| key == restate || Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(restate.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_and_restate() {
        let turns = Turns::default();
        let (a, b) = (EndpointKey::from("http://a"), EndpointKey::from("http://b"));
        let first = turns.take(&a, PATIENCE).await.unwrap();
        let _other = turns.take(&b, PATIENCE).await.unwrap();
        assert!(turns.take(&a, PATIENCE).await.is_none(), "nobody waits for ever");
        drop(first);
        assert!(turns.take(&a, PATIENCE).await.is_some());
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_restate_that_nobody_changes() {
        let turns = Turns::default();
        for number in 0..5 {
            turns.take(&EndpointKey::from(format!("http://{number}").as_str()), PATIENCE).await.unwrap();
        }
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }
}
