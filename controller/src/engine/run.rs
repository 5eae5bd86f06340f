//! Runs the passes of one kind: kube's scheduler takes each object once at a time, however often it was woken.
//!
//! Each pass is a task of its own: the scheduler polls all that are under way whenever one of them wakes, which took up
//! to a fifth of the controller's time when hundreds of versions were rolled.

use std::convert::Infallible;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::pace::{AFTER_A_RACE, Pace};
use super::{Context, Error, Kind, behind, observed, reconcile};
use crate::runtime::metrics::Controller;
use crate::watches::Queue;

/// How many objects of a kind are looked at at the same time. A pass may wait for seconds, for a Restate that calls an
/// endpoint without a route, or that does not answer: the objects of every other Restate must not wait behind it. How
/// many requests the API server gets at a time is bounded by the client.
const CONCURRENCY: u16 = 128;

/// What a pass of a kind is given.
struct Shared<K: Kind> {
    context: Context,
    pace: Pace<ObjectRef<K>>,
}

/// Looks at every object, and then at those that are woken, until `stop`; what has begun then comes to its end.
pub(crate) async fn run<K: Kind>(
    context: Context,
    store: Store<K>,
    queue: &Queue<K>,
    stop: CancellationToken,
) {
    let woken = queue.open();
    for object in store.state() {
        queue.push(ObjectRef::from_obj(object.as_ref()));
    }
    let woken = futures::stream::unfold(woken, async |mut woken| Some((woken.recv().await?, woken)));
    let woken = woken.map(Ok::<_, Infallible>).take_until(stop.cancelled_owned());
    let counting = (context.clone(), store.clone());
    let shared = Arc::new(Shared { context, pace: Pace::default() });
    let config = Config::default().concurrency(CONCURRENCY);
    let passes = controller::applier(
        |object, shared| apart(pass(object, shared)).boxed(),
        |object, error, shared| after_failure(object.as_ref(), error, &shared),
        shared.clone(),
        store,
        Box::pin(woken),
        config,
    );
    let conclude = |result| {
        conclude(&shared, result);
        std::future::ready(())
    };
    tokio::select! {
        () = passes.for_each(conclude) => {}
        () = behind::count(&counting.0, &counting.1) => {}
    }
}

/// Runs it in a task that ends with whoever waits for it.
async fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let task = AbortOnDropHandle::new(tokio::spawn(work.in_current_span()));
    match task.await.map_err(JoinError::try_into_panic) {
        Ok(output) => output,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The whole program ends.
        Err(Err(_)) => std::future::pending().await,
    }
}

async fn pass<K: Kind>(object: Arc<K>, shared: Arc<Shared<K>>) -> Result<Action, Error> {
    let context = &shared.context;
    let reference = ObjectRef::from_obj(object.as_ref());
    let pass = observed(&context.metrics, K::CONTROLLER, reconcile(object, context)).await?;
    Ok(Action::requeue(shared.pace.after(&reference, &pass, Timestamp::now())))
}

fn after_failure<K: Kind>(object: &K, error: &Error, shared: &Shared<K>) -> Action {
    let reference = ObjectRef::from_obj(object);
    let flat = error.is_quiet().then_some(AFTER_A_RACE);
    let pause = error.rest().or(flat).unwrap_or_else(|| shared.pace.after_failure(&reference));
    if error.is_quiet() || error.was_said() {
        tracing::debug!(object = %reference, error = error.chain(), "looks again");
    } else {
        tracing::warn!(object = %reference, error = error.chain(), ?pause, "the pass failed");
    }
    Action::requeue(pause)
}

type Concluded<K> = Result<(ObjectRef<K>, Action), controller::Error<Error, Infallible>>;

fn conclude<K: Kind>(shared: &Shared<K>, result: Concluded<K>) {
    if let Err(controller::Error::ObjectNotFound(gone)) = result {
        let reference = (*gone).into_kind_unchecked::<K>(());
        if K::CONTROLLER == Controller::Deployment {
            shared.context.restates.forget(&reference.clone().into_kind_unchecked(()));
        }
        shared.pace.forget(&reference);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_runs_apart_ends_with_whoever_waits_for_it() {
        let (dropped, hears) = tokio::sync::oneshot::channel::<()>();
        let work = apart(async move {
            let _held = dropped;
            std::future::pending::<()>().await;
        });
        assert!(tokio::time::timeout(Duration::from_millis(10), work).await.is_err(), "it does not end");
        assert!(hears.await.is_err(), "it is gone with whoever waited");
    }

    #[tokio::test]
    #[should_panic(expected = "as it was")]
    async fn a_panic_is_passed_on() {
        apart(async { panic!("as it was") }).await;
    }
}
