//! Retired versions beyond the history limit.
//!
//! Stage in the flow: plan. Invariants: only a version that is retired, has no pods left and that a fresh answer of
//! Restate does not know goes; the oldest goes first. Not for deciding what retires.

use restate_crd::condition::Reason;

use super::draft::Draft;
use super::survey::{Survey, Target};
use super::usage::Usage;
use super::validate::Spec;
use super::version::Version;
use crate::{EventKind, Propagation, Step};

/// Deletes what is beyond the limit.
pub(super) fn trim(draft: &mut Draft, survey: &Survey<'_>, spec: &Spec, target: &Target<'_>) {
    for version in surplus(survey, spec, target) {
        let absent = survey.knowledge.absence(version, &survey.seen.dns_suffix);
        let gone = version.replicas == 0 && matches!(absent, Usage::Idle { .. });
        if !gone {
            draft.wait(Reason::UsageUnknown);
            continue;
        }
        let (object, uid) = (version.reference(), version.uid.clone());
        draft.aside(Step::Delete { object, uid, propagation: Propagation::Background });
        let message =
            format!("deleted retired version {}: more than {} are kept", version.name, spec.history_limit);
        draft.note(EventKind::Normal, "VersionDeleted", "Delete", message);
    }
}

/// What is beyond the limit.
pub(super) fn surplus<'s>(survey: &'s Survey<'_>, spec: &Spec, target: &Target<'_>) -> Vec<&'s Version> {
    let others = survey.versions.iter().filter(|version| target.version != Some(*version));
    others
        .filter(|version| survey.is_history(version) && !version.deleting)
        .skip(spec.history_limit)
        .collect()
}
