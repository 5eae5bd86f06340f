//! How many questions of people one Restate is asked at once: a namespace that asks much must not slow down others,
//! nor Restate itself (T5).

use std::time::Duration;

use apiserver_machinery::status::Status;
use restate_client::Turns;
pub(crate) use restate_client::turns::Turn;
use restate_model::EndpointKey;

/// Each may walk a whole table.
const AT_ONCE: usize = 4;
/// What is passed on to one Restate at once: a page of its web UI asks for dozens of files, and streams last.
const PASSED_ON_AT_ONCE: usize = 64;
/// Most questions take milliseconds; who waits longer is told to come again.
const PATIENCE: Duration = Duration::from_secs(3);

/// One turnstile before each Restate. Clones share them.
#[derive(Clone)]
pub(crate) struct Turnstiles(Turns);

impl Default for Turnstiles {
    fn default() -> Self {
        Self::of(AT_ONCE)
    }
}

impl Turnstiles {
    /// For what is passed on as it is.
    pub(crate) fn wide() -> Self {
        Self::of(PASSED_ON_AT_ONCE)
    }

    /// With so many turns each.
    pub(crate) fn of(at_once: usize) -> Self {
        Self(Turns::of(at_once))
    }

    /// Waits for a turn, which lasts until what is given is dropped; 429 where there is none in time.
    pub(crate) async fn turn(&self, restate: &EndpointKey) -> Result<Turn, Status> {
        let turn = self.0.take(restate, PATIENCE).await;
        turn.ok_or_else(|| Status::too_many_requests("this Restate is being asked too much at once", 1))
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
