//! What a broken, hostile or slow admin API can do to us: nothing but an error.

use std::future::Future;
use std::net::SocketAddr;

use restate_model::FailureKind;
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const LIMIT: usize = 1000;
/// A chunk that announces 2816 bytes.
const ENDLESS: &[u8] = &{
    let mut bytes = [b'x'; 3000];
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb00\r\n";
    let mut i = 0;
    while i < head.len() {
        bytes[i] = head[i];
        i += 1;
    }
    bytes
};

static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "x".repeat(1000));

pub(crate) fn transport() -> Transport {
    let options = Options { policy: Policy::default().with_loopback(), extra_ca: Vec::new() };
    Transport::new(&options).unwrap()
}

fn endpoint(address: &str) -> Endpoint {
    Endpoint::new(address, &Policy::default().with_loopback()).unwrap()
}

async fn ask(address: &str) -> Result<Answer, Error> {
    ask_within(address, Duration::from_secs(5)).await
}

async fn ask_within(address: &str, deadline: Duration) -> Result<Answer, Error> {
    let question = Question { method: Method::GET, path: "thing", deadline, limit: LIMIT };
    transport().ask(&endpoint(address), &question, None::<&()>).await
}

async fn answering(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path("/thing")).respond_with(template).mount(&server).await;
    server
}

/// A server of raw bytes: whatever it is told, it says, and then holds the line for `hold`.
async fn raw(bytes: &'static [u8], hold: Duration) -> (SocketAddr, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(bytes).await.unwrap();
        tokio::time::sleep(hold).await;
    };
    (address, serve)
}

async fn ask_raw(bytes: &'static [u8], hold: Duration, deadline: Duration) -> Error {
    let (address, serve) = raw(bytes, hold).await;
    let server = tokio::spawn(serve);
    let error = ask_within(&format!("http://{address}"), deadline).await.unwrap_err();
    server.abort();
    error
}

#[tokio::test]
async fn the_request_carries_token_headers_and_the_path_below_the_endpoints() {
    let server = MockServer::start().await;
    Mock::given(path("/admin/thing"))
        .and(header("authorization", "Bearer hush"))
        .and(header("x-tenant", "a"))
        .and(header("accept", "application/json"))
        .respond_with(ResponseTemplate::new(200).set_body_string("{}"))
        .mount(&server)
        .await;
    let endpoint = endpoint(&format!("{}/admin", server.uri()));
    let endpoint = endpoint.with_token("hush".into()).with_header("x-tenant", "a").unwrap();
    let deadline = Duration::from_secs(5);
    let question = Question { method: Method::GET, path: "thing", deadline, limit: LIMIT };
    transport().ask(&endpoint, &question, None::<&()>).await.unwrap();
}

#[rstest]
#[case(500, r#"{"message":"[META0003] refused","restate_code":"META0003"}"#, Some("META0003"), false)]
#[case(409, r#"{"message":"type","restate_code":"META0006"}"#, Some("META0006"), true)]
#[case(400, r#"{"message":"reserved name","restate_code":"META0005"}"#, Some("META0005"), true)]
#[case(500, r#"{"message":"storage","restate_code":"META0005"}"#, Some("META0005"), false)]
#[case(500, r#"{"message":"perhaps","restate_code":"META0014"}"#, Some("META0014"), false)]
#[case(409, r#"{"message":"no code","restate_code":null}"#, None, false)]
#[case(400, r#"{"message":"no such field","restate_code":null}"#, None, true)]
#[case(400, r#"{"message":"2 deployments are there, the limit is 2","restate_code":null}"#, None, false)]
#[case(400, "not JSON", None, true)]
#[case(422, "", None, true)]
#[case(503, "<html>upstream</html>", None, false)]
#[case(401, "", None, false)]
#[tokio::test]
async fn a_refusal_keeps_code_and_words(
    #[case] status: u16,
    #[case] body: &str,
    #[case] code: Option<&str>,
    #[case] is_final: bool,
) {
    let server = answering(ResponseTemplate::new(status).set_body_string(body)).await;
    let error = ask(&server.uri()).await.unwrap_err();
    let refused = error.refused().unwrap();
    assert_eq!(refused.status.as_u16(), status);
    assert_eq!(refused.code.as_deref(), code);
    assert_eq!(error.is_final(), is_final);
    assert!(!refused.message.is_empty());
    let expected = if status >= 500 { FailureKind::Unavailable } else { FailureKind::Refused };
    assert_eq!(error.kind(), expected);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = answering(ResponseTemplate::new(200)).await;
    let there = format!("{}/thing", elsewhere.uri());
    let server = answering(ResponseTemplate::new(307).insert_header("location", there)).await;
    let error = ask(&server.uri()).await.unwrap_err();
    assert!(matches!(error, Error::Redirected { .. }), "{error:?}");
    assert_eq!(elsewhere.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_answer_has_a_limit_whether_it_announces_its_length_or_not() {
    let server = answering(ResponseTemplate::new(200).set_body_string("x".repeat(LIMIT + 1))).await;
    assert!(matches!(ask(&server.uri()).await, Err(Error::TooLarge { limit: LIMIT })));
    let fits = answering(ResponseTemplate::new(200).set_body_string("x".repeat(LIMIT))).await;
    assert_eq!(ask(&fits.uri()).await.unwrap().body.len(), LIMIT);
    let error = ask_raw(ENDLESS, Duration::from_secs(9), Duration::from_secs(5)).await;
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

#[rstest]
#[case::length(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"rows\":[]}")]
#[case::chunks(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\n{\"rows\":[]}\r\n")]
#[case::garbage(b"\x16\x03\x01 this is not HTTP\r\n\r\n")]
#[case::nothing(b"")]
#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer(#[case] bytes: &'static [u8]) {
    let error = ask_raw(bytes, Duration::ZERO, Duration::from_secs(5)).await;
    assert!(matches!(error, Error::Broken(_)), "{error:?}");
    assert_eq!(error.kind(), FailureKind::Malformed);
}

#[rstest]
#[case::silent(b"")]
#[case::slow_body(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{")]
#[tokio::test]
async fn the_deadline_covers_the_last_byte(#[case] bytes: &'static [u8]) {
    let error = ask_raw(bytes, Duration::from_secs(9), Duration::from_millis(100)).await;
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = ask(&format!("http://{address}")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unreachable, "{error:?}");
    assert!(error.words().contains("refused"), "{}", error.words());
}

#[tokio::test]
async fn a_name_that_leads_to_a_forbidden_address_is_not_contacted() {
    let server = answering(ResponseTemplate::new(200)).await;
    let address = format!("http://localhost:{}", server.address().port());
    let strict = Transport::new(&Options::default()).unwrap();
    let endpoint = Endpoint::new(&address, &Policy::default()).unwrap();
    let deadline = Duration::from_secs(5);
    let question = Question { method: Method::GET, path: "thing", deadline, limit: LIMIT };
    let error = strict.ask(&endpoint, &question, None::<&()>).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unreachable, "{error:?}");
    assert!(error.words().contains("address of the machine"), "{}", error.words());
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn words_are_short_and_of_one_line() {
    let message = serde_json::json!({"message": "a\nb\u{7}".repeat(1000)});
    let server = answering(ResponseTemplate::new(500).set_body_json(message)).await;
    let words = ask(&server.uri()).await.unwrap_err().words();
    assert!(words.len() == 2000 && !words.contains(char::is_control), "{words}");
}

/// Whoever names an address must not read with it what stands there.
#[rstest]
#[case::restate_cannot_read_it(422, "missing field `uri`", "missing field `uri`")]
#[case::no_more_than_a_line(400, &LONG, &LONG[..300])]
#[case::a_page_of_somebody_else(403, "<html>hush</html>", "403 Forbidden")]
#[case::a_proxys(404, "no route to hush", "404 Not Found")]
#[case::another_shape(500, r#"{"secret":"hush"}"#, "500 Internal Server Error")]
#[case::restates_words(500, r#"{"message":"it is full"}"#, "it is full")]
#[tokio::test]
async fn only_restates_own_words_are_shown(#[case] status: u16, #[case] body: &str, #[case] expected: &str) {
    let server = answering(ResponseTemplate::new(status).set_body_string(body)).await;
    assert_eq!(ask(&server.uri()).await.unwrap_err().words(), expected);
}
