use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use http::Request;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    api::Api,
    kind::{Descriptor, Gvk, Kind, Resource, Row, Verb},
    list::reached,
    resource::{Readable, Wanted},
    shutdown::Draining,
    status::Status,
    store::Store,
    testing::{Book, BookSpec, BookStatus, book},
    version::Clock,
};

use super::*;

/// A book that is only read.
#[derive(Clone, serde::Serialize, schemars::JsonSchema)]
struct Shown {
    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    spec: BookSpec,
    status: BookStatus,
}

impl From<Book> for Shown {
    fn from(Book { metadata, spec, status }: Book) -> Self {
        Self { metadata, spec, status }
    }
}

impl Kind for Shown {
    const GVK: Gvk = Book::GVK;
    const COLUMNS: &'static [crate::kind::Column] = &[crate::kind::Column::NAME];

    fn metadata(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        vec![self.metadata.name.clone().into()]
    }
}

impl Resource for Shown {
    const DESCRIPTOR: Descriptor = Descriptor {
        verbs: &[Verb::Get, Verb::List, Verb::Watch],
        subresources: &[],
        selectable_fields: &[],
        ..Book::DESCRIPTOR
    };
}

#[derive(Clone)]
struct Shelf(Store<Shown>);

impl Readable for Shelf {
    type Object = Shown;

    fn store(&self) -> &Store<Shown> {
        &self.0
    }

    async fn fresh(&self, _: &Wanted) -> Result<(), Status> {
        Ok(())
    }
}

impl Shelf {
    fn new() -> Self {
        let shelf = Self(Store::new(&Arc::new(Clock::tagged(3))));
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
        let api = Api::builder("demo.example", "v1").readable(self.clone()).build().unwrap();
        let response = api.router().oneshot(request).await.unwrap();
        Events {
            code: response.status().as_u16(),
            media_type: response.headers()["content-type"].to_str().unwrap().to_owned(),
            body: response.into_body().into_data_stream(),
        }
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

#[tokio::test]
async fn w15_a_silent_source_deletes_nothing() {
    let shelf = Shelf::new();
    let mut events = shelf.watch("").await;
    events.told().await;
    shelf.0.set_warning(Some("no answer".to_owned()));
    assert_eq!(events.told().await, Vec::<String>::new());
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
async fn e3_w11_a_kind_without_the_verb_refuses() {
    assert_eq!(Shelf::new().watch("sendInitialEvents=true").await.code, 422, "W9 wants a match");
}
