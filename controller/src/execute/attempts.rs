//! How often a registration is tried: each version has pauses of its own, which grow while Restate fails it. What
//! wakes its object meanwhile does not shorten them: a try costs Restate seconds.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use moka::sync::Cache;
use tokio::time::Instant;

/// The first pause: a new version's network rules often come a moment later than its pods.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// What was not tried for so long begins anew.
const FORGOTTEN: Duration = Duration::from_mins(10);
/// How many versions are remembered; beyond that some are tried sooner.
const REMEMBERED: u64 = 10_000;

/// Versions that Restate failed to register lately.
#[derive(Clone)]
pub(crate) struct Attempts(Cache<String, Arc<Mutex<Failed>>>);

struct Failed {
    pauses: ExponentialBackoff,
    until: Instant,
    words: String,
}

impl Default for Attempts {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(REMEMBERED).time_to_idle(FORGOTTEN).build())
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Attempts: {} failed", self.0.entry_count())
    }
}

impl Attempts {
    /// How long this version has to rest, and the words of its last failure.
    pub(super) fn rest(&self, version: &str) -> Option<(Duration, String)> {
        let failed = self.0.get(version)?;
        let failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = failed.until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())?;
        Some((rest, failed.words.clone()))
    }

    /// It failed. Gives the pause until it may be tried again.
    pub(super) fn failed(&self, version: &str, words: &str) -> Duration {
        let first = || {
            let growing = ExponentialBuilder::default().with_min_delay(FIRST).with_max_delay(LONGEST);
            let pauses = growing.with_jitter().without_max_times().build();
            Arc::new(Mutex::new(Failed { pauses, until: Instant::now(), words: String::new() }))
        };
        let failed = self.0.get_with_by_ref(version, first);
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = failed.pauses.next().unwrap_or(LONGEST);
        failed.until = Instant::now() + pause;
        words.clone_into(&mut failed.words);
        pause
    }

    /// It succeeded, or will not be tried again.
    pub(super) fn over(&self, version: &str) {
        self.0.invalidate(version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_belong_to_one_version() {
        let attempts = Attempts::default();
        assert!(attempts.rest("a").is_none());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push(attempts.failed("a", "no"));
            assert_eq!(attempts.rest("a").unwrap().1, "no");
            tokio::time::advance(*pauses.last().unwrap()).await;
            assert!(attempts.rest("a").is_none(), "the pause is over");
        }
        assert!(pauses[0] < Duration::from_millis(1_100), "{pauses:?}");
        assert!(pauses[8] >= LONGEST && pauses[8] <= 2 * LONGEST, "{pauses:?}");
        assert!(attempts.failed("b", "no") < Duration::from_millis(1_100));
        attempts.over("a");
        assert!(attempts.failed("a", "no") < Duration::from_millis(1_100));
    }
}
