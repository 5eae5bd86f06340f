//! One run from its beginning to its verdict.
//!
//! ```text
//! world ─► callers, developers, trouble, watchman at the same time ─► all calls are answered ─► rest ─► verdict
//! ```

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

use restate_tests::{
    Lab, Result, eventually,
    ingress::{Call, Sent},
    ledger::Waiting,
    oracle::{self, Called, Violation, Walked},
};
use serde::Deserialize;
use tokio::{
    sync::{mpsc::UnboundedReceiver, watch},
    time::Instant,
};

use crate::{
    faults::{self, Faults},
    rollouts::Rollouts,
    show,
    unchecked::Unchecked,
    watch::{Seen, host},
    world::{World, unready},
};

/// What is left may take so long: the longest call, twice over, and retries that have become rare.
const REST: Duration = Duration::from_mins(4);

/// Restate answers a question, also where it has just been started.
const ANSWERED: Duration = Duration::from_mins(1);

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Services that are rolled.
    pub(crate) services: usize,
    /// Calls to them.
    pub(crate) calls: usize,
    /// The time in which the calls are sent.
    pub(crate) time: Duration,
    /// Between two rollouts of whatever service.
    pub(crate) pause: Duration,
    /// Does anything go wrong?
    pub(crate) trouble: bool,
    /// How long what is left may take.
    pub(crate) rest: Duration,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// What must not have happened.
    pub(crate) violations: BTreeSet<Violation>,
    /// What did.
    pub(crate) summary: String,
}

impl Size {
    /// What fits into a CI run.
    pub(crate) fn small() -> Self {
        Self {
            services: 20,
            calls: 500,
            time: Duration::from_secs(110),
            pause: Duration::from_secs(2),
            trouble: true,
            rest: REST,
        }
    }

    /// Ten thousand calls.
    pub(crate) fn large() -> Self {
        Self { calls: 10_000, time: Duration::from_mins(8), ..Self::small() }
    }

    /// Enough for a controller that does wrong to be found out.
    pub(crate) fn tiny() -> Self {
        Self {
            services: 4,
            calls: 80,
            time: Duration::from_secs(40),
            trouble: false,
            rest: Duration::from_secs(30),
            ..Self::small()
        }
    }
}

/// Runs it with the controller that is installed.
pub(crate) async fn run(lab: &Lab, size: Size) -> Result<Verdict> {
    let (world, waiting) = World::new(lab, size.services).await?;
    let verdict = judge(&world, waiting, size).await?;
    println!("{}", show(&verdict));
    world.tear_down().await?;
    Ok(verdict)
}

/// Runs it with the controller that must be found out, in a world that the real one has made.
pub(crate) async fn run_unchecked(lab: &Lab, size: Size) -> Result<Verdict> {
    let (world, waiting) = World::new(lab, size.services).await?;
    let unchecked = Unchecked::start(lab).await?;
    let verdict = judge(&world, waiting, size).await;
    println!("{}", verdict.as_ref().map_or_else(ToString::to_string, show));
    unchecked.stop().await?;
    world.tear_down().await?;
    verdict
}

async fn judge(world: &World, waiting: UnboundedReceiver<Waiting>, size: Size) -> Result<Verdict> {
    let mut seen = Seen::default();
    let told = world.ingress.wake_all(waiting, 1);
    let (called, rollouts, faults) = tokio::select! {
        done = act(world, size) => done?,
        () = async { tokio::join!(seen.go_on(world), told); } => unreachable!("they have no end"),
    };
    let effects = world.ledger.effects();
    let called = with_pins(world, called, &seen).await?;
    let mut violations: BTreeSet<_> =
        oracle::judge(&called, &effects, oracle::Runs::OneByOne).into_iter().collect();
    violations.append(&mut seen.violations);
    if violations.is_empty() {
        violations.extend(restlessness(world, &rollouts, size.rest).await);
    }
    let pinned = called.iter().filter(|call| call.pinned.is_some()).count();
    let summary = format!(
        "{} calls to {} services, {} effects, {} of them again before they were in the journal; {pinned} calls whose \
         version Restate names too; {} versions rolled out, {} rolled back to, {} removed; {} looks; trouble: {faults:?}",
        called.len(),
        size.services,
        effects.len(),
        oracle::repeated(&effects),
        rollouts.forward,
        rollouts.back,
        seen.removed,
        seen.looks,
    );
    Ok(Verdict { violations, summary })
}

/// Everything that goes on at the same time, until all calls have been answered.
async fn act(world: &World, size: Size) -> Result<(Vec<Called>, Rollouts, Faults)> {
    let (stop, stopped) = watch::channel(false);
    let sent = Sent::default();
    let calls = (0..size.calls).map(|number| Call::new(number, &world.services)).collect();
    let mut rollouts = Rollouts::of(&world.services);
    let sending = async {
        world.ingress.send_all(calls, size.time, &world.ledger, &sent).await;
        stop.send_replace(true);
    };
    let trouble =
        async { if size.trouble { faults::go_on(world, stopped.clone()).await } else { Ok(Faults::new()) } };
    let both = async {
        let ((), faults) = tokio::join!(sending, trouble);
        stop.send_replace(true);
        faults
    };
    let (ended, end) = tokio::sync::oneshot::channel();
    let working = async {
        let faults = both.await;
        let _ = ended.send(());
        faults
    };
    let end = async {
        let _ = end.await;
    };
    let (faults, ()) = tokio::join!(working, rollouts.go_on(world, size.pause, end));
    let called = answers(world, sent, size.rest).await;
    Ok((called, rollouts, faults?))
}

async fn answers(world: &World, sent: Sent, rest: Duration) -> Vec<Called> {
    let calls = std::mem::take(&mut *Arc::clone(&sent).lock().unwrap_or_else(PoisonError::into_inner));
    let answers = world.ingress.outcomes(calls, Instant::now() + rest).await;
    let called =
        |(call, ids, answer): (Call, BTreeSet<String>, Result<Walked, String>)| call.called(ids, answer);
    answers.into_iter().map(called).collect()
}

#[derive(Deserialize)]
struct Pin {
    id: String,
    deployment: String,
}

/// What Restate itself says about where each call was pinned.
async fn with_pins(world: &World, mut called: Vec<Called>, seen: &Seen) -> Result<Vec<Called>> {
    const PINS: &str = "SELECT id, pinned_deployment_id AS deployment FROM sys_invocation_status \
                        WHERE pinned_deployment_id IS NOT NULL";
    let look = || async { Ok(Ok(world.rows::<Pin>(PINS).await?)) };
    let pins: Vec<Pin> = eventually("Restate to name the versions of calls", ANSWERED, look).await?;
    let pins: std::collections::HashMap<_, _> =
        pins.into_iter().map(|pin| (pin.id, pin.deployment)).collect();
    for call in &mut called {
        let deployment = call.invocations.first().and_then(|id| pins.get(id));
        call.pinned = deployment.and_then(|id| seen.versions.get(id)).cloned();
    }
    Ok(called)
}

#[derive(Deserialize)]
struct Registered {
    endpoint: String,
}

/// What has not come to rest in time: each service has the version that was wanted last, ready, registered, with
/// pods, and no other one.
async fn restlessness(world: &World, rollouts: &Rollouts, limit: Duration) -> Option<Violation> {
    let rest = eventually("everything to come to rest", limit, || async {
        let mut unrest: Vec<_> = world.stored().await?.iter().filter_map(unready).collect();
        let versions = world.versions().await?;
        let registered: Vec<Registered> = world.rows("SELECT endpoint FROM sys_deployment").await?;
        for (service, wanted) in &rollouts.wanted {
            let ours = versions.iter().filter(|version| version.service == *service);
            let alive: Vec<_> = ours.clone().filter(|version| version.replicas > 0).collect();
            let known = |name: &str| registered.iter().any(|it| host(&it.endpoint) == name);
            let names: Vec<_> = ours.filter(|version| known(&version.name)).map(|it| &it.says).collect();
            if alive.iter().map(|version| &version.says).ne([wanted]) || names != [wanted] {
                unrest.push(format!("{service} wants {wanted}, runs {alive:?}, registered {names:?}"));
            }
        }
        Ok(if unrest.is_empty() { Ok(()) } else { Err(unrest.join("; ")) })
    })
    .await;
    rest.err().map(|error| Violation::Restless(error.to_string()))
}
