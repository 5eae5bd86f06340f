//! W3, W4, W9, W13, W15: an informer as client-go and kube have it, against two replicas as clients see them: through
//! the routes, with everything that may happen in between.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, BodyDataStream},
};
use futures::StreamExt as _;
use http::{Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::Value;
use tower::ServiceExt as _;

use super::super::{Feed, Store, log::Log};
use crate::{
    api::Api,
    resource::{Readable, Wanted},
    shutdown::Draining,
    status::Status,
    testing::{Shown, book},
    version::Clock,
};

/// Of each object: whether it matches the selector, and its pages.
type World = BTreeMap<usize, (bool, i64)>;

/// How an informer comes by the present state.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It watches on from what it knows, and lists if that is too old.
    GoOn,
    /// It lists what is not older than what it knows, then watches.
    ListNotOlderThan,
    /// It has the first state streamed, with a mark at the end.
    StreamingList,
}

#[derive(Clone, Debug)]
enum Step {
    /// The world: this object looks so now; none means that it is gone.
    World(usize, Option<(bool, i64)>),
    /// This replica looks at the world.
    Poll(usize),
    /// From now on its source is silent, or is not.
    PollFails(usize, bool),
    /// The informer reads up to so many events.
    Read(usize),
    /// Its connection ends.
    Disconnect,
    /// It comes to this replica.
    Connect(usize, Way),
    /// It is another informer from now on: with a selector, or without.
    Selector(bool),
    /// A minute passes: bookmarks come, and in the end every watch ends.
    Minute,
    /// The wall clock of a replica goes on, or back.
    Clock(usize, i64),
}

fn any_way() -> impl Strategy<Value = Way> {
    prop_oneof![3 => Just(Way::GoOn), 1 => Just(Way::ListNotOlderThan), 1 => Just(Way::StreamingList)]
}

fn any_step() -> impl Strategy<Value = Step> {
    let look = prop::option::weighted(0.7, (any::<bool>(), 0..3_i64));
    prop_oneof![
        8 => (0..5_usize, look).prop_map(|(object, look)| Step::World(object, look)),
        6 => (0..2_usize).prop_map(Step::Poll),
        1 => (0..2_usize, any::<bool>()).prop_map(|(replica, fails)| Step::PollFails(replica, fails)),
        8 => (1..4_usize).prop_map(Step::Read),
        1 => Just(Step::Disconnect),
        4 => (0..2_usize, any_way()).prop_map(|(replica, way)| Step::Connect(replica, way)),
        1 => any::<bool>().prop_map(Step::Selector),
        1 => Just(Step::Minute),
        1 => (0..2_usize, -50..500_i64).prop_map(|(replica, by)| Step::Clock(replica, by)),
    ]
}

#[derive(Clone)]
struct Replica(Arc<Inner>);

struct Inner {
    store: Store<Shown>,
    world: Arc<Mutex<World>>,
    fails: AtomicBool,
    ahead: AtomicI64,
    /// What it saw at each version, the truth that an informer's copy is held against.
    saw: Mutex<BTreeMap<u64, World>>,
}

impl Replica {
    fn new(tag: u16, world: &Arc<Mutex<World>>) -> Self {
        let feed = Feed::over(Log::with_capacity(6), Arc::new(Clock::tagged(tag)), &[]);
        let store = Store { feed: Arc::new(feed), kind: std::marker::PhantomData };
        Self(Arc::new(Inner {
            store,
            world: Arc::clone(world),
            fails: AtomicBool::new(false),
            ahead: AtomicI64::new(0),
            saw: Mutex::default(),
        }))
    }

    fn poll(&self) -> Result<(), Status> {
        if self.0.fails.load(Ordering::SeqCst) {
            return Err(Status::unavailable("no answer"));
        }
        let world = self.0.world.lock().unwrap().clone();
        let objects = world.iter().map(|(object, (matches, pages))| {
            let state = if *matches { "Draft" } else { "Final" };
            Shown::from(book("s", &object.to_string(), state, *pages))
        });
        let ahead = SignedDuration::from_millis(self.0.ahead.load(Ordering::SeqCst));
        self.0.store.feed.publish(objects, Timestamp::now() + ahead).unwrap();
        let version = self.0.store.feed.state().unwrap().version;
        self.0.saw.lock().unwrap().insert(version, world);
        Ok(())
    }

    fn saw(&self, version: u64) -> Option<World> {
        self.0.saw.lock().unwrap().get(&version).cloned()
    }

    fn router(&self) -> Router {
        Api::builder("demo.example", "v1").readable(self.clone()).build().unwrap().router()
    }
}

impl Readable for Replica {
    type Object = Shown;

    fn store(&self) -> &Store<Shown> {
        &self.0.store
    }

    async fn fresh(&self, _: &Wanted) -> Result<(), Status> {
        self.poll()
    }
}

fn parsed(object: &Value) -> (usize, (bool, i64)) {
    let name = object["metadata"]["name"].as_str().unwrap().parse().unwrap();
    (name, (object["status"]["state"] == "Draft", object["spec"]["pages"].as_i64().unwrap()))
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// A copy that is made by a list, or by the first part of a watch, and kept by a watch.
struct Informer {
    routers: [Router; 2],
    replica: usize,
    selects: bool,
    copy: World,
    /// Nothing is known with 0.
    version: u64,
    watch: Option<BodyDataStream>,
    /// The first state, as far as it was streamed.
    initial: Option<World>,
}

impl Informer {
    fn new(routers: [Router; 2]) -> Self {
        Self {
            routers,
            replica: 0,
            selects: false,
            copy: World::new(),
            version: 0,
            watch: None,
            initial: None,
        }
    }

    fn selected(&self, world: &World) -> World {
        world
            .iter()
            .filter(|(_, (matches, _))| *matches || !self.selects)
            .map(|(key, look)| (*key, *look))
            .collect()
    }

    async fn ask(&self, query: &str) -> (StatusCode, Body) {
        let selector = if self.selects { "&labelSelector=state%3DDraft" } else { "" };
        let uri = format!("/apis/demo.example/v1/books?{query}{selector}");
        let mut request = Request::get(uri).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Draining::never());
        let answer = self.routers[self.replica].clone().oneshot(request).await.unwrap();
        (answer.status(), answer.into_body())
    }

    async fn connect(&mut self, replica: usize, way: Way) {
        (self.replica, self.watch, self.initial) = (replica, None, None);
        match way {
            Way::GoOn if self.version != 0 => self.go_on().await,
            Way::GoOn | Way::ListNotOlderThan => self.list().await,
            Way::StreamingList => self.stream().await,
        }
    }

    /// What is not older than what it knows; where that cannot be had, whatever there is.
    async fn list(&mut self) {
        let known = self.version.to_string();
        let not_older = format!("resourceVersion={known}&resourceVersionMatch=NotOlderThan");
        let (mut code, mut body) = self.ask(&not_older).await;
        if code != StatusCode::OK {
            (code, body) = self.ask("").await;
        }
        if code != StatusCode::OK {
            return;
        }
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let list: Value = serde_json::from_slice(&bytes).unwrap();
        self.copy = list["items"].as_array().unwrap().iter().map(parsed).collect();
        self.version = version(&list);
        self.go_on().await;
    }

    async fn go_on(&mut self) {
        let query = format!("watch=true&allowWatchBookmarks=true&resourceVersion={}", self.version);
        let (code, body) = self.ask(&query).await;
        self.watch = (code == StatusCode::OK).then(|| body.into_data_stream());
        if self.watch.is_none() {
            self.version = 0;
        }
    }

    async fn stream(&mut self) {
        let known = if self.version == 0 { String::new() } else { self.version.to_string() };
        let query = format!(
            "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&\
             resourceVersion={known}"
        );
        let (code, body) = self.ask(&query).await;
        if code == StatusCode::OK {
            (self.watch, self.initial) = (Some(body.into_data_stream()), Some(World::new()));
        } else {
            self.version = 0;
        }
    }

    /// Up to so many events of those that are there; whoever has no watch gets one first.
    async fn read(&mut self, limit: usize) -> Result<(), TestCaseError> {
        if self.watch.is_none() {
            self.connect(self.replica, Way::GoOn).await;
        }
        for _ in 0..limit {
            let Some(watch) = &mut self.watch else { return Ok(()) };
            match tokio::time::timeout(Duration::from_millis(1), watch.next()).await {
                Err(_) => return Ok(()),
                Ok(None) => self.watch = None,
                Ok(Some(line)) => self.take(&serde_json::from_slice(&line.unwrap()).unwrap())?,
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &Value) -> Result<(), TestCaseError> {
        let object = &event["object"];
        match (event["type"].as_str().unwrap(), self.initial.as_mut()) {
            ("ERROR", _) => {
                prop_assert_eq!(&object["code"], 410, "{}", event);
                (self.watch, self.initial, self.version) = (None, None, 0);
            }
            ("BOOKMARK", initial) => {
                let ends = object["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true";
                prop_assert_eq!(
                    ends,
                    initial.is_some(),
                    "the end of the first state is marked, and nothing else"
                );
                prop_assert!(version(object) >= self.version || ends, "bookmarks do not go back");
                self.version = version(object);
                self.copy = self.initial.take().unwrap_or_else(|| std::mem::take(&mut self.copy));
            }
            ("ADDED", Some(initial)) => {
                let (name, look) = parsed(object);
                prop_assert_eq!(initial.insert(name, look), None, "the first state has each object once");
            }
            (kind, None) => self.change(kind, object)?,
            (kind, Some(_)) => prop_assert!(false, "{} before the first state has ended", kind),
        }
        Ok(())
    }

    /// Every event must fit the copy: an addition of what is not there, a change or deletion of what is.
    fn change(&mut self, kind: &str, object: &Value) -> Result<(), TestCaseError> {
        prop_assert!(version(object) > self.version, "versions grow: {} after {}", object, self.version);
        self.version = version(object);
        let (name, look) = parsed(object);
        prop_assert!(!self.selects || look.0, "{} of what was not selected", kind);
        match kind {
            "ADDED" => prop_assert_eq!(self.copy.insert(name, look), None, "no event is told twice"),
            "MODIFIED" => prop_assert!(self.copy.insert(name, look).is_some_and(|before| before != look)),
            "DELETED" => prop_assert_eq!(self.copy.remove(&name), Some(look), "the last state is shown"),
            other => prop_assert!(false, "an event of type {}", other),
        }
        Ok(())
    }

    fn restart(&mut self, selects: bool) {
        *self = Self { selects, replica: self.replica, ..Self::new(self.routers.clone()) };
    }

    /// The copy is what the replica saw at this version, where it published that.
    fn check(&self, replicas: &[Replica; 2]) -> Result<(), TestCaseError> {
        if self.initial.is_none()
            && let Some(saw) = replicas.iter().find_map(|replica| replica.saw(self.version))
        {
            prop_assert_eq!(&self.copy, &self.selected(&saw), "at version {}", self.version);
        }
        Ok(())
    }
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let world = Arc::<Mutex<World>>::default();
    let replicas = [Replica::new(1, &world), Replica::new(2, &world)];
    let mut informer = Informer::new(replicas.clone().map(|replica| replica.router()));
    for step in steps {
        match step {
            Step::World(object, Some(look)) => drop(world.lock().unwrap().insert(object, look)),
            Step::World(object, None) => drop(world.lock().unwrap().remove(&object)),
            // A silent source publishes nothing.
            Step::Poll(replica) => drop(replicas[replica].poll()),
            Step::PollFails(replica, fails) => replicas[replica].0.fails.store(fails, Ordering::SeqCst),
            Step::Read(limit) => informer.read(limit).await?,
            Step::Disconnect => (informer.watch, informer.initial) = (None, None),
            Step::Connect(replica, way) => informer.connect(replica, way).await,
            Step::Selector(selects) => informer.restart(selects),
            Step::Minute => tokio::time::sleep(Duration::from_secs(61)).await,
            Step::Clock(replica, by) => drop(replicas[replica].0.ahead.fetch_add(by, Ordering::SeqCst)),
        }
        informer.check(&replicas)?;
    }
    for replica in &replicas {
        replica.0.fails.store(false, Ordering::SeqCst);
        replica.poll().unwrap();
    }
    for _ in 0..50 {
        informer.read(8).await?;
        informer.check(&replicas)?;
    }
    let seen = informer.selected(&world.lock().unwrap());
    prop_assert_eq!(&informer.copy, &seen, "in the end the copy is the world");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn w4_no_event_is_lost_or_invented_on_any_replica(steps in prop::collection::vec(any_step(), 1..120)) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap().block_on(play(steps))?;
    }
}
