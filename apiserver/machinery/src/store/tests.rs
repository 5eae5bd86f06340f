use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
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

/// What happens to a world of a few objects that two replicas look at, and to a client of both.
#[derive(Clone, Debug)]
enum Step {
    /// The world: this object has so many pages now; none means that it is gone.
    World(usize, Option<i64>),
    /// This replica looks at the world.
    Poll(usize),
    /// The client reads up to so many events.
    Read(usize),
    /// The client loses its connection and comes back to this replica.
    Reconnect(usize),
    /// Time passes (it may also go back).
    Time(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_usize, prop::option::weighted(0.7, 0..3_i64)).prop_map(|(object, pages)| Step::World(object, pages)),
        3 => (0..2_usize).prop_map(Step::Poll),
        4 => (1..4_usize).prop_map(Step::Read),
        2 => (0..2_usize).prop_map(Step::Reconnect),
        1 => (-50..500_i64).prop_map(Step::Time),
    ]
}

type World = BTreeMap<usize, i64>;

fn objects(world: &World) -> Vec<Book> {
    world.iter().map(|(object, pages)| book("s", &object.to_string(), "x", *pages)).collect()
}

fn contents(state: &State) -> World {
    state.items.iter().map(|item| parsed(item)).collect()
}

fn parsed(item: &crate::encoded::Encoded) -> (usize, i64) {
    let json: serde_json::Value = serde_json::from_slice(item.json()).unwrap();
    (item.name.parse().unwrap(), json["spec"]["pages"].as_i64().unwrap())
}

/// An informer: a copy that is made by a list and kept by a watch.
struct Client {
    replica: usize,
    copy: World,
    version: u64,
    position: Option<u64>,
    lists: usize,
}

impl Client {
    /// As informers do: go on from the last version; list again if the replica does not know it.
    fn connect(&mut self, replicas: &[Replica; 2], replica: usize) {
        self.replica = replica;
        let feed = &replicas[replica].feed;
        let log = feed.log();
        let known =
            if feed.clock.is_own(self.version) { log.after(self.version) } else { Err(Unknown::Expired) };
        self.position = match (known, log.state()) {
            (Ok(position), _) => Some(position),
            (Err(_), Some(state)) => {
                (self.copy, self.version) = (contents(state), state.version);
                self.lists += 1;
                Some(log.position())
            }
            (Err(_), None) => None,
        };
    }

    /// Every event must fit the copy: an addition of what is not there, a change or deletion of what is.
    fn read(&mut self, replicas: &[Replica; 2], limit: usize) -> Result<(), TestCaseError> {
        let Some(position) = self.position else {
            self.connect(replicas, self.replica);
            return Ok(());
        };
        let Some(changes) = replicas[self.replica].feed.log().read(position, limit) else {
            self.version = 0;
            self.connect(replicas, self.replica);
            return Ok(());
        };
        self.position = Some(position + changes.len() as u64);
        for change in changes {
            prop_assert!(change.version > self.version, "versions grow");
            self.version = change.version;
            let before = change.before.as_deref().map(parsed);
            let after = change.after.as_deref().map(parsed);
            if let Some((object, pages)) = before {
                prop_assert_eq!(self.copy.remove(&object), Some(pages), "no event was lost before this one");
            }
            if let Some((object, pages)) = after {
                prop_assert_eq!(self.copy.insert(object, pages), None, "no event is told twice");
            }
        }
        Ok(())
    }
}

struct Replica {
    feed: Feed,
    /// What it saw at each version, the truth that a client's copy is held against.
    saw: BTreeMap<u64, World>,
}

impl Replica {
    fn new(tag: u16) -> Self {
        let feed = Feed::over(Log::with_capacity(6), Arc::new(Clock::tagged(tag)), &[]);
        Self { feed, saw: BTreeMap::new() }
    }

    fn poll(&mut self, world: &World, now: Timestamp) {
        self.feed.publish(objects(world), now).unwrap();
        self.saw.insert(version(&self.feed), world.clone());
    }
}

proptest! {
    /// W3, W4, W15: whatever the world does, whenever replicas look, and wherever a client reconnects: its copy at
    /// the end of a look is what that replica saw, and in the end it is the world.
    #[test]
    fn w4_no_event_is_lost_or_invented_on_any_replica(steps in prop::collection::vec(any_step(), 1..120)) {
        let mut replicas = [Replica::new(1), Replica::new(2)];
        let (mut world, mut now) = (World::new(), now());
        let mut client = Client { replica: 0, copy: World::new(), version: 0, position: None, lists: 0 };
        for step in steps {
            match step {
                Step::World(object, Some(pages)) => { world.insert(object, pages); }
                Step::World(object, None) => { world.remove(&object); }
                Step::Poll(replica) => replicas[replica].poll(&world, now),
                Step::Read(limit) => client.read(&replicas, limit)?,
                Step::Reconnect(replica) => client.connect(&replicas, replica),
                Step::Time(milliseconds) => now += SignedDuration::from_millis(milliseconds),
            }
            if let Some(saw) = replicas[client.replica].saw.get(&client.version) {
                prop_assert_eq!(&client.copy, saw, "the copy is what the replica saw at this version");
            }
        }
        for replica in &mut replicas {
            replica.poll(&world, now);
        }
        for _ in 0..50 {
            client.read(&replicas, 8)?;
        }
        prop_assert_eq!(&client.copy, &world);
    }

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
