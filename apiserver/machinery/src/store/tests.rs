mod informer;

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;

use super::{log::Log, *};
use crate::testing::{Book, book};

fn now() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

fn feed(smallest: usize) -> Feed {
    Feed::over(Log::with_capacity(smallest), Arc::new(Clock::tagged(1)), &[])
}

fn version(feed: &Feed) -> u64 {
    feed.state().map_or(0, |state| state.version)
}

fn changes_after(feed: &Feed, version: u64) -> Vec<(Option<String>, Option<String>)> {
    let log = feed.log();
    let name =
        |object: &Option<Arc<crate::encoded::Encoded>>| object.as_ref().map(|object| object.name.to_string());
    let changes = log.read(log.after(version).unwrap(), usize::MAX).unwrap();
    changes.iter().map(|change| (name(&change.before), name(&change.after))).collect()
}

#[test]
fn w3_only_what_changed_is_a_change() {
    let feed = feed(16);
    feed.publish(vec![book("s", "a", "x", 1), book("s", "b", "x", 1), book("s", "c", "x", 1)], now())
        .unwrap();
    let start = version(&feed);
    feed.publish(vec![book("s", "d", "x", 1), book("s", "c", "y", 1), book("s", "b", "x", 1)], now())
        .unwrap();
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(changes_after(&feed, start), [(name("a"), None), (name("c"), name("c")), (None, name("d"))]);
    let state = feed.state().unwrap();
    let versions: Vec<u64> = state.items.iter().map(|item| item.version).collect();
    assert_eq!(versions[0], start, "b keeps its version");
    assert_eq!(versions.iter().max(), Some(&state.version));
}

#[test]
fn w3_another_object_under_the_same_name_is_a_deletion_and_an_addition() {
    let feed = feed(16);
    feed.publish(vec![book("s", "a", "x", 1)], now()).unwrap();
    let start = version(&feed);
    let mut other = book("s", "a", "x", 1);
    other.metadata.uid = Some("another".to_owned());
    feed.publish(vec![other], now()).unwrap();
    let name = || Some("a".to_owned());
    assert_eq!(changes_after(&feed, start), [(name(), None), (None, name())]);
}

#[test]
fn w3_the_same_again_is_no_change_and_no_new_bytes() {
    let feed = feed(16);
    feed.publish(vec![book("s", "a", "x", 1)], now()).unwrap();
    let before = feed.state().unwrap();
    feed.publish(vec![book("s", "a", "x", 1)], now()).unwrap();
    let after = feed.state().unwrap();
    assert_eq!(before.version, after.version);
    assert!(Arc::ptr_eq(&before.items[0], &after.items[0]));
}

#[test]
fn w3_the_time_of_looking_is_shown_without_being_an_event() {
    let feed = feed(16);
    let mut object = book("s", "a", "x", 1);
    feed.publish(vec![object.clone()], now()).unwrap();
    let start = version(&feed);
    object.status.observed_at = Some(now());
    feed.publish(vec![object], now()).unwrap();
    let state = feed.state().unwrap();
    assert_eq!((state.version, changes_after(&feed, start).len()), (start, 0));
    let json = String::from_utf8(state.items[0].json().to_vec()).unwrap();
    assert!(
        json.contains("observedAt") && json.contains(&format!("\"resourceVersion\":\"{start}\"")),
        "{json}"
    );
}

#[test]
fn w3_what_the_ring_lost_is_expired() {
    let feed = feed(4);
    feed.publish(vec![book("s", "a", "x", 0)], now()).unwrap();
    let start = version(&feed);
    for pages in 1..=5 {
        feed.publish(vec![book("s", "a", "x", pages)], now()).unwrap();
    }
    let log = feed.log();
    assert_eq!(log.after(start), Err(Unknown::Expired));
    assert_eq!(log.after(start + 1), Err(Unknown::Expired), "a version that nobody issued");
    assert_eq!(log.after(u64::MAX), Err(Unknown::Future));
    assert_eq!(log.read(0, 10).map(|changes| changes.len()), None, "a position that is lost");
}

#[test]
fn w14_the_end_of_all_objects_pushes_nobody_out() {
    let feed = feed(4);
    let many = (0..100).map(|number| book("s", &format!("b{number}"), "x", 0));
    feed.publish(many.collect::<Vec<_>>(), now()).unwrap();
    let start = version(&feed);
    feed.publish(Vec::<Book>::new(), now()).unwrap();
    assert_eq!(changes_after(&feed, start).len(), 100);
    feed.publish(vec![book("s", "next", "x", 0)], now()).unwrap();
    assert_eq!(changes_after(&feed, start).len(), 101, "nor does what comes after it");
}

/// Lists at another replica's version issue versions without changes: they cost watches nothing.
#[test]
fn w14_who_only_reads_pushes_nobody_out() {
    let feed = feed(4);
    feed.publish(vec![book("s", "a", "x", 0)], now()).unwrap();
    let start = version(&feed);
    let passed: Vec<u64> = (0..100)
        .map(|_| {
            feed.pass(version(&feed) + 1, now());
            version(&feed)
        })
        .collect();
    feed.publish(vec![book("s", "a", "x", 1)], now()).unwrap();
    feed.pass(version(&feed) + 1, now());
    let change = [(Some("a".to_owned()), Some("a".to_owned()))];
    let seen =
        |from| changes_after(&feed, from).into_iter().filter(|change| change.1.is_some()).collect::<Vec<_>>();
    assert_eq!(seen(start), change);
    for version in passed {
        assert_eq!(seen(version), change, "each of them was issued, and all mean the same state");
    }
    let ahead = version(&feed) + 1;
    assert_eq!(feed.log().after(ahead), Err(Unknown::Future));
}

#[test]
fn m4_what_a_store_holds_is_shown() {
    let feed = Arc::new(feed(4));
    for pages in 0..=6 {
        feed.publish(vec![book("s", "a", "x", pages), book("s", "b", "x", 0)], now()).unwrap();
    }
    let _watch = feed.bell();
    let mut registry = prometheus_client::registry::Registry::default();
    Levels(vec![("books", feed)]).register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        lines,
        [
            r#"apiserver_store_objects{resource="books"} 2"#,
            r#"apiserver_store_watchers{resource="books"} 1"#,
            r#"apiserver_store_changes_dropped{resource="books"} 2"#,
        ]
    );
}

#[test]
fn the_last_of_two_objects_with_one_name_counts() {
    let feed = feed(4);
    feed.publish(vec![book("s", "a", "first", 1), book("s", "a", "last", 1)], now()).unwrap();
    let state = feed.state().unwrap();
    assert_eq!((state.items.len(), &state.items[0].labels["state"]), (1, &"last".to_owned()));
}

type World = BTreeMap<usize, i64>;

fn objects(world: &World) -> Vec<Book> {
    world.iter().map(|(object, pages)| book("s", &object.to_string(), "x", *pages)).collect()
}

proptest! {
    /// W2: the versions of a replica grow over all its publications, and no two changes share one.
    #[test]
    fn w2_versions_of_changes_are_distinct_and_grow(worlds in prop::collection::vec(prop::collection::btree_map(0..6_usize, 0..3_i64, 0..6), 2..12)) {
        let feed = feed(10_000);
        for world in &worlds {
            feed.publish(objects(world), now()).unwrap();
        }
        let log = feed.log();
        let changes = log.read(0, usize::MAX).unwrap();
        prop_assert!(changes.is_sorted_by(|one, next| one.version < next.version));
    }
}
