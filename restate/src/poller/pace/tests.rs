//! The bounds hold for every history.

use proptest::prelude::*;

use super::*;
use crate::poller::wants::Urgent;

fn note(
    schedule: &mut Schedule,
    question: Demand,
    ended: Ended,
    (took, ended_at, chance): (Duration, Instant, f64),
) {
    schedule.note(question, ended, &Exchange { took, ended_at, chance });
}

fn any_ended() -> impl Strategy<Value = Ended> {
    prop_oneof![Just(Ended::Changed), Just(Ended::Unchanged), Just(Ended::Failed)]
}

fn usage(urgent: bool) -> Want {
    let standing = (!urgent).then_some(Demand::Usage);
    Want { standing, urgent: Urgent { usage: urgent, registry: false } }
}

fn usage_due(schedule: &Schedule, urgent: bool, now: Instant) -> Instant {
    schedule.due(Demand::Usage, urgent, now)
}

proptest! {
    /// Good answers of any length, asked for as urgently as possible: the duty holds.
    #[test]
    fn usage_never_takes_more_than_its_duty(costs in proptest::collection::vec((1u64..5_000, any_ended(), any::<bool>()), 1..40)) {
        let start = Instant::now();
        let mut now = start;
        let mut spent = Duration::ZERO;
        let mut schedule = Schedule::new(Pace::default());
        for (millis, ended, urgent) in costs {
            let took = Duration::from_millis(millis);
            now = usage_due(&schedule, urgent, now);
            if ended != Ended::Failed {
                let elapsed = (now - start).as_secs_f64();
                prop_assert!(spent.as_secs_f64() <= 0.0201 * elapsed, "{spent:?} of {elapsed}");
                spent += took;
            }
            now += took;
            note(&mut schedule, Demand::Usage, ended, (took, now, 0.5));
        }
    }

    #[test]
    fn what_nobody_wants_is_never_due(costs in proptest::collection::vec((0u64..5_000, any_ended()), 0..9)) {
        let mut schedule = Schedule::new(Pace::default());
        let now = Instant::now();
        for (millis, ended) in costs {
            note(&mut schedule, Demand::Usage, ended, (Duration::from_millis(millis), now, 0.0));
        }
        prop_assert_eq!(schedule.next(Want::default(), now), None);
    }

    #[test]
    fn failures_are_followed_by_a_rest_and_the_rest_is_bounded(took in 0u64..100_000, failures in 1usize..20, urgent in any::<bool>()) {
        let mut schedule = Schedule::new(Pace::default());
        let now = Instant::now();
        for _ in 0..failures {
            note(&mut schedule, Demand::Usage, Ended::Failed, (Duration::from_millis(took), now, 1.0));
        }
        let (due, demand) = schedule.next(usage(urgent), now).filter(|(_, demand)| *demand == Demand::Usage)
            .unwrap_or((usage_due(&schedule, urgent, now), Demand::Usage));
        prop_assert_eq!(demand, Demand::Usage);
        prop_assert!(due - now >= Duration::from_secs(1) && due - now <= Duration::from_secs(91), "{:?}", due - now);
    }
}

#[test]
fn the_interval_grows_while_nothing_changes_and_falls_when_something_does() {
    let mut schedule = Schedule::new(Pace::default());
    let now = Instant::now();
    let mut waits = Vec::new();
    for ended in [
        Ended::Changed,
        Ended::Unchanged,
        Ended::Unchanged,
        Ended::Unchanged,
        Ended::Unchanged,
        Ended::Changed,
    ] {
        note(&mut schedule, Demand::Usage, ended, (Duration::from_millis(5), now, 0.0));
        waits.push((usage_due(&schedule, false, now) - now).as_millis());
    }
    assert_eq!(waits, [1000, 1500, 2250, 3375, 5000, 1000]);
}

#[test]
fn a_question_that_was_never_asked_is_due_at_once_and_usage_covers_the_registry() {
    let schedule = Schedule::new(Pace::default());
    let now = Instant::now();
    assert_eq!(schedule.next(usage(false), now), Some((now, Demand::Usage)));
    let both = Want { urgent: Urgent { registry: true, usage: false }, standing: Some(Demand::Usage) };
    assert_eq!(schedule.next(both, now), Some((now, Demand::Usage)));
}

#[test]
fn a_slow_usage_query_does_not_hold_the_registry_up() {
    let mut schedule = Schedule::new(Pace::default());
    let now = Instant::now();
    note(&mut schedule, Demand::Registry, Ended::Changed, (Duration::from_millis(10), now, 0.0));
    note(&mut schedule, Demand::Usage, Ended::Changed, (Duration::from_secs(2), now, 0.0));
    let both = Want { urgent: Urgent { registry: true, usage: false }, standing: Some(Demand::Usage) };
    assert_eq!(schedule.next(both, now), Some((now + Duration::from_millis(40), Demand::Registry)));
    assert_eq!(usage_due(&schedule, true, now), now + Duration::from_secs(98));
}
