//! What speaks against an action: what Restate would say, so that a dry run can say it (C3).
//!
//! Only dry runs ask here: the action itself is judged by Restate alone, at the moment when it happens. That both
//! agree is tested against a real one.

use restate_apiservice::{InvocationAction, InvocationState, ServiceType};

/// What an action needs to know of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) state: InvocationState,
    pub(super) service_type: ServiceType,
    /// Whether it is to go on elsewhere.
    pub(super) moves: bool,
}

/// Why the action would be refused.
pub(super) fn obstacle(action: InvocationAction, subject: Subject) -> Option<&'static str> {
    let completed = subject.state == InvocationState::Completed;
    let waits = matches!(subject.state, InvocationState::Scheduled | InvocationState::Inboxed);
    let rests = matches!(subject.state, InvocationState::Paused | InvocationState::Suspended);
    match action {
        InvocationAction::Cancel | InvocationAction::Kill => completed.then_some("it is completed already"),
        InvocationAction::Purge => (!completed).then_some("it is not completed yet"),
        InvocationAction::Pause => {
            (completed || waits).then_some("it is not running, and only what runs can be paused")
        }
        InvocationAction::Resume if completed => Some("it is completed already"),
        InvocationAction::Resume if waits => Some("it has not begun yet, so there is nothing to resume"),
        InvocationAction::Resume => {
            (subject.moves && !rests).then_some("only a paused or suspended invocation can go on elsewhere")
        }
        InvocationAction::Restart if waits => Some("it has not begun yet, so there is nothing to restart"),
        InvocationAction::Restart if !completed => Some("it is not completed yet"),
        InvocationAction::Restart => {
            (subject.service_type == ServiceType::Workflow).then_some("workflows cannot be restarted")
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use InvocationAction::{Cancel, Kill, Pause, Purge, Restart, Resume};
    use InvocationState::{BackingOff, Completed, Inboxed, Ready, Running, Scheduled, Suspended};

    fn subject(state: InvocationState) -> Subject {
        Subject { state, service_type: ServiceType::Service, moves: false }
    }

    /// As seen on a server 1.7.12.
    #[rstest]
    #[case(Cancel, &[Scheduled, Inboxed, Ready, Running, BackingOff, Suspended, InvocationState::Paused])]
    #[case(Kill, &[Scheduled, Inboxed, Ready, Running, BackingOff, Suspended, InvocationState::Paused])]
    #[case(Purge, &[Completed])]
    #[case(Pause, &[Ready, Running, BackingOff, Suspended, InvocationState::Paused])]
    #[case(Resume, &[Ready, Running, BackingOff, Suspended, InvocationState::Paused])]
    #[case(Restart, &[Completed])]
    fn e5_each_action_has_its_states(#[case] action: InvocationAction, #[case] free: &[InvocationState]) {
        let all =
            [Scheduled, Inboxed, Ready, Running, BackingOff, Suspended, InvocationState::Paused, Completed];
        let passes = |state: &InvocationState| obstacle(action, subject(*state)).is_none();
        assert_eq!(all.into_iter().filter(passes).collect::<Vec<_>>(), free, "{action}");
    }

    #[test]
    fn e5_only_what_rests_can_move() {
        let moves = |state| obstacle(Resume, Subject { moves: true, ..subject(state) });
        assert!(moves(Suspended).is_none() && moves(InvocationState::Paused).is_none());
        assert!(moves(Running).is_some() && moves(BackingOff).is_some());
    }

    #[test]
    fn e5_workflows_run_once() {
        let workflow = Subject { service_type: ServiceType::Workflow, ..subject(Completed) };
        assert!(obstacle(Restart, workflow).is_some());
        assert!(obstacle(Purge, workflow).is_none());
    }
}
