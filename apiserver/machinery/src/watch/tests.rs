use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use http::Request;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    api::Api,
    list::{ListRequest, reached},
    resource::{Call, Computed, Page, Readable, Wanted},
    shutdown::Draining,
    status::Status,
    store::Store,
    testing::{Book, Listed, Shown, book},
    version::Clock,
};

use super::*;

/// A store, and a source that may be silent: it publishes whatever it sees then, or says that it saw nothing.
#[derive(Clone)]
struct Shelf(Store<Shown>, Arc<AtomicBool>);

impl Readable for Shelf {
    type Object = Shown;

    fn store(&self) -> &Store<Shown> {
        &self.0
    }

    async fn fresh(&self, _: &Wanted) -> Result<(), Status> {
        let is_silent = self.1.load(Ordering::SeqCst);
        if is_silent { Err(Status::unavailable("no answer")) } else { Ok(()) }
    }
}

impl Shelf {
    fn new() -> Self {
        let shelf = Self(Store::new(&Arc::new(Clock::tagged(3))), Arc::default());
        shelf.put(vec![book("shop", "a", "Draft", 1), book("attic", "z", "Final", 1)]);
        shelf
    }

    fn put(&self, books: Vec<Book>) {
        self.0.publish(books.into_iter().map(Into::into).collect()).unwrap();
    }

    fn version(&self) -> u64 {
        self.0.feed.state().unwrap().version
    }

    async fn watch(&self, query: &str) -> Events {
        self.watch_as(query, "", Draining::never()).await
    }

    async fn watch_as(&self, query: &str, accept: &str, draining: Draining) -> Events {
        let uri = format!("/apis/demo.example/v1/books?watch=true&{query}");
        let mut request = Request::builder().uri(uri).header("accept", accept).body(Body::empty()).unwrap();
        request.extensions_mut().insert(draining);
        let response = self.ask(request).await;
        Events {
            code: response.status().as_u16(),
            media_type: response.headers()["content-type"].to_str().unwrap().to_owned(),
            body: response.into_body().into_data_stream(),
        }
    }
}

impl Shelf {
    async fn ask(&self, request: Request<Body>) -> Response {
        let api = Api::builder("demo.example", "v1").readable(self.clone()).build().unwrap();
        api.router().oneshot(request).await.unwrap()
    }

    /// Answers to whoever understands gzip.
    async fn packed(&self, query: &str) -> Response {
        let uri = format!("/apis/demo.example/v1/books?{query}");
        let request = Request::builder().uri(uri).header("accept-encoding", "gzip").body(Body::empty());
        self.ask(request.unwrap()).await
    }
}

struct Events {
    code: u16,
    media_type: String,
    body: axum::body::BodyDataStream,
}

impl Events {
    /// The next event; nothing if the watch ends or is silent for the moment.
    async fn next(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(Duration::from_millis(50), self.body.next()).await.ok()??.unwrap();
        assert_eq!(line.split(|byte| *byte == b'\n').count(), 2, "W1: one event, one line");
        Some(serde_json::from_slice(&line).unwrap())
    }

    /// `TYPE name` of everything that is there.
    async fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(event) = self.next().await {
            let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
            told.push(format!("{} {name}", event["type"].as_str().unwrap()).trim().to_owned());
        }
        told
    }

    async fn has_ended(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(50), self.body.next())
            .await
            .is_ok_and(|next| next.is_none())
    }
}

#[rstest::rstest]
#[case::w5("", &["ADDED z", "ADDED a"])]
#[case::w5("resourceVersion=0", &["ADDED z", "ADDED a"])]
#[case::r9("labelSelector=state%3DDraft", &["ADDED a"])]
#[case::r9("fieldSelector=metadata.name%3Dz", &["ADDED z"])]
#[case::w9("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", &["ADDED z", "ADDED a", "BOOKMARK"])]
#[case::w9("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0&allowWatchBookmarks=true", &["ADDED z", "ADDED a", "BOOKMARK"])]
#[case::w9("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", &[])]
#[tokio::test]
async fn where_it_begins(#[case] query: &str, #[case] told: &[&str]) {
    let mut events = Shelf::new().watch(query).await;
    assert_eq!((events.code, events.media_type.as_str()), (200, "application/json"));
    assert_eq!(events.told().await, told);
}

#[tokio::test]
async fn w1_changes_are_told_as_they_happen() {
    let shelf = Shelf::new();
    let mut events = shelf.watch(&format!("resourceVersion={}", shelf.version())).await;
    assert_eq!(events.told().await, Vec::<String>::new());
    shelf.put(vec![book("shop", "a", "Final", 1), book("shop", "b", "Draft", 1)]);
    assert_eq!(events.told().await, ["DELETED z", "MODIFIED a", "ADDED b"]);
}

#[tokio::test]
async fn w2_a_deletion_shows_the_last_state_under_a_new_version() {
    let shelf = Shelf::new();
    let mut events = shelf.watch(&format!("resourceVersion={}", shelf.version())).await;
    shelf.put(vec![book("attic", "z", "Final", 1)]);
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["status"]["state"]), (&json!("DELETED"), &json!("Draft")));
    assert_eq!(event["object"]["metadata"]["resourceVersion"], shelf.version().to_string());
}

#[tokio::test]
async fn w13_what_stops_to_match_is_deleted_and_what_begins_to_is_added() {
    let shelf = Shelf::new();
    let mut events = shelf.watch("labelSelector=state%3DDraft").await;
    assert_eq!(events.told().await, ["ADDED a"]);
    shelf.put(vec![book("shop", "a", "Final", 1), book("attic", "z", "Draft", 1)]);
    let first = events.next().await.unwrap();
    assert_eq!((&first["type"], &first["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("z")));
    let second = events.next().await.unwrap();
    assert_eq!((&second["type"], &second["object"]["status"]["state"]), (&json!("DELETED"), &json!("Draft")));
    assert_eq!(second["object"]["metadata"]["resourceVersion"], shelf.version().to_string());
}

#[tokio::test]
async fn w9_the_end_of_the_initial_events_is_marked() {
    let shelf = Shelf::new();
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = shelf.watch(query).await;
    let (_, _, mark) = (events.next().await, events.next().await, events.next().await.unwrap());
    let version = shelf.version().to_string();
    let metadata = json!({"resourceVersion": version, "annotations": {"k8s.io/initial-events-end": "true"}});
    assert_eq!(
        mark,
        json!({"type": "BOOKMARK", "object": {"kind": "Book", "apiVersion": "demo.example/v1", "metadata": metadata}})
    );
    shelf.put(vec![]);
    assert_eq!(events.told().await, ["DELETED z", "DELETED a"], "and it goes on");
}

#[tokio::test(start_paused = true)]
async fn w7_bookmarks_come_each_minute_and_before_the_end_if_wanted() {
    let shelf = Shelf::new();
    let query = format!("resourceVersion={}&timeoutSeconds=90", shelf.version());
    let mut silent = shelf.watch(&query).await;
    let mut marked = shelf.watch(&format!("{query}&allowWatchBookmarks=true")).await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(marked.told().await, ["BOOKMARK"]);
    assert_eq!(silent.told().await, Vec::<String>::new());
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(marked.told().await, ["BOOKMARK"]);
    assert!(marked.has_ended().await && silent.has_ended().await, "W6: a clean end, no error");
}

/// What no clock can count is a wish like any other.
#[tokio::test]
async fn w6_a_wish_for_eternity_is_answered() {
    let mut events = Shelf::new().watch("timeoutSeconds=9223372036854775807").await;
    assert_eq!((events.code, events.told().await.len()), (200, 2));
}

/// W10: nobody asks the stream of a client that does not read, and it ends all the same.
#[tokio::test(start_paused = true)]
async fn w10_a_watch_that_nobody_reads_ends_in_its_time() {
    let shelf = Shelf::new();
    let stalled = shelf.watch("timeoutSeconds=10").await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(shelf.0.watchers(), 1);
    tokio::time::sleep(LAST_WORDS + Duration::from_secs(2)).await;
    assert_eq!(shelf.0.watchers(), 0, "what it held is let go");
    drop(stalled);
}

/// W6: there is always more to tell, and the time is over.
#[tokio::test(start_paused = true)]
async fn w6_a_watch_that_is_never_silent_ends_in_its_time() {
    let shelf = Shelf::new();
    let mut busy = shelf.watch("timeoutSeconds=10").await;
    for pages in 0..200 {
        shelf.put(vec![book("shop", "a", "Draft", pages + 2)]);
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Ok(None) = tokio::time::timeout(Duration::ZERO, busy.body.next()).await {
            assert!((99..=110).contains(&pages), "{pages}");
            return;
        }
    }
    panic!("it goes on");
}

#[tokio::test]
async fn w4_another_replicas_version_is_too_old() {
    let others = Clock::tagged(4).stamp(jiff::Timestamp::now());
    let mut events = Shelf::new().watch(&format!("resourceVersion={others}")).await;
    let event = events.next().await.unwrap();
    assert_eq!((events.code, &event["type"]), (200, &json!("ERROR")));
    assert_eq!((&event["object"]["code"], &event["object"]["reason"]), (&json!(410), &json!("Expired")));
    assert!(events.has_ended().await);
}

#[tokio::test(start_paused = true)]
async fn r13_a_version_that_we_have_not_reached_is_waited_for() {
    let shelf = Shelf::new();
    let ahead = shelf.version() + (1 << 45);
    assert_eq!(reached(&shelf.0.feed, ahead).await.unwrap_err().code().as_u16(), 504);
    assert_eq!(shelf.watch(&format!("resourceVersion={ahead}")).await.code, 504);
}

#[tokio::test]
async fn w14_who_is_too_slow_is_told_to_list_again() {
    let shelf = Shelf::new();
    let mut events = shelf.watch(&format!("resourceVersion={}", shelf.version())).await;
    for pages in 0..5000 {
        shelf.put(vec![book("shop", "a", "Draft", pages + 2)]);
    }
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert!(events.has_ended().await);
}

#[tokio::test]
async fn w12_tables_have_their_head_once() {
    let shelf = Shelf::new();
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let query = "allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut events = shelf.watch_as(query, table, Draining::never()).await;
    let (first, second, mark) =
        (events.next().await.unwrap(), events.next().await.unwrap(), events.next().await.unwrap());
    assert_eq!(first["object"]["kind"], "Table");
    assert_eq!(first["object"]["columnDefinitions"].as_array().map(Vec::len), Some(1));
    assert_eq!(first["object"]["rows"][0]["object"]["metadata"]["name"], "z");
    assert_eq!(second["object"]["columnDefinitions"], Value::Null);
    let row = &mark["object"]["rows"][0]["object"]["metadata"];
    assert_eq!(row["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(row["resourceVersion"], shelf.version().to_string());
}

#[tokio::test]
async fn r6_metadata_alone_can_be_watched() {
    let metadata = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let event = Shelf::new().watch_as("", metadata, Draining::never()).await.next().await.unwrap();
    assert_eq!(
        (&event["object"]["kind"], event["object"].get("spec")),
        (&json!("PartialObjectMetadata"), None)
    );
}

/// The source sees nothing at all, and says so; whoever asks is shown what was known, and no watch is told a thing.
#[tokio::test]
async fn w15_a_silent_source_deletes_nothing() {
    let shelf = Shelf::new();
    let mut open = shelf.watch("").await;
    assert_eq!(open.told().await, ["ADDED z", "ADDED a"]);
    shelf.1.store(true, Ordering::SeqCst);
    let list = shelf.packed("").await;
    assert!(list.headers()["warning"].to_str().unwrap().contains("no answer"));
    let body = axum::body::to_bytes(list.into_body(), usize::MAX).await.unwrap();
    let list: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let streamed = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    for query in ["", "resourceVersion=0", streamed] {
        let told = shelf.watch(query).await.told().await;
        assert_eq!(told.iter().filter(|event| event.starts_with("ADDED")).count(), 2, "{query}");
    }
    let passed = Clock::tagged(4).stamp(jiff::Timestamp::now());
    shelf.packed(&format!("resourceVersion={passed}&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!(open.told().await, Vec::<String>::new(), "no look of anybody's was an event");
    shelf.put(vec![book("shop", "a", "Draft", 1)]);
    assert_eq!(open.told().await, ["DELETED z"], "what was seen to be gone is told");
}

#[tokio::test]
async fn w16_a_poller_knows_whether_anybody_watches() {
    let shelf = Shelf::new();
    assert_eq!(shelf.0.watchers(), 0);
    let events = shelf.watch("").await;
    assert_eq!(shelf.0.watchers(), 1);
    drop(events);
    assert_eq!(shelf.0.watchers(), 0);
}

#[tokio::test]
async fn w21_a_graceful_stop_ends_watches() {
    let stop = CancellationToken::new();
    let mut events = Shelf::new().watch_as("", "", Draining::new(stop.clone(), Duration::ZERO)).await;
    assert_eq!(events.told().await, ["ADDED z", "ADDED a"]);
    stop.cancel();
    assert!(events.has_ended().await);
}

#[tokio::test]
async fn w9_the_first_state_wants_a_match() {
    assert_eq!(Shelf::new().watch("sendInitialEvents=true").await.code, 422);
}

/// A kind that is computed at each request.
struct Index;

impl Computed for Index {
    type Object = Listed;

    async fn get(&self, _: &Call) -> Result<Option<Listed>, Status> {
        Ok(None)
    }

    async fn list(&self, _: &Call, _: &ListRequest) -> Result<Page<Listed>, Status> {
        Ok(Page { objects: vec![book("shop", "a", "Draft", 1).into()], resume: None })
    }
}

#[rstest::rstest]
#[case::list("", 200)]
#[case::watch("?watch=1", 405)]
#[case::watch("?watch=true&resourceVersion=0", 405)]
#[case::watch_list("?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", 405)]
#[tokio::test]
async fn e3_w11_a_kind_without_the_verb_refuses(#[case] query: &str, #[case] code: u16) {
    let api = Api::builder("demo.example", "v1").computed(Index).build().unwrap();
    let uri = format!("/apis/demo.example/v1/books{query}");
    let response = api.router().oneshot(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status().as_u16(), code);
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let expected = if code == 405 { json!("MethodNotAllowed") } else { Value::Null };
    assert_eq!(answer["reason"], expected, "{answer}");
}

/// Half an hour to an hour, and not all of them together; what a client wishes counts, and never less.
#[tokio::test(start_paused = true)]
async fn w6_w10_a_watch_ends_after_its_time_and_not_before() {
    let shelf = Shelf::new();
    let query = format!("resourceVersion={}", shelf.version());
    let mut lasted = std::collections::BTreeSet::new();
    for _ in 0..16 {
        let (mut watch, begun) = (shelf.watch(&query).await, tokio::time::Instant::now());
        let ended = tokio::time::timeout(Duration::from_mins(61), watch.body.next()).await;
        assert!(ended.expect("an end within the hour").is_none(), "a clean end");
        lasted.insert(begun.elapsed().as_secs());
    }
    let (shortest, longest) = (lasted.first().unwrap(), lasted.last().unwrap());
    assert!(*shortest >= 30 * 60 && *longest <= 60 * 60, "{lasted:?}");
    assert!(lasted.len() > 4, "spread: {lasted:?}");
    let (mut watch, begun) =
        (shelf.watch(&format!("{query}&timeoutSeconds=5")).await, tokio::time::Instant::now());
    assert!(watch.body.next().await.is_none());
    assert!((5..=6).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

/// The same objects, whose list is large enough to be packed.
#[tokio::test]
async fn r16_a_watch_is_never_packed() {
    let shelf = Shelf::new();
    let title = "t".repeat(2000);
    let many = (0..200).map(|index| {
        let mut book = book("shop", &format!("b{index:03}"), "Draft", 1);
        book.spec.title = Some(title.clone());
        book
    });
    shelf.put(many.collect());
    assert_eq!(shelf.packed("").await.headers()["content-encoding"], "gzip", "the list is");
    let watch = shelf.packed("watch=true&timeoutSeconds=1").await;
    assert!(!watch.headers().contains_key("content-encoding"));
    let line = watch.into_body().into_data_stream().next().await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&line).unwrap()["type"], "ADDED");
}

/// G11: ten thousand objects and a thousand watches of them: what a watch holds does not grow with what it watches,
/// once it has been told what there is.
#[tokio::test]
async fn w14_a_thousand_watches_hold_no_copies() {
    let shelf = Shelf::new();
    shelf.put((0..10_000).map(|index| book("shop", &format!("b{index:05}"), "Draft", 1)).collect());
    let state = shelf.0.feed.state().unwrap();
    let before = Arc::strong_count(&state);
    let router = Api::builder("demo.example", "v1").readable(shelf.clone()).build().unwrap().router();
    let uri = format!("/apis/demo.example/v1/books?watch=true&resourceVersion={}", shelf.version());
    let mut watches = Vec::new();
    for _ in 0..1000 {
        let mut request = Request::get(&uri).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Draining::never());
        let answer = router.clone().oneshot(request).await.unwrap();
        watches.push(answer.into_body().into_data_stream());
    }
    assert_eq!(shelf.0.watchers(), 1000);
    assert_eq!(Arc::strong_count(&state), before, "a watch of what comes holds no state");
    assert!(super::stream::size() <= 2048, "{} bytes for each watch", super::stream::size());
    let mut changed: Vec<_> =
        (0..10_000).map(|index| book("shop", &format!("b{index:05}"), "Draft", 1)).collect();
    changed[0].spec.pages = 2;
    shelf.put(changed);
    let mut lines = Vec::new();
    for watch in &mut watches {
        lines.push(watch.next().await.unwrap().unwrap());
    }
    let first = lines[0].as_ptr();
    assert!(lines.iter().all(|line| line.as_ptr() == first), "the bytes of an event are there once");
}
