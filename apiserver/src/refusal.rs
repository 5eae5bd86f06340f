//! Why a Restate did not answer, as a `Status` (E10).
//!
//! Invariant: unknown is not absent: a Restate that cannot tell is never a 404.

use apiserver_machinery::status::Status;
use restate_client::admin::Error;
use restate_model::{EndpointKey, FailureKind};

/// For a small question. Clients ask again by themselves where they are told when, so that nothing is said of it where
/// Restate took too long: it would again.
pub(crate) fn unanswered(restate: &EndpointKey, error: &Error) -> Status {
    let status = unsure(restate, error);
    if error.kind() == FailureKind::Unavailable { status.retry_after(2) } else { status }
}

/// For what acts, and for what costs much: clients are told to send it again only where it surely was not sent.
pub(crate) fn unsure(restate: &EndpointKey, error: &Error) -> Status {
    tracing::warn!(%restate, error = error as &dyn std::error::Error, "a question of somebody's was not answered");
    let words = format!("{restate} cannot tell: {}", error.words());
    match error.kind() {
        FailureKind::Unreachable => Status::unavailable(words).retry_after(2),
        FailureKind::Unavailable => Status::unavailable(words),
        FailureKind::TimedOut => Status::timeout(words, 0),
        FailureKind::Malformed | FailureKind::Refused => Status::internal(words),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use restate_client::admin::Refused;
    use rstest::rstest;

    use super::*;
    use crate::resources::tests::{retry_after, unreachable};

    #[test]
    fn e10_slow_is_not_broken_and_neither_is_absent() {
        let key = EndpointKey::from("http://restate.prod:9070/");
        let slow = unanswered(&key, &Error::TimedOut { after: Duration::from_secs(10) });
        assert_eq!(slow.code().as_u16(), 504);
        let broken = unanswered(&key, &Error::Lacks("rows"));
        assert_eq!(broken.code().as_u16(), 500);
        assert!(broken.message.contains("restate.prod"), "{broken}");
    }

    /// E10: `Retry-After` has clients repeat the request by themselves.
    #[rstest]
    #[case::too_slow(Error::TimedOut { after: Duration::from_secs(10) }, 0, 0)]
    #[case::broken_off(Error::Lacks("rows"), 0, 0)]
    #[case::overloaded(Error::Refused(refused(StatusCode::SERVICE_UNAVAILABLE)), 2, 0)]
    fn e10_only_what_may_be_repeated_says_when(
        #[case] error: Error,
        #[case] of_question: u32,
        #[case] of_action: u32,
    ) {
        let key = EndpointKey::from("http://restate.prod:9070/");
        assert_eq!(retry_after(&unanswered(&key, &error)), of_question);
        assert_eq!(retry_after(&unsure(&key, &error)), of_action);
    }

    fn refused(status: StatusCode) -> Refused {
        Refused { status, code: None, message: status.to_string() }
    }

    #[tokio::test]
    async fn e10_what_was_not_sent_may_be_sent_again() {
        let status = unsure(&EndpointKey::from("http://restate.prod:9070/"), &unreachable().await);
        assert_eq!((status.code().as_u16(), retry_after(&status)), (503, 2));
    }
}
