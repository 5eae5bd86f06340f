//! The stages of a graceful stop (T9), seen by those who hold requests open.
//!
//! The order: readiness fails, requests are served for a delay, nothing new is accepted, connections say GOAWAY,
//! short requests end, long ones are ended one after the other over a spread of time, the rest is cut.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Handle in the extensions of each request: tells a stream when its turn to end has come (W21).
#[derive(Clone, Debug)]
pub struct Draining {
    begun: CancellationToken,
    spread: Duration,
}

/// How long each stage lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// Serving goes on while readiness already fails: time for endpoints to be withdrawn.
    pub delay: Duration,
    /// Streams end over this time, not all at once.
    pub spread: Duration,
    /// After this, counted from the end of the delay, what is still open is cut.
    pub drain: Duration,
}

impl Default for Grace {
    fn default() -> Self {
        // kube-proxy and the aggregator need about 10 s to see that an endpoint is gone; unary requests last 60 s.
        Self {
            delay: Duration::from_secs(12),
            spread: Duration::from_secs(10),
            drain: Duration::from_mins(1),
        }
    }
}

impl Draining {
    /// A handle whose streams end over `spread` once `begun` is cancelled.
    pub fn new(begun: CancellationToken, spread: Duration) -> Self {
        Self { begun, spread }
    }

    /// A handle that never asks anybody to end.
    pub fn never() -> Self {
        Self::new(CancellationToken::new(), Duration::ZERO)
    }

    /// Whether the server has stopped accepting connections.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Completes when the stream that awaits it should end. Each caller gets a moment of its own within the spread,
    /// so that clients do not all come back to another replica in the same instant.
    pub async fn turn_to_end(&self) {
        self.begun.cancelled().await;
        tokio::time::sleep(self.spread.mul_f64(random_share())).await;
    }
}

/// A number in `[0, 1)`. Each `RandomState` is keyed anew.
pub(crate) fn random_share() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn w21_streams_end_within_the_spread_and_not_at_once() {
        let begun = CancellationToken::new();
        let draining = Draining::new(begun.clone(), Duration::from_secs(10));
        let start = tokio::time::Instant::now();
        begun.cancel();
        let mut ends = Vec::new();
        for ended in futures::future::join_all((0..32).map(|_| async {
            draining.turn_to_end().await;
            start.elapsed()
        }))
        .await
        {
            assert!(ended <= Duration::from_secs(11), "{ended:?}");
            ends.push(ended.as_millis());
        }
        ends.sort_unstable();
        ends.dedup();
        assert!(ends.len() > 16, "the moments differ: {ends:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_ends_before_the_drain() {
        let draining = Draining::never();
        assert!(tokio::time::timeout(Duration::from_hours(1), draining.turn_to_end()).await.is_err());
    }
}
