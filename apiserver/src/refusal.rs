//! Why a Restate did not answer, as a `Status` (E10).
//!
//! Invariant: unknown is not absent: a Restate that cannot tell is never a 404.

use apiserver_machinery::status::Status;
use restate_client::admin::Error;
use restate_model::{EndpointKey, FailureKind};

/// For a question that may be asked again.
pub(crate) fn unanswered(restate: &EndpointKey, error: &Error) -> Status {
    tracing::warn!(%restate, error = error as &dyn std::error::Error, "a question of somebody's was not answered");
    let words = format!("{restate} cannot tell: {}", error.words());
    match error.kind() {
        FailureKind::Unreachable | FailureKind::Unavailable => Status::unavailable(words).retry_after(2),
        FailureKind::TimedOut => Status::timeout(words, 2),
        FailureKind::Malformed | FailureKind::Refused => Status::internal(words),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn e10_slow_is_not_broken_and_neither_is_absent() {
        let key = EndpointKey::from("http://restate.prod:9070/");
        let slow = unanswered(&key, &Error::TimedOut { after: Duration::from_secs(10) });
        assert_eq!(slow.code().as_u16(), 504);
        let broken = unanswered(&key, &Error::Lacks("rows"));
        assert_eq!(broken.code().as_u16(), 500);
        assert!(broken.message.contains("restate.prod"), "{broken}");
    }
}
