//! How many questions of people one Restate is asked at once: a namespace that asks much must not slow down others,
//! nor Restate itself (T5).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apiserver_machinery::status::Status;
use restate_model::EndpointKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Each may walk a whole table.
const AT_ONCE: usize = 4;
/// Most questions take milliseconds; who waits longer is told to come again.
const PATIENCE: Duration = Duration::from_secs(3);

/// One turnstile before each Restate. Clones share them.
#[derive(Clone)]
pub(crate) struct Turnstiles {
    at_once: usize,
    turns: Arc<Mutex<HashMap<EndpointKey, Arc<Semaphore>>>>,
}

impl Default for Turnstiles {
    fn default() -> Self {
        Self::of(AT_ONCE)
    }
}

impl Turnstiles {
    /// Turnstiles that let so many through at once.
    pub(crate) fn of(at_once: usize) -> Self {
        Self { at_once, turns: Arc::default() }
    }

    /// Waits for a turn, which lasts until what is given is dropped; 429 where there is none in time.
    pub(crate) async fn turn(&self, restate: &EndpointKey) -> Result<OwnedSemaphorePermit, Status> {
        let turns = {
            let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(restate.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.at_once))))
        };
        match tokio::time::timeout(PATIENCE, turns.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => {
                Err(Status::too_many_requests("this Restate is being asked too much at once", 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn t5_one_restate_is_asked_only_so_much_at_once() {
        let (turnstiles, busy, other) = (Turnstiles::default(), "http://a/".into(), "http://b/".into());
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(turnstiles.turn(&busy).await.unwrap());
        }
        assert_eq!(turnstiles.turn(&busy).await.unwrap_err().code().as_u16(), 429);
        assert!(turnstiles.turn(&other).await.is_ok(), "another Restate has turns of its own");
        turns.pop();
        assert!(turnstiles.clone().turn(&busy).await.is_ok());
    }
}
