//! The statements to the letter, that nothing breaks out of them, and what is made of rows.

use proptest::prelude::*;
use restate_model::FailureKind;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::admin::tests::admin;

fn scope() -> Scope {
    Scope {
        deployments: [DeploymentId::from("dp_1"), DeploymentId::from("dp_2")].into(),
        services: [ServiceName::from("Greeter")].into(),
    }
}

fn where_clause(wanted: &Wanted) -> String {
    let text = wanted.text();
    let (_, rest) = text.split_once(" WHERE ").unwrap();
    rest.to_owned()
}

#[test]
fn a_page_is_asked_within_its_scope() {
    let states = [InvocationState::Completed, InvocationState::Unfinished(Status::Inboxed)];
    let wanted = Wanted {
        scope: scope(),
        conditions: vec![
            Condition {
                column: Column::State,
                is: true,
                values: states.map(|state| word(state).to_owned()).into(),
            },
            Condition { column: Column::Key, is: false, values: vec!["it's".to_owned()] },
        ],
        after: Some(InvocationId::from("inv_5")),
        limit: 3,
    };
    assert_eq!(
        where_clause(&wanted),
        "((pinned_deployment_id IN ('dp_1', 'dp_2')) OR ((target_service_name IN ('Greeter')) AND \
         (pinned_deployment_id IS NULL OR pinned_deployment_id NOT IN (SELECT id FROM sys_deployment)))) AND \
         (status IN ('completed', 'pending')) AND NOT (COALESCE(target_service_key, '') IN ('it''s')) \
         AND id > 'inv_5' ORDER BY id LIMIT 3"
    );
}

#[rstest]
#[case::nothing_routed(Scope { services: BTreeSet::new(), ..scope() },
    "((pinned_deployment_id IN ('dp_1', 'dp_2')) OR (FALSE AND ")]
#[case::nothing_registered(Scope { deployments: BTreeSet::new(), ..scope() },
    "(FALSE OR ((target_service_name IN ('Greeter')) AND ")]
fn an_empty_set_admits_nothing(#[case] scope: Scope, #[case] expected: &str) {
    assert_eq!(scope.text(), format!("{expected}{HOMELESS}))"));
}

/// The text with each literal replaced by `?`: what is left is ours, whatever came from outside.
fn skeleton(text: &str) -> String {
    let mut skeleton = String::new();
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        if next != '\'' {
            skeleton.push(next);
            continue;
        }
        while let Some(inner) = chars.next() {
            if inner == '\'' && chars.next_if_eq(&'\'').is_none() {
                break;
            }
        }
        skeleton.push('?');
    }
    skeleton
}

proptest! {
    /// C12, and "selectors are parameters, never joined strings": no value changes the statement around it.
    #[test]
    fn no_value_breaks_out(key in "(\\PC|'|\\\\|;|--|/\\*){0,40}", after in "\\PC{0,20}", id in "\\PC{0,20}") {
        let wanted = |key: &str, after: &str, id: &str| Wanted {
            scope: Scope { deployments: [DeploymentId::from(id)].into(), ..scope() },
            conditions: vec![Condition { column: Column::Key, is: true, values: vec![key.to_owned()] }],
            after: Some(InvocationId::from(after)),
            limit: 10,
        };
        let plain = skeleton(&wanted("a", "b", "c").text());
        prop_assert_eq!(skeleton(&wanted(&key, &after, &id).text()), plain);
    }
}

async fn answering(status: u16, body: Value) -> MockServer {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(method("POST")).and(path("/query")).respond_with(answer).mount(&server).await;
    server
}

fn wanted() -> Wanted {
    Wanted { scope: scope(), limit: 10, ..Wanted::default() }
}

const ID: &str = "inv_1gcM2zdaqxx73ieDvWr0x4VrZRl82mzBL7";

/// A row as a server 1.7.12 gave it.
fn row() -> Value {
    json!({"id": ID, "target": "g-counter/k/hold", "target_service_name": "g-counter",
        "target_service_key": "k", "target_handler_name": "hold", "target_service_ty": "virtual_object",
        "invoked_by": "service", "invoked_by_service_name": "g", "invoked_by_id": "inv_2",
        "pinned_deployment_id": "dp_1", "created_at": "2026-11-22T20:09:58.728Z",
        "running_at": "2026-11-22T20:09:58.728Z", "retry_count": 3,
        "next_retry_at": "2026-11-22T20:10:03.005Z", "last_attempt_deployment_id": "dp_1",
        "last_failure": "[500 Internal] bad", "last_failure_error_code": "RT0007", "status": "backing-off"})
}

#[tokio::test]
async fn rows_become_invocations() {
    let server = answering(200, json!({"rows": [row()]})).await;
    let found = admin(&server).invocations(&wanted()).await.unwrap().pop().unwrap();
    assert_eq!((found.id.as_str(), found.target.kind), (ID, ServiceKind::VirtualObject));
    assert_eq!(found.target.key.as_deref(), Some("k"));
    assert_eq!(found.state, InvocationState::Unfinished(Status::BackingOff));
    assert_eq!(found.pinned, Some(DeploymentId::from("dp_1")));
    assert_eq!((found.attempts.count, found.attempts.failure.unwrap().code.as_deref()), (3, Some("RT0007")));
    assert_eq!(found.caller.invocation, Some(InvocationId::from("inv_2")));
    assert_eq!((found.failure, found.times.completed), (None, None));
}

#[rstest]
#[case::no_status("status")]
#[case::no_service("target_service_name")]
#[case::no_id("id")]
#[tokio::test]
async fn a_row_without_what_decides_is_malformed(#[case] column: &str) {
    let mut row = row();
    row.as_object_mut().unwrap().remove(column);
    let server = answering(200, json!({"rows": [row]})).await;
    let error = admin(&server).invocations(&wanted()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Malformed);
}

#[test]
fn every_state_has_a_word_of_its_own() {
    for known in InvocationState::ALL {
        assert_eq!(state(word(known)), known);
    }
    assert_eq!(state("frozen"), InvocationState::Unfinished(Status::Other));
}

#[tokio::test]
async fn who_serves_nothing_asks_nothing() {
    let server = MockServer::start().await;
    let nobody = Wanted { scope: Scope::default(), limit: 10, ..Wanted::default() };
    assert_eq!(admin(&server).invocations(&nobody).await.unwrap(), []);
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[rstest]
#[case::no_id("greeter", 0)]
#[case::a_quote("inv_1gcM2zdaqxx73ieDvWr0'", 0)]
#[case::a_path("inv_../../query", 0)]
#[case::no_valid_id("inv_1gcM2zdaqxx73ieDvWr0x4VrZRl82mzBLx", 1)]
#[tokio::test]
async fn what_is_no_id_names_nothing(#[case] id: &str, #[case] questions: usize) {
    let words = "Datafusion error: External error: non valid invocation id";
    let server = answering(500, json!({"message": words})).await;
    let found = admin(&server).invocation(&scope(), &InvocationId::from(id)).await;
    assert_eq!(found.unwrap(), None);
    let is_this = Condition { column: Column::Id, is: true, values: vec![id.to_owned()] };
    let listed = admin(&server).invocations(&Wanted { conditions: vec![is_this], ..wanted() }).await;
    assert_eq!(listed.unwrap(), []);
    assert_eq!(server.received_requests().await.unwrap().len(), 2 * questions);
}

#[tokio::test]
async fn another_failure_is_not_absence() {
    let server = answering(500, json!({"message": "Datafusion error: External error: not ready"})).await;
    let found = admin(&server).invocation(&scope(), &InvocationId::from(ID)).await;
    assert_eq!(found.unwrap_err().kind(), FailureKind::Unavailable);
}
