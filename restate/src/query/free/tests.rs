//! Which texts are asked, what is blamed on them, and that an answer is cut only where a bound cut it.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;
use wiremock::matchers::{body_json, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::admin::tests::admin;

#[rstest]
#[case("select 1", true)]
#[case("-- what runs\n/* all */ With x AS (select 1) SELECT * FROM x;", true)]
#[case("copy (select 1) to '/tmp/x'", false)]
#[case("create external table t stored as csv location '/etc/passwd'", false)]
#[case("explain analyze select 1", false)]
#[case("selection", false)]
#[case("/* select", false)]
#[case("-- select", false)]
#[case("set x = 1", false)]
#[case("", false)]
fn c12_only_questions_are_asked(#[case] text: &str, #[case] asked: bool) {
    assert_eq!(FreeQuery::new(text).is_ok(), asked);
}

const ANSWER: &str = r#"{"rows":[{"b":1,"a":"x"},{"b":2,"c":null},{"b":3,"a":{"d":[1]}}]}"#;

#[test]
fn columns_keep_the_order_of_the_answer() {
    let rows = read::rows(ANSWER.as_bytes(), 10, false).unwrap();
    assert_eq!(rows.columns, ["b", "a", "c"]);
    assert_eq!((rows.rows.len(), rows.cut), (3, None));
    assert_eq!(rows.rows[2]["a"], json!({"d": [1]}));
}

#[rstest]
#[case(3, None)]
#[case(2, Some(Cut::Rows))]
#[case(0, Some(Cut::Rows))]
fn c12_rows_beyond_the_bound_are_cut_off(#[case] limit: usize, #[case] cut: Option<Cut>) {
    let rows = read::rows(ANSWER.as_bytes(), limit, false).unwrap();
    assert_eq!((rows.rows.len(), rows.cut), (limit.min(3), cut));
}

proptest! {
    /// Wherever the bytes end: whole rows, in order, and it is said; the same end without a bound is an error.
    #[test]
    fn c12_what_is_cut_anywhere_has_whole_rows_only(end in 0..ANSWER.len()) {
        let whole = read::rows(ANSWER.as_bytes(), 10, false).unwrap();
        let beginning = &ANSWER.as_bytes()[..end];
        let cut = read::rows(beginning, 10, true).unwrap();
        prop_assert_eq!(cut.cut, Some(Cut::Bytes));
        prop_assert_eq!(&cut.rows[..], &whole.rows[..cut.rows.len()]);
        prop_assert!(read::rows(beginning, 10, false).is_err());
    }
}

#[rstest]
#[case::other_shape(r#"{"items":[]}"#)]
#[case::no_object("[]")]
#[case::no_list(r#"{"rows":7}"#)]
#[case::no_row(r#"{"rows":[7]}"#)]
fn an_answer_of_another_shape_is_no_empty_one(#[case] answer: &str) {
    assert!(read::rows(answer.as_bytes(), 10, false).is_err());
}

async fn refusing(status: u16, message: &str) -> MockServer {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status).set_body_json(json!({"message": message}));
    Mock::given(path("/query")).respond_with(answer).mount(&server).await;
    server
}

fn bounds() -> Bounds {
    Bounds { rows: 10, bytes: 1000, deadline: Duration::from_secs(5) }
}

#[rstest]
#[case::syntax(400, "Datafusion error: SQL error: ParserError(x)", Some("SQL error: ParserError(x)"))]
#[case::ddl(
    400,
    "Datafusion error: Error during planning: DDL not supported",
    Some("Error during planning: DDL not supported")
)]
#[case::unknown_table(
    500,
    "Datafusion error: Error during planning: table 'x' not found",
    Some("Error during planning: table 'x' not found")
)]
#[case::unplaced(500, "Datafusion error: External error: partition 3 is not ready", None)]
#[case::overload(503, "SQL error", None)]
#[tokio::test]
async fn what_is_blamed_on_the_statement(
    #[case] status: u16,
    #[case] message: &str,
    #[case] fault: Option<&str>,
) {
    let server = refusing(status, message).await;
    let query = FreeQuery::new("select 1").unwrap();
    let error = admin(&server).query(&query, bounds()).await.unwrap_err();
    assert_eq!(fault_of_statement(&error), fault);
}

#[tokio::test]
async fn more_bytes_than_are_wanted_are_not_read() {
    let server = MockServer::start().await;
    let many: Vec<_> = (0..1000).map(|n| json!({"n": n})).collect();
    let answer = ResponseTemplate::new(200).set_body_json(json!({"rows": many}));
    Mock::given(path("/query")).respond_with(answer).mount(&server).await;
    let query = FreeQuery::new("select n").unwrap();
    let rows = admin(&server).query(&query, Bounds { rows: 5000, ..bounds() }).await.unwrap();
    assert_eq!(rows.cut, Some(Cut::Bytes));
    assert!(rows.rows.len() > 50 && rows.rows.len() < 200, "{}", rows.rows.len());
}

#[tokio::test]
async fn c3_a_plan_is_asked_for_without_running_anything() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_json(json!({"rows": [{"plan": "x"}]}));
    Mock::given(path("/query"))
        .and(body_json(json!({"query": "EXPLAIN select 1"})))
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    admin(&server).explain(&FreeQuery::new("select 1;").unwrap(), Duration::from_secs(5)).await.unwrap();
}
