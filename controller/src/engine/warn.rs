//! What went wrong, as events: a condition says how things stand, events say what happened and when.

use k8s_openapi::api::core::v1::ObjectReference;
use restate_plan::{EventKind, Note};

use super::{Context, Error};
use crate::execute::Rejection;

/// A step failed, and may succeed later. What only repeats an earlier failure, or says that somebody else was faster,
/// is no event.
pub(super) async fn failed(error: &Error, context: &Context, subject: &ObjectReference) {
    if error.is_quiet() || error.was_said() {
        return;
    }
    say("ReconcileFailed", "Reconcile", error.chain(), context, subject).await;
}

/// Restate refused a version for good.
pub(super) async fn rejected(rejection: &Rejection, context: &Context, subject: &ObjectReference) {
    let message = format!("[{}] {}", rejection.code, rejection.message);
    say("RegistrationRejected", "Register", message, context, subject).await;
}

async fn say(
    reason: &'static str,
    action: &'static str,
    message: String,
    context: &Context,
    subject: &ObjectReference,
) {
    let note = Note { kind: EventKind::Warning, reason, action, message };
    context.executor.notices.tell(&note, subject).await;
}
