//! A plan while it is being put together.
//!
//! Stage in the flow: plan. Invariant: steps keep their order, what is written on one
//! object at one time is one write; of all that is waited for, the first thing said is
//! what people read and the earliest moment is when we look again. Not for deciding.

use std::collections::BTreeMap;

use jiff::Timestamp;
use restate_crd::condition::Reason;

use super::version::Version;
use crate::{EventKind, LookAgain, Note, ObjectRef, Outcome, Patch, Plan, Step, Uid};

/// A plan while it is being put together.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) steps: Vec<Step>,
    parts: Vec<usize>,
    waiting: Option<Reason>,
    moments: Vec<Timestamp>,
}

impl Draft {
    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// What follows does not rest on what came before.
    pub(super) fn part(&mut self) {
        if !self.steps.is_empty() && self.parts.last() != Some(&self.steps.len()) {
            self.parts.push(self.steps.len());
        }
    }

    /// Beside the main path: its failure does not stop the steps after it.
    pub(super) fn aside(&mut self, step: Step) {
        self.steps.push(Step::Aside(Box::new(step)));
    }

    pub(super) fn annotate<const N: usize>(&mut self, version: &Version, pairs: [(&str, Option<String>); N]) {
        let annotations: BTreeMap<_, _> = pairs.map(|(key, value)| (key.to_owned(), value)).into();
        self.patch(Patch { annotations, ..Patch::of(version.reference(), version.uid.clone()) });
    }

    pub(super) fn scale(&mut self, version: &Version, replicas: i32) {
        self.patch(Patch { replicas: Some(replicas), ..Patch::of(version.reference(), version.uid.clone()) });
    }

    /// Whether something is written on this object anyhow.
    pub(super) fn writes_on(&self, object: &Uid) -> bool {
        self.steps.iter().any(|step| matches!(step.inner(), Step::Patch(patch) if patch.uid == *object))
    }

    /// A label that people select by: where nothing else is written on the object, it stands beside the path.
    pub(super) fn label(&mut self, object: ObjectRef, uid: Uid, (key, value): (&str, &str)) {
        let labels = BTreeMap::from([(key.to_owned(), Some(value.to_owned()))]);
        if let Some(patch) = self.unmerged(Patch { labels, ..Patch::of(object, uid) }) {
            self.aside(Step::Patch(patch));
        }
    }

    fn patch(&mut self, patch: Patch) {
        if let Some(patch) = self.unmerged(patch) {
            self.push(Step::Patch(patch));
        }
    }

    /// What is written on one object is one write, unless something else has to come to pass in between.
    /// Gives back what could not be added to an earlier step.
    fn unmerged(&mut self, mut patch: Patch) -> Option<Patch> {
        for step in self.steps.iter_mut().rev() {
            match step {
                Step::Patch(earlier) => patch = earlier.absorb(patch)?,
                Step::Note(_) => {}
                Step::Aside(inner) if matches!(**inner, Step::Patch(_)) => {}
                _ => break,
            }
        }
        Some(patch)
    }

    pub(super) fn note(
        &mut self,
        kind: EventKind,
        reason: &'static str,
        action: &'static str,
        message: String,
    ) {
        self.push(Step::Note(Note { kind, reason, action, message }));
    }

    /// Something is waited for.
    pub(super) fn wait(&mut self, reason: Reason) {
        self.waiting.get_or_insert(reason);
    }

    /// Something is waited for until this moment.
    pub(super) fn wait_until(&mut self, reason: Reason, at: Timestamp) {
        self.wait(reason);
        self.moments.push(at);
    }

    /// The finished plan; `asks` where the poller has been asked for something.
    pub(super) fn finish(self, asks: bool, now: Timestamp) -> Plan {
        let ahead = self.moments.into_iter().filter(|at| *at > now).min();
        let look_again = match (ahead, asks) {
            (Some(at), _) => LookAgain::At(at),
            (None, true) => LookAgain::OnSnapshot,
            (None, false) => LookAgain::OnChange,
        };
        let waiting = self.waiting.or(asks.then_some(Reason::UsageUnknown));
        let outcome = waiting.map_or(Outcome::Settled, |on| Outcome::Waiting { on: on.into(), look_again });
        Plan { steps: self.steps, parts: self.parts, outcome }
    }
}
