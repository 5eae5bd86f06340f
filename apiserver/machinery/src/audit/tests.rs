use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use http::HeaderValue;

use super::*;

fn note(uri: &str) -> Note {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri.parse().unwrap();
    request.headers_mut().insert("user-agent", HeaderValue::from_static("kubectl"));
    request.extensions_mut().insert(AuditId("id-1".to_owned()));
    let info = RequestInfo::of(request.method(), request.uri());
    request.extensions_mut().insert(info);
    Note::of(&request)
}

fn line(note: &Note, code: u16) -> serde_json::Value {
    let text = note.with(|fields| fields.line(StatusCode::from_u16(code).unwrap()));
    assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "one line: {text:?}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn m8_a_line_says_who_did_what_and_no_query() {
    let note = note("/apis/g/v1/namespaces/n/things/a/proxy/x?token=secret");
    note.user(&User::named("alice").authenticated());
    note.impersonated(&User::named("bob"));
    note.decision(&Decision::Denied { reason: "no".to_owned() });
    note.annotate("example.dev/statement", "hash");
    let line = line(&note, 403);
    assert!(!line.to_string().contains("secret"));
    insta::assert_json_snapshot!(line, {
        ".requestReceivedTimestamp" => "[time]",
        ".stageTimestamp" => "[time]",
        ".annotations[\"apiserver.latency.k8s.io/total\"]" => "[latency]",
    });
}

#[rstest::rstest]
#[case("/apis/g/v1/things", 200, false, true)]
#[case("/apis/g/v1/things", 403, true, true)]
#[case("/apis/g/v1/things/a/proxy", 200, true, true)]
#[case("/readyz", 500, false, false)]
#[case("/readyz/ping", 200, false, false)]
#[case::no_health("/readyzfoo", 403, true, true)]
fn m8_levels(#[case] uri: &str, #[case] code: u16, #[case] changes: bool, #[case] metadata: bool) {
    let code = StatusCode::from_u16(code).unwrap();
    let worth = |level| note(uri).with(|fields| fields.is_worth(level, code));
    assert_eq!(
        (worth(Level::None), worth(Level::Changes), worth(Level::Metadata)),
        (false, changes, metadata)
    );
}

#[tokio::test]
async fn m8_lines_reach_the_writer() {
    let (read, write) = tokio::io::duplex(4096);
    let log = Log::new(Level::Metadata, write, Metrics::unread());
    log.record(&note("/apis/g/v1/things"), StatusCode::OK);
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(read));
    let line = lines.next_line().await.unwrap().unwrap();
    assert!(line.contains(r#""auditID":"id-1""#), "{line}");
}

/// Notes each write.
#[derive(Clone, Debug, Default)]
struct Writes(Arc<Mutex<Vec<String>>>);

impl AsyncWrite for Writes {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn m8_lines_that_come_together_leave_together_and_the_last_ones_are_written() {
    let writes = Writes::default();
    let log = Log::new(Level::Metadata, writes.clone(), Metrics::unread());
    let record =
        |count: usize| (0..count).for_each(|_| log.record(&note("/apis/g/v1/things"), StatusCode::OK));
    let lines = || writes.0.lock().unwrap().iter().map(|it| it.lines().count()).collect::<Vec<_>>();
    record(1);
    tokio::time::sleep(PAUSE / 2).await;
    assert_eq!(lines(), [1], "the first one waits for nobody");
    record(300);
    tokio::time::sleep(PAUSE).await;
    assert_eq!(lines(), [1, 300]);
    record(2);
    log.end().await;
    assert_eq!(lines(), [1, 300, 2]);
}

#[tokio::test(start_paused = true)]
async fn m8_a_writer_that_is_stuck_holds_up_no_end() {
    let (_never_read, write) = tokio::io::duplex(16);
    let log = Log::new(Level::Metadata, write, Metrics::unread());
    log.record(&note("/apis/g/v1/things"), StatusCode::OK);
    log.end().await;
}
