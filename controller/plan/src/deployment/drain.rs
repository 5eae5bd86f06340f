//! What happens to a version that is not wanted any more.
//!
//! Stage in the flow: plan. Invariants: nothing is decided on what is unknown, which neither clears nor ages a stamp;
//! new activity clears it; a version is retired only on an answer that was asked after its stamp had passed. Not for
//! the steps that follow.

#[cfg(feature = "unchecked")]
mod unchecked;

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
    #[cfg(feature = "unchecked")]
    let usage = unchecked::idle(usage, now);
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

#[cfg(test)]
mod tests {
    use restate_model::Load;
    use rstest::rstest;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const ACTIVE: Usage = Usage::Active { routed: 1, load: IDLE_LOAD };
    const IDLE_LOAD: Load = Load { pinned: NOTHING, in_flight_unpinned: 0 };
    const NOTHING: restate_model::Counts = restate_model::Counts {
        running: 0,
        backing_off: 0,
        suspended: 0,
        paused: 0,
        ready: 0,
        inboxed: 0,
        scheduled: 0,
        other: 0,
    };

    #[rstest]
    #[case::unknown(Usage::Unknown, None, Drain::Hold)]
    #[case::unknown_does_not_age(Usage::Unknown, Some(at(1)), Drain::Hold)]
    #[case::active(ACTIVE, None, Drain::Keep)]
    #[case::active_again(ACTIVE, Some(at(1)), Drain::Keep)]
    #[case::idle(Usage::Idle { asked_at: at(99) }, None, Drain::Begin { until: at(130) })]
    #[case::too_early(Usage::Idle { asked_at: at(90) }, Some(at(100)), Drain::Wait { until: at(100) })]
    #[case::at_the_moment(Usage::Idle { asked_at: at(100) }, Some(at(100)), Drain::Wait { until: at(100) })]
    #[case::asked_before(Usage::Idle { asked_at: at(60) }, Some(at(70)), Drain::Wait { until: at(70) })]
    #[case::due(Usage::Idle { asked_at: at(71) }, Some(at(70)), Drain::Retire { asked_at: at(71) })]
    fn a_version_goes_only_on_an_answer_from_after_its_stamp(
        #[case] usage: Usage,
        #[case] stamp: Option<Timestamp>,
        #[case] expected: Drain,
    ) {
        assert_eq!(drain(usage, stamp, SignedDuration::from_secs(30), at(100)), expected);
    }

    #[test]
    fn stamps_have_whole_seconds_and_are_never_early() {
        let now = at(100) + SignedDuration::from_millis(1);
        let idle = Usage::Idle { asked_at: at(99) };
        assert_eq!(drain(idle, None, SignedDuration::from_secs(30), now), Drain::Begin { until: at(131) });
    }
}
