//! What is worth an event because it has come to be: somebody has to act, or pods stay away.
//!
//! Stage in the flow: after status. Invariant: said where the status that is about to be written differs from the
//! stored one, so each change is said once and nothing at rest. Not for what steps do: those say so themselves.

use jiff::{SignedDuration, Timestamp};
use restate_crd::condition::{Condition, ConditionStatus, ConditionType, Reason};

use super::seen::Decision;
use super::survey::Survey;
use super::version::Version;
use crate::{EventKind, Note, Step};

/// Images have to come and programs to start: pods that stay away for less are on their way.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// What is said of pods that stay away for longer.
pub(super) const OVERDUE: &str = ", for longer than a minute";

/// Said by whoever finds it out, or known to whoever asked for it.
const SAID_ELSEWHERE: [Reason; 2] = [Reason::RegistrationRejected, Reason::Paused];
/// Their words have numbers that change all the time.
const SAID_BY_REASON: [Reason; 1] = [Reason::DeletionHeld];

/// When pods of the wanted version have stayed away for too long.
pub(super) fn overdue_at(survey: &Survey<'_>, version: &Version) -> Timestamp {
    let stored = survey.seen.object.status.as_ref();
    let missed = stored.and_then(|status| status.conditions.get(ConditionType::Available));
    let missed = missed.filter(|it| it.status == ConditionStatus::False.as_ref());
    let since = missed.and_then(|it| it.last_transition_time.as_ref()).map_or(survey.now, |time| time.0);
    let since = version.created_at.map_or(since, |at| at.max(since));
    since.saturating_add(PATIENCE).unwrap_or(Timestamp::MAX)
}

/// Adds to the plan what is to be said about its status.
pub(super) fn tell(survey: &Survey<'_>, decision: &mut Decision) {
    let said = [stalled(survey, decision), overdue(survey, decision)];
    decision.plan.steps.extend(said.into_iter().flatten().map(Step::Note));
}

fn stalled(survey: &Survey<'_>, decision: &Decision) -> Option<Note> {
    let wanted = decision.status.conditions.get(ConditionType::Stalled)?;
    if wanted.status != ConditionStatus::True.as_ref() {
        return None;
    }
    let reason: Reason = wanted.reason.as_deref()?.parse().ok()?;
    let same = stored(survey, ConditionType::Stalled).is_some_and(|stored| {
        let words = stored.message == wanted.message || SAID_BY_REASON.contains(&reason);
        stored.status == wanted.status && stored.reason == wanted.reason && words
    });
    if same || SAID_ELSEWHERE.contains(&reason) {
        return None;
    }
    Some(warning(reason, wanted))
}

fn overdue(survey: &Survey<'_>, decision: &Decision) -> Option<Note> {
    let is_overdue = |it: &Condition| it.message.as_ref().is_some_and(|text| text.ends_with(OVERDUE));
    let wanted = decision.status.conditions.get(ConditionType::Available).filter(|it| is_overdue(it))?;
    if stored(survey, ConditionType::Available).is_some_and(is_overdue) {
        return None;
    }
    Some(warning(Reason::PodsNotReady, wanted))
}

fn warning(reason: Reason, condition: &Condition) -> Note {
    let message = condition.message.clone().unwrap_or_default();
    Note { kind: EventKind::Warning, reason: reason.into(), action: "Reconcile", message }
}

fn stored<'s>(survey: &'s Survey<'_>, kind: ConditionType) -> Option<&'s Condition> {
    survey.seen.object.status.as_ref()?.conditions.get(kind)
}
