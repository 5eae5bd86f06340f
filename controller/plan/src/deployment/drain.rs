//! What happens to a version that is not wanted any more.
//!
//! Stage in the flow: plan. Invariants: nothing is decided on what is unknown, which neither clears nor ages a stamp;
//! new activity clears it; a version is retired only on an answer that was asked after its stamp had passed. Not for
//! the steps that follow.

use jiff::{SignedDuration, Timestamp, Unit};

use super::usage::Usage;

/// What happens to a version that is not wanted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// Nothing, as nothing is known.
    Hold,
    /// It stays: it is in use.
    Keep,
    /// Its delay begins.
    Begin {
        /// When it ends.
        until: Timestamp,
    },
    /// Its delay runs, or the question that follows it has not been asked yet.
    Wait {
        /// When it ends.
        until: Timestamp,
    },
    /// It goes.
    Retire {
        /// When its idleness was asked for.
        asked_at: Timestamp,
    },
}

/// Decides for a version with this stamp.
pub fn drain(usage: Usage, stamp: Option<Timestamp>, delay: SignedDuration, now: Timestamp) -> Drain {
    match (usage, stamp) {
        (Usage::Unknown, _) => Drain::Hold,
        (Usage::Active { .. }, _) => Drain::Keep,
        (Usage::Idle { .. }, None) => Drain::Begin { until: after(now, delay) },
        (Usage::Idle { asked_at }, Some(until)) if asked_at <= until => Drain::Wait { until },
        (Usage::Idle { asked_at }, Some(_)) => Drain::Retire { asked_at },
    }
}

/// The whole second after the delay: recorded times are compared to the letter.
fn after(now: Timestamp, delay: SignedDuration) -> Timestamp {
    let until = now.saturating_add(delay).unwrap_or(now);
    until
        .round(Unit::Second)
        .ok()
        .filter(|whole| *whole >= until)
        .unwrap_or_else(|| Timestamp::from_second(until.as_second().saturating_add(1)).unwrap_or(until))
}
