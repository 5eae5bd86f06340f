//! A report is complete or it is an error; nothing unfinished is lost on its way into it.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use restate_model::FailureKind;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::matchers::{body_string_contains, header, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::admin::tests::admin;

/// What a Restate says.
enum Say {
    /// These rows, and the mark of the question.
    Rows(Value),
    /// This, whatever is asked.
    Other(ResponseTemplate),
}

/// The mark in a question.
fn mark(request: &Request) -> String {
    let text = String::from_utf8_lossy(&request.body).into_owned();
    let mut words = text.split('\'').filter(|word| word.len() == 17 && word.starts_with('q'));
    words.next().unwrap().to_owned()
}

impl Say {
    fn answer(&self, request: &Request) -> ResponseTemplate {
        match self {
            Self::Other(answer) => answer.clone(),
            Self::Rows(rows) => {
                let mark = mark(request);
                let row = json!({"kind": "question", "deployment": mark, "attempts": 0});
                let rows: Vec<_> = rows.as_array().unwrap().iter().cloned().chain([row]).collect();
                ResponseTemplate::new(200).set_body_json(json!({"rows": rows}))
            }
        }
    }
}

async fn serve(attempts: Say, unfinished: Say) -> MockServer {
    let server = MockServer::start().await;
    let answers = [("AS attempts", attempts), ("AS kind", unfinished)];
    for (text, answer) in answers {
        Mock::given(path("/query"))
            .and(header("accept", "application/json"))
            .and(body_string_contains(text))
            .respond_with(move |request: &Request| answer.answer(request))
            .mount(&server)
            .await;
    }
    server
}

fn rows(rows: &Value) -> Say {
    Say::Rows(rows.clone())
}

fn attempts() -> Say {
    rows(&json!([{"deployment": "dp_1", "attempts": 3}, {"deployment": "dp_2", "attempts": 0},
        {"deployment": "dp_4", "attempts": 0}]))
}

fn work(deployment: &str, status: &str, count: u64) -> Value {
    json!({"kind": "work", "deployment": deployment, "service": "Greeter", "handler": "greet", "status": status,
        "count": count})
}

fn named(deployment: &str) -> Value {
    json!({"kind": "deployment", "deployment": deployment, "service": "", "handler": "", "status": "", "count": 0})
}

fn unfinished() -> Say {
    rows(&json!([
        named("dp_1"),
        work("dp_1", "running", 2),
        work("dp_1", "hibernating", 1),
        work("", "scheduled", 5),
        named("dp_2"),
        named("dp_3"),
        json!({"kind": "route", "deployment": "dp_2", "service": "Greeter"})
    ]))
}

#[tokio::test]
async fn a_round_says_who_holds_what() {
    let server = serve(attempts(), unfinished()).await;
    let report = admin(&server).usage().await.unwrap().value;
    let load = |id: &str| report.load(&DeploymentId::from(id));
    let first = load("dp_1").unwrap();
    assert_eq!((first.pinned.running, first.pinned.other, first.in_flight_unpinned), (2, 1, 1));
    assert!(load("dp_2").unwrap().is_idle());
    assert_eq!(report.routed, BTreeSet::from([DeploymentId::from("dp_2")]));
    assert_eq!(load("dp_3"), None, "only the second query names it");
    assert_eq!(load("dp_4"), None, "only the first query names it");
    assert_eq!(report.unpinned[&ServiceName::from("Greeter")].scheduled, 5);
    let key = (None, ServiceName::from("Greeter"), "greet".to_owned());
    assert_eq!(report.handlers[&key].total(), 5);
}

#[tokio::test]
async fn empty_answers_know_nothing() {
    let server = serve(rows(&json!([])), rows(&json!([]))).await;
    assert_eq!(admin(&server).usage().await.unwrap().value, UsageReport::default());
}

#[rstest]
#[case::unplaced(Say::Other(ResponseTemplate::new(500).set_body_json(json!({"message": "No such scanner"}))))]
#[case::garbage(Say::Other(ResponseTemplate::new(200).set_body_string("<html>")))]
#[case::arrow(Say::Other(ResponseTemplate::new(200).set_body_bytes([0xff, 0xff, 0xff, 0xff])))]
#[case::cut(Say::Other(ResponseTemplate::new(200).set_body_string(r#"{"rows":[{"kind":"deployment","deployment":"dp_1"#)))]
#[case::error_after_200(Say::Other(ResponseTemplate::new(200).set_body_string(r#"{"rows":[]}{"message":"boom"}"#)))]
#[case::said_before(Say::Other(ResponseTemplate::new(200).set_body_json(
    json!({"rows": [{"kind": "question", "deployment": "q0123456789abcdef"}, {"kind": "deployment", "deployment": "dp_1"}]})
)))]
#[case::no_rows(Say::Other(ResponseTemplate::new(200).set_body_json(json!({}))))]
#[case::no_count(rows(&json!([{"kind": "work", "deployment": "", "service": "g", "handler": "h", "status": "x"}])))]
#[case::no_pin(rows(&json!([{"kind": "work", "service": "g", "handler": "h", "status": "x", "count": 1}])))]
#[case::no_kind(rows(&json!([{"deployment": "dp_1"}])))]
#[case::new_kind(rows(&json!([{"kind": "x", "deployment": "dp_1"}])))]
#[case::text_count(rows(&json!([{"kind": "work", "deployment": "", "service": "g", "handler": "h", "status": "x", "count": "1"}])))]
#[case::less_than_none(rows(&json!([{"kind": "work", "deployment": "", "service": "g", "handler": "h", "status": "x", "count": -1}])))]
#[tokio::test]
async fn what_is_no_report_is_an_error(#[case] second: Say) {
    let server = serve(attempts(), second).await;
    let kind = admin(&server).usage().await.unwrap_err().kind();
    assert!(matches!(kind, FailureKind::Malformed | FailureKind::Unavailable), "{kind:?}");
}

#[tokio::test]
async fn a_first_query_that_fails_ends_the_round() {
    let server = serve(Say::Other(ResponseTemplate::new(500)), unfinished()).await;
    assert!(admin(&server).usage().await.is_err());
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

fn any_work() -> impl Strategy<Value = (String, String, String, u64)> {
    let status = prop_oneof!["running|backing-off|ready|suspended|paused|inboxed|scheduled", "[a-z]{3,8}"];
    ("(dp_[0-4])?", "[ab]", status, 1u64..1000)
}

proptest! {
    /// However work is spread: none of it is lost, and a deployment is idle only where there is none for it.
    #[test]
    fn all_work_is_in_the_report(works in vec(any_work(), 0..20), flying in btree_map("dp_[0-4]", 0u64..3, 0..5)) {
        let mut rows: Vec<_> = flying.keys().map(|id| Unfinished::Deployment { deployment: id.clone() }).collect();
        rows.extend(works.iter().cloned().map(|(deployment, service, status, count)| {
            Unfinished::Work(Work { deployment, service, handler: "h".into(), status, count })
        }));
        let attempts = flying.iter().map(|(id, n)| Attempts { deployment: id.clone(), attempts: *n }).collect();
        let report = report(attempts, rows);

        let total: u64 = works.iter().map(|(.., count)| count).sum();
        let pinned: u64 = report.deployments.values().map(|load| load.pinned.total()).sum();
        let unpinned: u64 = report.unpinned.values().map(Counts::total).sum();
        prop_assert_eq!(pinned + unpinned, total);
        prop_assert_eq!(report.handlers.values().map(Counts::total).sum::<u64>(), total);
        for (id, attempts) in &flying {
            let has_work = *attempts > 0 || works.iter().any(|(deployment, ..)| deployment == id);
            let load = report.load(&DeploymentId::from(id.as_str())).unwrap();
            prop_assert_eq!(load.is_idle(), !has_work);
        }
    }
}
