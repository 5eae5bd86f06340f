//! Whether reviews have been answered of late: for readiness, debounced (P6).
//!
//! Only what requests saw counts; nothing is asked for this. So the check passes again once nobody asks any more.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures must last this long.
const PATIENCE: Duration = Duration::from_secs(30);
/// And be this recent.
const RECENT: Duration = Duration::from_secs(30);

/// Remembers since when reviews fail.
#[derive(Debug, Default)]
pub(super) struct Reachability(Mutex<Option<Failing>>);

#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    last: Instant,
}

impl Reachability {
    pub(super) fn saw(&self, answered: bool) {
        self.saw_at(answered, Instant::now());
    }

    pub(super) fn verdict(&self) -> Result<(), String> {
        self.verdict_at(Instant::now())
    }

    pub(super) fn saw_at(&self, answered: bool, now: Instant) {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = failing.filter(|old| now.duration_since(old.last) < RECENT).map_or(now, |old| old.since);
        *failing = (!answered).then_some(Failing { since, last: now });
    }

    fn verdict_at(&self, now: Instant) -> Result<(), String> {
        let failing = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match failing {
            Some(Failing { since, last })
                if last.duration_since(since) >= PATIENCE && now.duration_since(last) < RECENT =>
            {
                Err(format!("access reviews have failed for {} s", now.duration_since(since).as_secs()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p6_a_short_failure_is_forgiven_and_a_long_one_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let reachability = Reachability::default();
        reachability.saw_at(false, at(0));
        assert!(reachability.verdict_at(at(1)).is_ok());
        reachability.saw_at(false, at(20));
        reachability.saw_at(false, at(40));
        assert!(reachability.verdict_at(at(41)).is_err());
        reachability.saw_at(true, at(42));
        assert!(reachability.verdict_at(at(42)).is_ok());
    }

    #[test]
    fn p6_old_failures_do_not_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let reachability = Reachability::default();
        for second in [0, 20, 40] {
            reachability.saw_at(false, at(second));
        }
        assert!(reachability.verdict_at(at(100)).is_ok(), "nobody asks any more");
        reachability.saw_at(false, at(101));
        assert!(reachability.verdict_at(at(101)).is_ok(), "a new series has begun");
    }
}
