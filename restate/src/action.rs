//! Actions on one invocation.
//!
//! Stage in the flow: under the aggregated API's `restateinvocations/{cancel,kill,purge,pause,resume,restart}`.
//! Invariant: one request, never repeated. Whether the caller may act on it is decided before: Restate asks nobody.
//!
//! Facts, seen on 1.7.12 (PATCH `/invocations/{id}/…`):
//! - cancel is 200 where nothing ran yet and 202 where a handler must end itself; kill is 200; both 409 once completed;
//! - purge is 200, and 409 until completed;
//! - pause is 202 for what runs or backs off, 200 and without any effect for what is paused or suspended, else 409;
//! - resume is 200 (also, and without effect, for what runs), 425 for what is scheduled or inboxed, 409 once
//!   completed; with a deployment only for what is paused or suspended and pinned, else 409 (paused without a pin is
//!   200); an unknown deployment is 400;
//! - restart is 200 with the id of the new invocation, 409 until completed, 425 for what is scheduled or inboxed, 410
//!   where the input is not kept any more, 422 for workflows; a deployment counts only together with `from`;
//! - an unknown id is 404, a malformed one 400.

use std::time::Duration;

use http::{Method, StatusCode};
use restate_model::{DeploymentId, InvocationId};
use serde::Deserialize;

use crate::admin::{Admin, Error, segment};
use crate::transport::{Answer, Question};

/// The partition's leader must answer.
pub const ACTION_DEADLINE: Duration = Duration::from_secs(10);
const SMALL: usize = 64 * 1024;

/// What is to happen to an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Its handler is told to end; what it began is undone as the handler says.
    Cancel,
    /// It ends at once, whatever it has begun.
    Kill,
    /// What is kept of it after its end is forgotten.
    Purge,
    /// It makes no further attempt until it is resumed.
    Pause,
    /// It goes on.
    Resume {
        /// Where, if not where it is pinned.
        onto: Option<Onto>,
    },
    /// A new invocation begins with the same input.
    Restart {
        /// The last entry of the journal that is kept; none but the input if absent.
        from: Option<u32>,
        /// Where, if not on the deployment that Restate routes to.
        onto: Option<Onto>,
    },
}

/// The deployment on which an invocation goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Onto {
    /// The one that it is pinned to.
    Keep,
    /// The one that Restate routes new calls to.
    Latest,
    /// This one.
    Deployment(DeploymentId),
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It is done.
    Done,
    /// Restate has taken it, and will do it.
    Accepted,
    /// A new invocation has begun.
    Restarted(InvocationId),
}

#[derive(Deserialize)]
struct Restarted {
    new_invocation_id: InvocationId,
}

impl Admin {
    /// Acts on one invocation. After an error other than [`Error::Refused`] nobody knows whether it happened.
    pub async fn act(&self, id: &InvocationId, action: &Action) -> Result<Acted, Error> {
        let path = action.path(id);
        let question =
            Question { method: Method::PATCH, path: &path, deadline: ACTION_DEADLINE, limit: SMALL };
        let answer = self.transport().ask(self.endpoint(), &question, None::<&()>).await?;
        acted(&answer, action)
    }
}

fn acted(answer: &Answer, action: &Action) -> Result<Acted, Error> {
    if let Action::Restart { .. } = action {
        let Restarted { new_invocation_id } = answer.json()?;
        return Ok(Acted::Restarted(new_invocation_id));
    }
    Ok(if answer.status == StatusCode::ACCEPTED { Acted::Accepted } else { Acted::Done })
}

impl Action {
    fn path(&self, id: &InvocationId) -> String {
        let (word, parameters) = match self {
            Self::Cancel => ("cancel", Vec::new()),
            Self::Kill => ("kill", Vec::new()),
            Self::Purge => ("purge", Vec::new()),
            Self::Pause => ("pause", Vec::new()),
            Self::Resume { onto } => ("resume", vec![onto.as_ref().map(Onto::parameter)]),
            Self::Restart { from, onto } => {
                let from = from.map(|entry| format!("from={entry}"));
                ("restart-as-new", vec![from, onto.as_ref().map(Onto::parameter)])
            }
        };
        let parameters: Vec<String> = parameters.into_iter().flatten().collect();
        let mark = if parameters.is_empty() { "" } else { "?" };
        format!("invocations/{}/{word}{mark}{}", segment(id.as_str()), parameters.join("&"))
    }
}

impl Onto {
    fn parameter(&self) -> String {
        match self {
            Self::Keep => "deployment=keep".to_owned(),
            Self::Latest => "deployment=latest".to_owned(),
            Self::Deployment(id) => format!("deployment={}", segment(id.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;
    use wiremock::matchers::method;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::admin::tests::admin;

    #[rstest]
    #[case(Action::Cancel, "/invocations/inv_1/cancel")]
    #[case(Action::Kill, "/invocations/inv_1/kill")]
    #[case(Action::Purge, "/invocations/inv_1/purge")]
    #[case(Action::Pause, "/invocations/inv_1/pause")]
    #[case(Action::Resume { onto: None }, "/invocations/inv_1/resume")]
    #[case(Action::Resume { onto: Some(Onto::Keep) }, "/invocations/inv_1/resume?deployment=keep")]
    #[case(Action::Restart { from: None, onto: None }, "/invocations/inv_1/restart-as-new")]
    #[case(Action::Restart { from: Some(2), onto: Some(Onto::Latest) },
        "/invocations/inv_1/restart-as-new?from=2&deployment=latest")]
    #[case(Action::Resume { onto: Some(Onto::Deployment("a&b=c".into())) },
        "/invocations/inv_1/resume?deployment=a%26b%3Dc")]
    #[tokio::test]
    async fn each_action_is_one_request(#[case] action: Action, #[case] expected: &str) {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_json(json!({"new_invocation_id": "inv_2"}));
        Mock::given(method("PATCH")).respond_with(answer).mount(&server).await;
        admin(&server).act(&InvocationId::from("inv_1"), &action).await.unwrap();
        let asked = server.received_requests().await.unwrap();
        let path = |url: &url::Url| url[url::Position::BeforePath..].to_owned();
        let paths: Vec<String> = asked.iter().map(|request| path(&request.url)).collect();
        assert_eq!(paths, [expected]);
    }

    #[rstest]
    #[case::done(200, Action::Cancel, Acted::Done)]
    #[case::accepted(202, Action::Cancel, Acted::Accepted)]
    #[case::restarted(200, Action::Restart { from: None, onto: None }, Acted::Restarted("inv_2".into()))]
    #[tokio::test]
    async fn done_is_told_from_accepted(
        #[case] status: u16,
        #[case] action: Action,
        #[case] expected: Acted,
    ) {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(status).set_body_json(json!({"new_invocation_id": "inv_2"}));
        Mock::given(method("PATCH")).respond_with(answer).mount(&server).await;
        assert_eq!(admin(&server).act(&InvocationId::from("inv_1"), &action).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_refusal_keeps_restates_words_and_is_not_tried_again() {
        let server = MockServer::start().await;
        let words = "The invocation 'inv_1' was already completed.";
        let answer =
            ResponseTemplate::new(409).set_body_json(json!({"message": words, "restate_code": null}));
        Mock::given(method("PATCH")).respond_with(answer).expect(1).mount(&server).await;
        let error = admin(&server).act(&InvocationId::from("inv_1"), &Action::Kill).await.unwrap_err();
        let refused = error.refused().unwrap();
        assert_eq!((refused.status.as_u16(), refused.message.as_str()), (409, words));
    }
}
