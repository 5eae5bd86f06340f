//! Runs the passes of one kind: each object once at a time, however often it was woken. kube's scheduler says which is
//! next, and when.
//!
//! Each pass is a task of its own: a pass that wakes is polled alone.

use std::collections::HashSet;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::pace::{AFTER_A_RACE, Pace};
use super::{Context, Error, Kind, behind, observed, reconcile};
use crate::runtime::metrics::Controller;
use crate::watches::{Cache, Queue};

/// How many objects of a kind are looked at at the same time. A pass may wait for seconds, for a Restate that calls an
/// endpoint without a route, or that does not answer: the objects of every other Restate must not wait behind it. How
/// many requests the API server gets at a time is bounded by the client.
const CONCURRENCY: usize = 128;

/// What a pass of a kind is given.
struct Shared<K: Kind> {
    context: Context,
    cache: Arc<Cache<K>>,
    pace: Pace<ObjectRef<K>>,
}

/// Looks at every object, and then at those that are woken, until `stop`; what has begun then comes to its end.
pub(crate) async fn run<K: Kind>(
    context: Context,
    cache: Arc<Cache<K>>,
    queue: &Queue<K>,
    stop: CancellationToken,
) {
    let counting = (context.clone(), cache.clone());
    let shared = Arc::new(Shared { context, cache, pace: Pace::default() });
    tokio::select! {
        () = passes(&shared, queue, stop) => {}
        () = behind::count(&counting.0, &counting.1) => {}
    }
}

async fn passes<K: Kind>(shared: &Arc<Shared<K>>, queue: &Queue<K>, stop: CancellationToken) {
    let wishes = queue.open();
    for object in shared.cache.marked(|_, _| true) {
        queue.push(object);
    }
    let again = |object, pause| queue.push_at(object, Instant::now() + pause);
    each(wishes, stop, |object| pass(object, shared.clone()), again).await;
}

/// Does the work for each that is wished for, once at a time, and says after which pause it wants to come again.
async fn each<T, F>(
    mut wishes: UnboundedReceiver<ScheduleRequest<T>>,
    stop: CancellationToken,
    work: impl Fn(T) -> F,
    again: impl Fn(T, Duration),
) where
    T: Clone + Eq + Hash + Send + 'static,
    F: Future<Output = (T, Option<Duration>)> + Send + 'static,
{
    let wishes = futures::stream::poll_fn(move |context| wishes.poll_recv(context));
    let mut wishes = pin!(scheduler(wishes));
    let (mut under_way, mut busy) = (JoinSet::new(), HashSet::new());
    loop {
        let (goes_on, room) = (!stop.is_cancelled(), under_way.len() < CONCURRENCY);
        // Also without room: what is wished for many times meanwhile is kept once.
        let mut next = wishes.as_mut().hold_unless(|object| room && !busy.contains(object));
        tokio::select! {
            () = stop.cancelled(), if goes_on => {}
            Some(object) = next.next(), if goes_on => {
                busy.insert(object.clone());
                under_way.spawn(work(object).in_current_span());
            }
            Some(ended) = under_way.join_next() => {
                let (done, pause) = whole(ended).await;
                busy.remove(&done);
                if let Some(pause) = pause {
                    again(done, pause);
                }
            }
            else => return,
        }
    }
}

/// What a task came to; a panic is passed on.
async fn whole<T>(ended: Result<T, JoinError>) -> T {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(output) => output,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The whole program ends.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// One pass, and after which pause the next one comes; none where the object is gone.
async fn pass<K: Kind>(reference: ObjectRef<K>, shared: Arc<Shared<K>>) -> (ObjectRef<K>, Option<Duration>) {
    let Some(object) = shared.cache.get(reference.namespace.as_deref(), &reference.name) else {
        forget(&reference, &shared);
        return (reference, None);
    };
    let span = tracing::info_span!("pass", object = %reference);
    let pause = look(object, &reference, &shared).instrument(span).await;
    (reference, Some(pause))
}

async fn look<K: Kind>(object: Arc<K>, reference: &ObjectRef<K>, shared: &Shared<K>) -> Duration {
    let context = &shared.context;
    let restless = shared.pace.is_restless(reference);
    match observed(&context.metrics, K::CONTROLLER, reconcile(object, context, restless)).await {
        Ok(pass) => shared.pace.after(reference, &pass, Timestamp::now()),
        Err(error) => after_failure(reference, &error, shared),
    }
}

fn after_failure<K: Kind>(reference: &ObjectRef<K>, error: &Error, shared: &Shared<K>) -> Duration {
    let flat = error.is_quiet().then_some(AFTER_A_RACE);
    let pause = error.rest().or(flat).unwrap_or_else(|| shared.pace.after_failure(reference));
    if error.is_quiet() || error.was_said() {
        tracing::debug!(error = error.chain(), "looks again");
    } else {
        tracing::warn!(error = error.chain(), ?pause, "the pass failed");
    }
    pause
}

fn forget<K: Kind>(reference: &ObjectRef<K>, shared: &Shared<K>) {
    if K::CONTROLLER == Controller::Deployment {
        shared.context.restates.forget(&reference.clone().into_kind_unchecked(()));
    }
    shared.pace.forget(reference);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(10);

    fn wish(sender: &UnboundedSender<ScheduleRequest<usize>>, message: usize) {
        sender.send(ScheduleRequest { message, run_at: Instant::now() }).unwrap();
    }

    /// Runs for as long as `patience`: how many were under way for the same number and altogether, at most, and how
    /// often there was work.
    async fn worked(wishes: &[usize], pause: Option<Duration>, patience: Duration) -> [usize; 3] {
        let (sender, woken) = unbounded_channel();
        for number in wishes {
            wish(&sender, *number);
        }
        let counts: Arc<[AtomicUsize; 4]> = Arc::default();
        let seen = counts.clone();
        let work = move |number| {
            let counts = seen.clone();
            async move {
                let [zeros, all, most, done] = &*counts;
                let now = all.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                let same = if number == 0 { zeros.fetch_add(1, Ordering::SeqCst) + 1 } else { 1 };
                assert_eq!(same, 1, "one at a time");
                tokio::time::sleep(SOON).await;
                zeros.fetch_sub(usize::from(number == 0), Ordering::SeqCst);
                all.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
                (number, pause)
            }
        };
        let again = |message, pause| {
            sender.send(ScheduleRequest { message, run_at: Instant::now() + pause }).unwrap();
        };
        drop(timeout(patience, each(woken, CancellationToken::new(), work, again)).await);
        [1, 2, 3].map(|index| counts[index].load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wished_for_many_times_is_done_once_and_once_more_if_it_was_under_way() {
        assert_eq!(worked(&[0, 0, 0, 1], None, Duration::from_secs(1)).await, [0, 2, 2]);
        let again = worked(&[0], Some(Duration::from_millis(90)), Duration::from_millis(955)).await;
        assert_eq!(again, [0, 1, 10], "every tenth of a second");
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_under_way_and_no_more() {
        let many: Vec<usize> = (1..=3 * CONCURRENCY).collect();
        let [_, most, done] = worked(&many, None, Duration::from_secs(1)).await;
        assert_eq!((most, done), (CONCURRENCY, 3 * CONCURRENCY));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_begun_comes_to_its_end_and_nothing_else_begins() {
        let (sender, woken) = unbounded_channel();
        let (stop, done) = (CancellationToken::new(), Arc::<AtomicUsize>::default());
        let (stopping, counted) = (stop.clone(), done.clone());
        let work = move |number| {
            let (stop, done) = (stopping.clone(), counted.clone());
            async move {
                stop.cancel();
                tokio::time::sleep(SOON).await;
                done.fetch_add(1, Ordering::SeqCst);
                (number, Some(Duration::ZERO))
            }
        };
        wish(&sender, 1);
        let again = |number, _| wish(&sender, number);
        timeout(Duration::from_secs(1), each(woken, stop, work, again)).await.expect("it ends");
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    #[should_panic(expected = "as it was")]
    async fn a_panic_is_passed_on() {
        let (sender, woken) = unbounded_channel();
        wish(&sender, 1);
        let work = |_| async { panic!("as it was") };
        each(woken, CancellationToken::new(), work, |_, _| ()).await;
    }
}
