//! The judge. It stands outside: it compares what callers were answered with what the ledger says, and knows neither
//! Restate nor the controller.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use crate::ledger::Effect;

/// What a call answered.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Walked {
    /// The version that answered.
    pub version: String,
    /// The effects, as they stand in the journal.
    pub marks: Vec<Mark>,
    /// How many calls the object has answered, this one included.
    pub count: u64,
}

/// An effect, as it stands in the journal.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Mark {
    /// Which step.
    pub step: u32,
    /// The version that did it; that of the first step was recorded when the call was pinned.
    pub version: String,
    /// What the ledger gave.
    pub token: u64,
}

/// One call, at the end of the run.
#[derive(Clone, Debug)]
pub struct Called {
    /// The idempotency key.
    pub key: String,
    /// Service and key of the object.
    pub object: String,
    /// How many steps were asked for.
    pub steps: u32,
    /// The ids that Restate gave each time that the call was sent.
    pub invocations: BTreeSet<String>,
    /// The version that Restate says the call is pinned to, where that could be seen.
    pub pinned: Option<String>,
    /// What was answered, or what was seen instead.
    pub answer: Result<Walked, String>,
}

/// What must not happen.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum Violation {
    /// One key became several invocations.
    #[error("{key} was accepted as several invocations: {ids:?}")]
    Several {
        /// The call.
        key: String,
        /// What Restate gave for it.
        ids: BTreeSet<String>,
    },
    /// It was not answered.
    #[error("{key} did not complete: {seen}")]
    Unfinished {
        /// The call.
        key: String,
        /// What was seen in place of its answer.
        seen: String,
    },
    /// Journal and ledger differ.
    #[error(
        "{key}: step {step} has no effect, or another one than its journal says: {journal:?} of {ledger:?}"
    )]
    WrongEffect {
        /// The call.
        key: String,
        /// Its step.
        step: u32,
        /// What the journal holds.
        journal: Option<u64>,
        /// What the ledger gave, in order.
        ledger: Vec<u64>,
    },
    /// A step was done again although its result was recorded.
    #[error("{key}: step {step} was done again after a later one")]
    DoneAgain {
        /// The call.
        key: String,
        /// Its step.
        step: u32,
    },
    /// It was moved to another version on its way.
    #[error("{key} was pinned to {pinned}, and {by} did a part of it")]
    AnotherVersion {
        /// The call.
        key: String,
        /// The version that it began with.
        pinned: String,
        /// The version that went on with it.
        by: String,
    },
    /// Calls of an object were lost or counted twice.
    #[error("{object} has counted {counts:?}")]
    Miscounted {
        /// The object.
        object: String,
        /// What its calls were answered, in order.
        counts: Vec<u64>,
    },
    /// A version went that was in use.
    #[error("{0}")]
    Removed(String),
    /// Something did not come to rest.
    #[error("not at rest: {0}")]
    Restless(String),
}

impl Violation {
    /// Did a version go that was in use?
    pub fn is_removal(&self) -> bool {
        matches!(self, Self::Removed(_))
    }
}

/// Who runs a call: what Restate can promise about an effect that was done more than once depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Runs {
    /// One attempt at a time: the journal holds the last effect of each step.
    OneByOne,
    /// A node that was killed or has lost its lead may have an attempt under way, in the service, when its successor
    /// begins the next one, and that attempt may do its step as late as it likes: the journal holds one of the
    /// effects, be it not the last, and those that it holds were made in the order of their steps.
    Overlapping,
}

/// All that is wrong with these calls.
pub fn judge(calls: &[Called], effects: &[Effect], runs: Runs) -> Vec<Violation> {
    let mut by_key: HashMap<&str, Vec<&Effect>> = HashMap::new();
    for effect in effects {
        by_key.entry(&effect.key).or_default().push(effect);
    }
    let of_call =
        |call: &Called| judge_call(call, by_key.get(call.key.as_str()).map_or(&[], Vec::as_slice), runs);
    calls.iter().flat_map(of_call).chain(miscounted(calls)).collect()
}

/// How often a step was done again before its result was in the journal: what Restate allows.
pub fn repeated(effects: &[Effect]) -> usize {
    let distinct: BTreeSet<_> = effects.iter().map(|effect| (&effect.key, effect.step)).collect();
    effects.len() - distinct.len()
}

fn judge_call(call: &Called, effects: &[&Effect], runs: Runs) -> Vec<Violation> {
    let key = call.key.clone();
    let mut found = Vec::new();
    if call.invocations.len() > 1 {
        found.push(Violation::Several { key: key.clone(), ids: call.invocations.clone() });
    }
    let walked = match &call.answer {
        Ok(walked) => walked,
        Err(seen) => {
            found.push(Violation::Unfinished { key, seen: seen.clone() });
            return found;
        }
    };
    found.extend(wrong_effects(call, walked, effects, runs));
    found.extend(match runs {
        Runs::OneByOne => done_again(&key, effects),
        Runs::Overlapping => done_again(&key, &recorded(walked, effects)),
    });
    let pinned = walked.marks.first().map_or(&walked.version, |mark| &mark.version);
    let another = parts(walked, effects).chain(&call.pinned).find(|by| *by != pinned);
    found.extend(another.map(|by| Violation::AnotherVersion { key, pinned: pinned.clone(), by: by.clone() }));
    found
}

/// Whoever did a part of a call after it was pinned. A first step that is not in the journal was done before.
fn parts<'a>(walked: &'a Walked, effects: &'a [&Effect]) -> impl Iterator<Item = &'a String> {
    let journal = walked.marks.iter().map(|mark| &mark.version);
    let ledger = effects.iter().filter(|effect| effect.step > 0).map(|effect| &effect.version);
    journal.chain(ledger).chain([&walked.version])
}

/// The journal holds what the last effect of each step gave, or one of them where attempts overlap.
fn wrong_effects(call: &Called, walked: &Walked, effects: &[&Effect], runs: Runs) -> Vec<Violation> {
    let journal = journal(walked);
    let wrong = |step: u32| {
        let of_step = effects.iter().filter(|effect| effect.step == step);
        let ledger: Vec<u64> = of_step.map(|effect| effect.token).collect();
        let journal = journal.get(&step).copied();
        let right = journal.is_some_and(|token| match runs {
            Runs::OneByOne => ledger.last() == Some(&token),
            Runs::Overlapping => ledger.contains(&token),
        });
        (!right).then(|| Violation::WrongEffect { key: call.key.clone(), step, journal, ledger })
    };
    (0..call.steps).filter_map(wrong).collect()
}

/// What the journal holds of each step.
fn journal(walked: &Walked) -> HashMap<u32, u64> {
    walked.marks.iter().map(|mark| (mark.step, mark.token)).collect()
}

/// The effects that the journal holds, as the ledger has them in order.
fn recorded<'a>(walked: &Walked, effects: &[&'a Effect]) -> Vec<&'a Effect> {
    let journal = journal(walked);
    effects.iter().copied().filter(|effect| journal.get(&effect.step) == Some(&effect.token)).collect()
}

/// A later step begins when the result of an earlier one is in the journal: from then on it is never done again.
fn done_again(key: &str, effects: &[&Effect]) -> Option<Violation> {
    let back = effects.windows(2).find(|pair| pair[1].step < pair[0].step)?;
    Some(Violation::DoneAgain { key: key.to_owned(), step: back[1].step })
}

/// Each call of an object has counted once.
fn miscounted(calls: &[Called]) -> Vec<Violation> {
    let mut objects: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for call in calls {
        if let Ok(walked) = &call.answer {
            objects.entry(&call.object).or_default().push(walked.count);
        }
    }
    let wrong = objects.into_iter().filter_map(|(object, mut counts)| {
        counts.sort_unstable();
        let right = counts.iter().copied().eq(1..=counts.len() as u64);
        (!right).then(|| Violation::Miscounted { object: object.to_owned(), counts })
    });
    wrong.collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn effect(step: u32, version: &str, token: u64) -> Effect {
        Effect { key: "a".to_owned(), step, version: version.to_owned(), token }
    }

    fn call(version: &str, marks: &[(u32, &str, u64)]) -> Called {
        let mark =
            |&(step, version, token): &(u32, &str, u64)| Mark { step, version: version.to_owned(), token };
        let walked =
            Walked { version: version.to_owned(), marks: marks.iter().map(mark).collect(), count: 1 };
        Called {
            key: "a".to_owned(),
            object: "walk-0/a".to_owned(),
            steps: 2,
            invocations: BTreeSet::from(["inv_1".to_owned()]),
            pinned: Some(version.to_owned()),
            answer: Ok(walked),
        }
    }

    #[rstest]
    #[case::once(vec![effect(0, "v1", 0), effect(1, "v1", 1)], call("v1", &[(0, "v1", 0), (1, "v1", 1)]))]
    #[case::again_before_the_journal(
        vec![effect(0, "v1", 0), effect(1, "v1", 1), effect(1, "v1", 2)],
        call("v1", &[(0, "v1", 0), (1, "v1", 2)])
    )]
    #[case::pinned_at_the_second_try(
        vec![effect(0, "v1", 0), effect(0, "v2", 1), effect(1, "v2", 2)],
        call("v2", &[(0, "v2", 1), (1, "v2", 2)])
    )]
    fn what_restate_promises_is_right(#[case] effects: Vec<Effect>, #[case] call: Called) {
        let calls = [call];
        assert_eq!(judge(&calls, &effects, Runs::OneByOne), []);
        assert_eq!(judge(&calls, &effects, Runs::Overlapping), []);
    }

    #[rstest]
    #[case::lost(vec![effect(0, "v1", 0)], call("v1", &[(0, "v1", 0), (1, "v1", 1)]), "step 1 has no effect")]
    #[case::another_result(
        vec![effect(0, "v1", 0), effect(1, "v1", 1), effect(1, "v1", 2)],
        call("v1", &[(0, "v1", 0), (1, "v1", 1)]), "step 1 has no effect"
    )]
    #[case::done_again(
        vec![effect(0, "v1", 0), effect(1, "v1", 1), effect(0, "v1", 2)],
        call("v1", &[(0, "v1", 2), (1, "v1", 1)]), "done again"
    )]
    #[case::moved_on_its_way(
        vec![effect(0, "v1", 0), effect(1, "v2", 1)],
        call("v1", &[(0, "v1", 0), (1, "v2", 1)]), "pinned to v1, and v2"
    )]
    #[case::answered_by_another(
        vec![effect(0, "v1", 0), effect(1, "v1", 1)],
        call("v2", &[(0, "v1", 0), (1, "v1", 1)]), "pinned to v1, and v2"
    )]
    #[case::another_pin(
        vec![effect(0, "v1", 0), effect(1, "v1", 1)],
        Called { pinned: Some("v3".to_owned()), ..call("v1", &[(0, "v1", 0), (1, "v1", 1)]) }, "and v3"
    )]
    #[case::unfinished(
        vec![], Called { answer: Err("470".to_owned()), ..call("v1", &[]) }, "did not complete: 470"
    )]
    fn what_it_does_not_promise_is_found(
        #[case] effects: Vec<Effect>,
        #[case] call: Called,
        #[case] words: &str,
    ) {
        let found = judge(&[call], &effects, Runs::OneByOne);
        assert!(found.iter().any(|found| found.to_string().contains(words)), "{found:?}");
    }

    #[test]
    fn attempts_that_overlap_leave_one_of_their_effects_in_the_journal() {
        let effects = [effect(0, "v1", 0), effect(1, "v1", 1), effect(1, "v1", 2)];
        let first = call("v1", &[(0, "v1", 0), (1, "v1", 1)]);
        assert_eq!(judge(&[first], &effects, Runs::Overlapping), []);
        let late = [effect(0, "v1", 0), effect(1, "v1", 1), effect(0, "v1", 2)];
        let before = call("v1", &[(0, "v1", 0), (1, "v1", 1)]);
        assert_eq!(
            judge(&[before], &late, Runs::Overlapping),
            [],
            "an attempt that has ended did its step late"
        );
        let after = call("v1", &[(0, "v1", 2), (1, "v1", 1)]);
        let found = judge(&[after], &late, Runs::Overlapping);
        assert!(matches!(&found[..], [Violation::DoneAgain { step: 0, .. }]), "{found:?}");
        let neither = call("v1", &[(0, "v1", 0), (1, "v1", 3)]);
        let found = judge(&[neither], &effects, Runs::Overlapping);
        assert!(matches!(&found[..], [Violation::WrongEffect { step: 1, .. }]), "{found:?}");
    }

    #[test]
    fn a_call_is_one_invocation_and_counts_once() {
        let effects = [effect(0, "v1", 0), effect(1, "v1", 1)];
        let mut twice = call("v1", &[(0, "v1", 0), (1, "v1", 1)]);
        twice.invocations.insert("inv_2".to_owned());
        assert!(matches!(
            &judge(std::slice::from_ref(&twice), &effects, Runs::OneByOne)[..],
            [Violation::Several { .. }]
        ));
        twice.invocations.clear();
        let found = judge(&[twice.clone(), twice], &effects, Runs::OneByOne);
        assert!(
            matches!(&found[..], [Violation::Miscounted { counts, .. }] if *counts == [1, 1]),
            "{found:?}"
        );
    }

    #[test]
    fn only_what_was_done_again_is_repeated() {
        assert_eq!(repeated(&[effect(0, "v1", 0), effect(1, "v1", 1), effect(1, "v1", 2)]), 1);
    }
}
