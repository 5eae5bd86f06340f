//! The loop, on a clock of its own: who asks how often, who is woken, who is told what.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use restate_model::{FailureKind, Reading, Registered, Registry, UsageReport};
use tokio::time::{Instant, sleep, timeout};

use super::source::{Clock, Source};
use super::*;
use crate::admin::Error;

/// What the scripted Restate does, and what was asked of it.
#[derive(Default)]
struct Script {
    registries: AtomicUsize,
    usages: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    takes: Mutex<Duration>,
    broken: Mutex<Option<Broken>>,
    deployments: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq)]
enum Broken {
    All,
    Usage,
}

struct Scripted(Arc<Script>);

thread_local! {
    static START: (Instant, Timestamp) = (Instant::now(), Timestamp::UNIX_EPOCH + Duration::from_hours(1));
    static SET_BACK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Follows tokio's clock, which the tests move, unless they set it back.
fn now() -> Timestamp {
    START.with(|(instant, timestamp)| *timestamp + instant.elapsed() - SET_BACK.get())
}

impl Scripted {
    async fn exchange<T>(
        &self,
        count: &AtomicUsize,
        breaks: &[Broken],
        value: T,
    ) -> Result<Reading<T>, Error> {
        let asked_at = now();
        count.fetch_add(1, Ordering::SeqCst);
        let under_way = self.0.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let takes = *self.0.takes.lock().unwrap();
        sleep(takes).await;
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        let broken = *self.0.broken.lock().unwrap();
        match broken {
            Some(broken) if breaks.contains(&broken) => Err(Error::Lacks("anything")),
            Some(_) | None => Ok(Reading { asked_at, value }),
        }
    }
}

impl Source for Scripted {
    fn clock(&self) -> Clock {
        now
    }

    async fn registry(&self) -> Result<Reading<Arc<Registry>>, Error> {
        let registered = |n: usize| {
            let registered =
                Registered { endpoint: n.to_string(), created_at: None, services: vec![], http11: false };
            (format!("dp_{n}").into(), Arc::new(registered))
        };
        let deployments = (0..self.0.deployments.load(Ordering::SeqCst)).map(registered).collect();
        let registry = Registry { deployments, ..Registry::default() };
        self.exchange(&self.0.registries, &[Broken::All], Arc::new(registry)).await
    }

    async fn usage(&self) -> Result<Reading<UsageReport>, Error> {
        self.exchange(&self.0.usages, &[Broken::All, Broken::Usage], UsageReport::default()).await
    }
}

fn start(millis: u64) -> (Arc<Script>, Subscription) {
    now(); // The clock starts.
    let script = Arc::new(Script::default());
    *script.takes.lock().unwrap() = Duration::from_millis(millis);
    let source = Scripted(Arc::clone(&script));
    let hub = Hub::start(source, "http://restate/".into(), Pace::default(), Arc::new(NoObserver));
    (script, Subscription { hub: Arc::new(hub) })
}

impl Script {
    fn asked(&self) -> (usize, usize) {
        (self.registries.load(Ordering::SeqCst), self.usages.load(Ordering::SeqCst))
    }

    fn break_down(&self, broken: Option<Broken>) {
        *self.broken.lock().unwrap() = broken;
    }
}

#[tokio::test(start_paused = true)]
async fn at_rest_nothing_is_asked() {
    let (script, subscription) = start(5);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(script.asked(), (0, 0));
    drop(subscription.demand(Demand::Usage));
    sleep(Duration::from_hours(1)).await;
    let after = script.asked();
    sleep(Duration::from_hours(1)).await;
    assert_eq!(script.asked(), after, "a demand that ended asks nothing more");
}

#[tokio::test(start_paused = true)]
async fn usage_is_asked_only_while_somebody_needs_it() {
    let (script, subscription) = start(5);
    let registry = subscription.demand(Demand::Registry);
    sleep(Duration::from_mins(1)).await;
    let (registries, usages) = script.asked();
    assert!((10..30).contains(&registries) && usages == 0, "{registries} {usages}");
    let usage = subscription.demand(Demand::Usage);
    sleep(Duration::from_mins(1)).await;
    let (_, usages) = script.asked();
    assert!((10..30).contains(&usages), "{usages}");
    drop((registry, usage));
}

#[tokio::test(start_paused = true)]
async fn a_slow_usage_query_is_asked_two_per_cent_of_the_time_however_many_want_it() {
    let (script, subscription) = start(1000);
    let held: Vec<_> = (0..100).map(|_| subscription.demand(Demand::Usage)).collect();
    for _ in 0..1000 {
        subscription.poke(Demand::Usage);
        sleep(Duration::from_secs(1)).await;
    }
    let (_, usages) = script.asked();
    assert!((15..=21).contains(&usages), "{usages} queries of 1 s in 1000 s");
    assert_eq!(script.most_under_way.load(Ordering::SeqCst), 1);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn many_readers_at_once_are_one_question() {
    let (script, subscription) = start(100);
    let moment = now() - Duration::from_nanos(1);
    let readers = (0..50).map(|_| subscription.fresh_after(moment, Demand::Usage));
    let answers = futures::future::join_all(readers).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(script.asked(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_only_shows_does_not_wait_for_a_restate_that_rests() {
    let (script, subscription) = start(1000);
    let patience = Duration::from_millis(200);
    let recent = || subscription.recent(now() - Duration::from_nanos(1), Demand::Usage, patience);
    let first = recent().await.unwrap();
    assert_eq!(script.asked().1, 1, "nothing was known, so it was waited for");
    sleep(Duration::from_secs(5)).await;
    let before = Instant::now();
    let second = recent().await.unwrap();
    assert!(before.elapsed() <= patience && second.usage == first.usage, "a query of 1 s rests for 49");
    *script.takes.lock().unwrap() = Duration::from_millis(10);
    script.deployments.store(1, Ordering::SeqCst);
    sleep(Duration::from_secs(5)).await;
    let registered = recent().await.unwrap().registry.clone().unwrap().value.deployments.len();
    assert_eq!((registered, script.asked().1), (1, 1), "what is registered does not rest for as long");
    *script.takes.lock().unwrap() = Duration::from_secs(1);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(script.asked().1, 2, "it is asked again for whoever comes next");
    let third = recent().await.unwrap();
    assert!(third.usage.as_ref().unwrap().asked_at > first.usage.as_ref().unwrap().asked_at);
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_the_registry_is_not_held_up_by_somebody_who_waits_for_usage() {
    let (script, subscription) = start(1000);
    subscription.fresh_after(now() - Duration::from_nanos(1), Demand::Usage).await.unwrap();
    subscription.poke(Demand::Usage);
    let before = Instant::now();
    let moment = now();
    let told = subscription.fresh_after(moment, Demand::Registry).await.unwrap();
    assert!(told.registry.as_ref().unwrap().is_newer_than(moment));
    assert!(before.elapsed() < Duration::from_secs(6), "{:?}", before.elapsed());
    assert_eq!(script.asked(), (2, 1), "a query of 1 s rests for 49, a registry of 1 s for four");
    sleep(Duration::from_mins(1)).await;
    assert_eq!(script.asked(), (3, 2), "who waits for usage was not forgotten");
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_way_is_not_fresh_for_whoever_comes_later() {
    let (script, subscription) = start(100);
    subscription.poke(Demand::Usage);
    sleep(Duration::from_millis(150)).await; // The usage query has started, its answer comes at 200.
    let moment = now();
    let snapshot = subscription.fresh_after(moment, Demand::Usage).await.unwrap();
    assert!(snapshot.usage.as_ref().unwrap().asked_at > moment);
    assert!(snapshot.registry.as_ref().unwrap().asked_at > moment);
    assert_eq!(script.asked(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_moment_to_come_is_waited_for() {
    let (_, subscription) = start(1);
    let moment = now() + Duration::from_mins(1);
    let snapshot = subscription.fresh_after(moment, Demand::Registry).await.unwrap();
    assert!(snapshot.registry.as_ref().unwrap().asked_at >= moment);
    assert!(snapshot.usage.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_failure_leaves_the_reading_to_grow_old_and_tells_those_who_wait() {
    let (script, subscription) = start(5);
    let good = subscription.fresh_after(now(), Demand::Usage).await.unwrap();
    script.break_down(Some(Broken::Usage));
    let failure = subscription.fresh_after(now(), Demand::Usage).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Malformed);
    let after = subscription.snapshot();
    assert_eq!(after.usage, good.usage);
    assert!(after.registry.as_ref().unwrap().asked_at > good.registry.as_ref().unwrap().asked_at);
    assert_eq!(after.failure, Some(failure));
    script.break_down(None);
    let mended = subscription.fresh_after(now(), Demand::Usage).await.unwrap();
    assert_eq!(mended.failure, None);
}

/// Otherwise an old answer would pass for one that was asked after whatever is recorded from now on.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_makes_no_old_answer_new() {
    let (script, subscription) = start(5);
    let held = subscription.demand(Demand::Usage);
    sleep(Duration::from_secs(10)).await;
    script.break_down(Some(Broken::All));
    let before = now();
    SET_BACK.set(Duration::from_mins(10));
    sleep(Duration::from_mins(1)).await;
    let snapshot = subscription.snapshot();
    assert!(snapshot.registry.is_none() && snapshot.usage.is_none(), "{snapshot:?}");
    script.break_down(None);
    sleep(Duration::from_mins(1)).await;
    let snapshot = subscription.snapshot();
    let asked_at = snapshot.registry.as_ref().unwrap().asked_at;
    assert!(asked_at < before && asked_at <= now(), "asked again, at the same pace as ever");
    let answer = timeout(Duration::from_secs(10), subscription.fresh_after(now(), Demand::Usage)).await;
    assert!(answer.unwrap().is_ok());
    drop(held);
}

/// The clock is set back while an answer is under way: its moment is later than now.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_asked_for_in_the_future_is_none() {
    let (_, subscription) = start(1_000);
    subscription.poke(Demand::Registry);
    sleep(Duration::from_millis(500)).await;
    SET_BACK.set(Duration::from_mins(10));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(subscription.snapshot().registry, None);
}

#[tokio::test(start_paused = true)]
async fn a_restate_that_is_down_is_asked_less_and_less_and_found_again() {
    let (script, subscription) = start(5);
    script.break_down(Some(Broken::All));
    let held = subscription.demand(Demand::Usage);
    sleep(Duration::from_mins(10)).await;
    let (registries, usages) = script.asked();
    assert!((12..60).contains(&registries), "{registries} in ten minutes");
    assert_eq!(usages, 0, "where the registry fails, usage is not asked");
    script.break_down(None);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(subscription.snapshot().failure, None);
    assert!(script.asked().1 > 0);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn readers_cannot_storm_a_restate_that_is_down() {
    let (script, subscription) = start(1);
    script.break_down(Some(Broken::All));
    let started = Instant::now();
    while started.elapsed() < Duration::from_mins(1) {
        let answer = timeout(Duration::from_secs(5), subscription.fresh_after(now(), Demand::Usage)).await;
        assert!(matches!(answer, Ok(Err(_))), "{answer:?}");
    }
    assert!(script.asked().0 <= 62, "{:?} in a minute", script.asked());
}

#[tokio::test(start_paused = true)]
async fn changes_wake_for_content_and_for_pokes_only() {
    let (script, subscription) = start(5);
    let held = subscription.demand(Demand::Usage);
    sleep(Duration::from_secs(30)).await;
    let (mut changes, mut rounds) = (subscription.changes(), subscription.rounds());
    changes.mark_unchanged();
    rounds.mark_unchanged();
    sleep(Duration::from_secs(30)).await;
    assert!(rounds.has_changed().unwrap(), "ages advance");
    assert!(!changes.has_changed().unwrap(), "content does not");
    script.deployments.store(1, Ordering::SeqCst);
    sleep(Duration::from_secs(10)).await;
    assert!(changes.has_changed().unwrap());
    assert_eq!(changes.borrow_and_update().registry.as_ref().unwrap().value.deployments.len(), 1);
    subscription.poke(Demand::Registry);
    sleep(Duration::from_secs(2)).await;
    assert!(changes.has_changed().unwrap(), "whoever poked waits for it");
    changes.mark_unchanged();
    script.break_down(Some(Broken::All));
    sleep(Duration::from_secs(10)).await;
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    sleep(Duration::from_mins(5)).await;
    assert!(!changes.has_changed().unwrap(), "the same failure again is no news");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn the_last_subscription_ends_the_task() {
    let (script, subscription) = start(5);
    let held = subscription.demand(Demand::Registry);
    let mut rounds = subscription.rounds();
    drop(subscription);
    sleep(Duration::from_mins(1)).await;
    let asked = script.asked();
    assert!(asked.0 > 5, "a demand keeps it alive");
    drop(held);
    rounds.mark_unchanged();
    assert!(rounds.changed().await.is_err(), "the task is gone");
}

#[tokio::test]
async fn one_endpoint_has_one_poller_and_other_credentials_another() {
    let policy = crate::Policy::default();
    let transport = Transport::new(&crate::transport::Options::default()).unwrap();
    let pollers = Pollers::new(&transport, Pace::default(), Arc::new(NoObserver));
    let plain = Endpoint::new("http://restate:9070", &policy).unwrap();
    let same = Endpoint::new("http://RESTATE.:9070/", &policy).unwrap();
    let other = plain.clone().with_token("hush".into());
    let [a, b, c] = [&plain, &same, &other].map(|endpoint| pollers.subscribe(endpoint));
    assert!(Arc::ptr_eq(&a.hub, &b.hub));
    assert!(!Arc::ptr_eq(&a.hub, &c.hub));
    assert_eq!(a.key(), c.key());
}
