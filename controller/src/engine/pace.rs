//! When an object is looked at again: after a failure with growing pauses, after an act at once, else when the plan
//! says. Invariant: a success takes back the pauses of that object alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use jiff::{SignedDuration, Timestamp};
use restate_plan::{LookAgain, Outcome};

use super::Pass;

/// The pause after a first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// The pause where nothing failed: somebody else was faster, or the Lease is about to be renewed.
pub(super) const AFTER_A_RACE: Duration = Duration::from_secs(1);
/// After an act the next look comes at once, unless acts do not come to an end.
const AFTER_ACT: Duration = Duration::from_millis(5);
/// So many acts in a row are more than any change takes: somebody undoes them.
const RESTLESS: u32 = 8;
/// The longest pause between acts that do not come to an end.
const LONGEST_AFTER_ACT: Duration = Duration::from_mins(1);
/// Even where nothing changes, everything is looked at from time to time: a look costs no request.
const LOOK_ANYWAY: Duration = Duration::from_mins(15);
/// No moment of a plan is looked at more often than this.
const SHORTEST: Duration = Duration::from_millis(50);

/// The pauses of all objects of one kind.
#[derive(Debug)]
pub(super) struct Pace<K> {
    failures: Mutex<HashMap<K, Growing>>,
    acts: Mutex<HashMap<K, Growing>>,
}

/// Pauses that grow, and how many there were.
type Growing = (ExponentialBackoff, u32);

impl<K> Default for Pace<K> {
    fn default() -> Self {
        Self { failures: Mutex::default(), acts: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone> Pace<K> {
    /// A pass failed.
    pub(super) fn after_failure(&self, key: &K) -> Duration {
        let growing = ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE);
        next(&self.failures, key, growing.with_jitter())
    }

    /// A pass succeeded.
    pub(super) fn after(&self, key: &K, pass: &Pass, now: Timestamp) -> Duration {
        lock(&self.failures).remove(key);
        if pass.acted {
            let growing =
                ExponentialBuilder::default().with_min_delay(AFTER_ACT).with_max_delay(LONGEST_AFTER_ACT);
            return next(&self.acts, key, growing);
        }
        lock(&self.acts).remove(key);
        let planned = planned(&pass.outcome, now);
        pass.unsaid.map_or(planned, |unsaid| unsaid.min(planned))
    }

    /// Whether each pass over it acts, and the next one finds the same to be done.
    pub(super) fn is_restless(&self, key: &K) -> bool {
        lock(&self.acts).get(key).is_some_and(|(_, acts)| *acts >= RESTLESS)
    }

    /// The object is gone.
    pub(super) fn forget(&self, key: &K) {
        lock(&self.failures).remove(key);
        lock(&self.acts).remove(key);
    }
}

fn next<K: Eq + Hash + Clone>(
    pauses: &Mutex<HashMap<K, Growing>>,
    key: &K,
    builder: ExponentialBuilder,
) -> Duration {
    let mut pauses = lock(pauses);
    let (pause, count) =
        pauses.entry(key.clone()).or_insert_with(|| (builder.without_max_times().build(), 0));
    *count = count.saturating_add(1);
    pause.next().unwrap_or(LONGEST_PAUSE)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn planned(outcome: &Outcome, now: Timestamp) -> Duration {
    let again = match outcome {
        Outcome::Settled => return LOOK_ANYWAY,
        Outcome::Waiting { look_again, .. } => look_again,
    };
    let pause = match again {
        LookAgain::OnChange | LookAgain::OnSnapshot => return LOOK_ANYWAY,
        LookAgain::At(moment) => moment.duration_since(now),
        LookAgain::After(pause) => *pause,
    };
    let pause = Duration::try_from(pause.max(SignedDuration::ZERO)).unwrap_or(LOOK_ANYWAY);
    pause.clamp(SHORTEST, LOOK_ANYWAY)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn settled(acted: bool) -> Pass {
        Pass { outcome: Outcome::Settled, acted, unsaid: None }
    }

    #[test]
    fn acts_without_end_are_noticed() {
        let (pace, now) = (Pace::default(), Timestamp::UNIX_EPOCH);
        for act in 0..RESTLESS {
            assert!(!pace.is_restless(&"a"), "{act}");
            pace.after(&"a", &settled(true), now);
        }
        assert!(pace.is_restless(&"a") && !pace.is_restless(&"b"));
        pace.after(&"a", &settled(false), now);
        assert!(!pace.is_restless(&"a"));
    }

    #[test]
    fn failures_pause_longer_and_longer_and_a_success_takes_that_back() {
        let pace = Pace::default();
        let pauses: Vec<_> = (0..12).map(|_| pace.after_failure(&"a")).collect();
        assert!(pauses[0] < Duration::from_secs(2), "{pauses:?}");
        assert!(pauses.is_sorted_by(|a, b| a <= b || *b > Duration::from_secs(250)), "{pauses:?}");
        assert!(pauses[11] >= Duration::from_secs(200), "{pauses:?}");
        assert!(pace.after_failure(&"b") < Duration::from_secs(2), "each object has its own");
        pace.after(&"a", &settled(false), Timestamp::UNIX_EPOCH);
        assert!(pace.after_failure(&"a") < Duration::from_secs(2));
    }

    #[test]
    fn acts_that_do_not_end_slow_down() {
        let pace = Pace::default();
        let mut pauses = (0..20).map(|_| pace.after(&"a", &settled(true), Timestamp::UNIX_EPOCH));
        assert_eq!(pauses.next(), Some(AFTER_ACT));
        assert_eq!(pauses.last(), Some(LONGEST_AFTER_ACT));
        pace.after(&"a", &settled(false), Timestamp::UNIX_EPOCH);
        assert_eq!(pace.after(&"a", &settled(true), Timestamp::UNIX_EPOCH), AFTER_ACT);
    }

    #[rstest]
    #[case::moment(LookAgain::At(Timestamp::constant(70, 0)), 60_000)]
    #[case::past(LookAgain::At(Timestamp::UNIX_EPOCH), 50)]
    #[case::pause(LookAgain::After(SignedDuration::from_secs(2)), 2_000)]
    #[case::change(LookAgain::OnChange, 900_000)]
    fn a_plan_says_when(#[case] look_again: LookAgain, #[case] millis: u64) {
        let now = Timestamp::constant(10, 0);
        let pass = Pass { outcome: Outcome::Waiting { on: "X", look_again }, acted: false, unsaid: None };
        assert_eq!(Pace::default().after(&"a", &pass, now), Duration::from_millis(millis));
    }
}
