use http::StatusCode;
use http_body_util::BodyExt;
use rstest::rstest;
use serde_json::json;
use tower::ServiceExt;

use super::*;

const VALIDITY: Duration = Duration::from_secs(25);

fn fence() -> Fence {
    Fence::new("me", Duration::from_secs(30), Duration::from_secs(5))
}

fn record(version: &str, holder: Option<&str>, renewed: &str) -> Value {
    json!({"metadata": {"name": "lease", "resourceVersion": version},
           "spec": {"holderIdentity": holder, "renewTime": renewed}})
}

/// Sends one request through the fence; the server takes two seconds and says `answer`. Gives what it was sent.
async fn exchange(fence: &Fence, method: Method, sent: &Value, answer: (StatusCode, Value)) -> Value {
    let (log, mut received) = tokio::sync::mpsc::unbounded_channel();
    let server = tower::service_fn(move |request: Request<Body>| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            drop(log.send(serde_json::from_slice::<Value>(&body).unwrap_or_default()));
            tokio::time::sleep(Duration::from_secs(2)).await;
            let body = Body::from(serde_json::to_vec(&answer.1).unwrap());
            Ok::<_, BoxError>(Response::builder().status(answer.0).body(body).unwrap())
        }
    });
    let request = Request::builder().method(method).uri("/lease");
    let request = request.body(Body::from(serde_json::to_vec(sent).unwrap())).unwrap();
    fence.layer(server).oneshot(request).await.unwrap();
    received.recv().await.unwrap()
}

const FIRST: &str = "2026-01-01T00:00:00.000000Z";
const SECOND: &str = "2026-01-01T00:00:10.000000Z";

#[tokio::test(start_paused = true)]
async fn the_time_left_counts_from_the_moment_before_the_renewal_was_sent() {
    let (fence, start) = (fence(), Instant::now());
    exchange(&fence, Method::PATCH, &json!({}), (StatusCode::OK, record("1", Some("me"), FIRST))).await;
    assert_eq!(Instant::now() - start, Duration::from_secs(2));
    assert_eq!(*fence.until().borrow(), Some(start + VALIDITY), "not from the answer's arrival");
}

#[rstest]
#[case::only_read(Method::GET, StatusCode::OK, record("1", Some("me"), FIRST))]
#[case::refused(Method::PATCH, StatusCode::CONFLICT, record("1", Some("me"), FIRST))]
#[case::of_another(Method::PATCH, StatusCode::OK, record("1", Some("other"), FIRST))]
#[case::released(Method::PATCH, StatusCode::OK, record("1", None, FIRST))]
#[tokio::test(start_paused = true)]
async fn nothing_else_makes_it_ours(
    #[case] method: Method,
    #[case] status: StatusCode,
    #[case] answer: Value,
) {
    let fence = fence();
    exchange(&fence, method, &json!({}), (status, answer)).await;
    assert_eq!(*fence.until().borrow(), None);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_renews_nothing_adds_no_time() {
    let (fence, start) = (fence(), Instant::now());
    for version in ["1", "2"] {
        let answer = (StatusCode::OK, record(version, Some("me"), FIRST));
        exchange(&fence, Method::PATCH, &json!({}), answer).await;
    }
    assert_eq!(*fence.until().borrow(), Some(start + VALIDITY));
    exchange(&fence, Method::PATCH, &json!({}), (StatusCode::OK, record("3", Some("me"), SECOND))).await;
    assert_eq!(*fence.until().borrow(), Some(start + Duration::from_secs(4) + VALIDITY));
}

#[tokio::test(start_paused = true)]
async fn seeing_another_holder_ends_it_at_once() {
    let fence = fence();
    exchange(&fence, Method::PATCH, &json!({}), (StatusCode::OK, record("1", Some("me"), FIRST))).await;
    exchange(&fence, Method::GET, &json!({}), (StatusCode::OK, record("2", Some("other"), SECOND))).await;
    assert_eq!(*fence.until().borrow(), None);
}

#[tokio::test(start_paused = true)]
async fn every_write_rests_on_the_newest_state_seen() {
    let fence = fence();
    let renewal = json!({"spec": {"renewTime": SECOND}});
    let first =
        exchange(&fence, Method::PATCH, &renewal, (StatusCode::OK, record("7", Some("me"), FIRST))).await;
    assert_eq!(first, renewal, "nothing was seen before");
    let second =
        exchange(&fence, Method::PATCH, &renewal, (StatusCode::OK, record("8", Some("me"), SECOND))).await;
    assert_eq!(second["metadata"]["resourceVersion"], "7");
}
