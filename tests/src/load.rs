//! Continuous invocations of a cluster while something is done to it, and the verdict on them.
//!
//! The calls are those of the chaos run: each has an idempotency key, several steps with pauses, and effects in a
//! ledger that Restate knows nothing of (docs/decisions/chaos.md). The judge is the same.

use std::{collections::BTreeSet, io::Write as _, sync::Arc, time::Duration};

use anyhow::ensure;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Lab, Namespace, Restate, Result, Service,
    ingress::{Call, Ingress},
    lab::Image,
    ledger::Ledger,
    oracle::{self, Runs, Violation},
    traffic::Traffic,
};

/// So many calls wait to be accepted at a time: a cluster that is down for a while is not met by a flood.
const AT_A_TIME: usize = 16;
/// What is printed of a verdict that is long.
const SHOWN: usize = 10;

/// How calls follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    every: Duration,
    hurry: u32,
}

/// Calls to one service of a cluster, from the beginning until [`Load::end`].
#[derive(Debug)]
pub struct Load {
    ingress: Ingress,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
    give_up: CancellationToken,
    sending: JoinHandle<Vec<Sent>>,
    waking: JoinHandle<()>,
    _namespace: Namespace,
    /// A test that fails on its way sends nothing more.
    _guards: [DropGuard; 2],
}

/// How it went.
#[derive(Debug)]
pub struct Verdict {
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// What callers saw.
    pub traffic: Traffic,
    /// How many calls there were.
    pub calls: usize,
    /// How many effects.
    pub effects: usize,
    /// How many of those came again before the result of their step was recorded.
    pub repeated: usize,
}

/// A call with the ids that Restate gave for it; none where it was never accepted.
type Sent = (Call, BTreeSet<String>);

impl Pace {
    /// Calls that last half a minute and more: they live through whatever is done.
    pub fn steady() -> Self {
        Self { every: Duration::from_millis(250), hurry: 1 }
    }

    /// Calls that last a few seconds, for a run that must be short.
    pub fn brisk() -> Self {
        Self { every: Duration::from_millis(200), hurry: 5 }
    }
}

impl Load {
    /// Rolls out a service whose steps are told to a ledger, and begins to call it; the cluster is Ready.
    pub async fn begin(lab: &Lab, restate: &Restate, pace: Pace) -> Result<Self> {
        let (ledger, waiting) = Ledger::open(&lab.address().await?).await?;
        let namespace = Namespace::new(lab, "load").await?;
        let service = Service::new(lab, &namespace, restate);
        service.apply_with(Image::GreeterV1, |object| tell(object, &ledger.address)).await?;
        service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
        let get = ["-n", restate.name(), "get", "service", "restate", "-o", "jsonpath={.spec.clusterIP}"];
        let host = lab.kubectl()?.run(get).await?;
        // Each request has a connection of its own, and so comes to any of the nodes.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
        let ingress = Ingress::at(&client, &host);
        let (ledger, stop, give_up) = (Arc::new(ledger), CancellationToken::new(), CancellationToken::new());
        let caller = Caller {
            ingress: ingress.clone(),
            ledger: Arc::clone(&ledger),
            services: vec![service.name().to_owned()],
            pace,
            stop: stop.clone(),
            give_up: give_up.clone(),
        };
        let waker = ingress.clone();
        Ok(Self {
            sending: tokio::spawn(caller.go_on()),
            waking: tokio::spawn(async move { waker.wake_all(waiting, pace.hurry).await }),
            _guards: [stop.clone().drop_guard(), give_up.clone().drop_guard()],
            ingress,
            ledger,
            stop,
            give_up,
            _namespace: namespace,
        })
    }

    /// What callers have seen until now.
    pub fn traffic(&self) -> Traffic {
        self.ingress.traffic()
    }

    /// Sends no new calls, waits so long for those on their way to be accepted and as long for all answers, and judges
    /// them.
    pub async fn end(mut self, rest: Duration) -> Result<Verdict> {
        self.stop.cancel();
        let ended = tokio::select! {
            ended = &mut self.sending => Some(ended),
            () = sleep(rest) => None,
        };
        let sent = if let Some(ended) = ended {
            ended?
        } else {
            self.give_up.cancel();
            (&mut self.sending).await?
        };
        let traffic = self.ingress.traffic();
        // What was accepted at the very end has as much time as the rest.
        let answers = self.ingress.outcomes(sent, Instant::now() + rest).await;
        self.waking.abort();
        let called: Vec<_> =
            answers.into_iter().map(|(call, ids, answer)| call.called(ids, answer)).collect();
        let effects = self.ledger.effects();
        Ok(Verdict {
            violations: oracle::judge(&called, &effects, Runs::Overlapping),
            traffic,
            calls: called.len(),
            effects: effects.len(),
            repeated: oracle::repeated(&effects),
        })
    }
}

impl Verdict {
    /// Tells people how it went, and fails where something was lost or done twice.
    pub fn hold(&self, scenario: &str) -> Result {
        say(&format!("{scenario}: {}", self.summary()));
        ensure!(self.calls > 0, "{scenario}: nobody called");
        let found = self.violations.iter().take(SHOWN).map(|violation| format!("\n  {violation}"));
        let found = found.collect::<String>();
        ensure!(self.violations.is_empty(), "{scenario}: {} violations{found}", self.violations.len());
        Ok(())
    }

    fn summary(&self) -> String {
        let Self { violations, traffic, calls, effects, repeated } = self;
        format!(
            "{calls} calls, {effects} effects, {repeated} of them again before they were in the journal, {} violations; \
             {traffic}",
            violations.len()
        )
    }
}

/// Says it at once: what a test prints is shown only where it fails.
pub fn say(words: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "  {words}");
}

/// Whoever sends the calls.
struct Caller {
    ingress: Ingress,
    ledger: Arc<Ledger>,
    services: Vec<String>,
    pace: Pace,
    stop: CancellationToken,
    give_up: CancellationToken,
}

impl Caller {
    async fn go_on(self) -> Vec<Sent> {
        let mut ticks = interval(self.pace.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let room = Arc::new(Semaphore::new(AT_A_TIME));
        let mut sending = JoinSet::new();
        for number in 0.. {
            let next = async {
                ticks.tick().await;
                Arc::clone(&room).acquire_owned().await
            };
            let permit = tokio::select! {
                permit = next => permit,
                () = self.stop.cancelled() => break,
            };
            let call = Call::new(number, &self.services).hurried(self.pace.hurry);
            call.announce(&self.ledger);
            let (ingress, give_up) = (self.ingress.clone(), self.give_up.clone());
            sending.spawn(async move {
                let _permit = permit;
                let mut ids = BTreeSet::new();
                tokio::select! {
                    () = ingress.send_into(&call, &mut ids) => (),
                    () = give_up.cancelled() => (),
                }
                (call, ids)
            });
        }
        sending.join_all().await
    }
}

/// The service in whose place every step is told to a ledger.
fn tell(object: &mut Value, ledger: &str) {
    let variables = &mut object["spec"]["template"]["spec"]["containers"][0]["env"];
    if let Some(variables) = variables.as_array_mut() {
        variables.push(json!({"name": "LEDGER", "value": ledger}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(violations: Vec<Violation>, calls: usize) -> Verdict {
        Verdict { violations, traffic: Traffic::default(), calls, effects: 0, repeated: 0 }
    }

    #[test]
    fn a_verdict_holds_where_calls_were_made_and_nothing_was_lost() {
        assert!(verdict(Vec::new(), 1).hold("quiet").is_ok());
        assert!(verdict(Vec::new(), 0).hold("silent").is_err());
        let lost = Violation::Unfinished { key: "call-1".to_owned(), seen: "470".to_owned() };
        let words = verdict(vec![lost], 1).hold("lossy").expect_err("a violation").to_string();
        assert!(words.contains("call-1 did not complete"), "{words}");
    }

    #[test]
    fn the_service_is_told_of_its_ledger() {
        let env = json!([{"name": "SERVICE_NAME", "value": "a"}]);
        let mut object = json!({"spec": {"template": {"spec": {"containers": [{"env": env}]}}}});
        tell(&mut object, "10.0.0.1:1");
        let told = &object["spec"]["template"]["spec"]["containers"][0]["env"][1];
        assert_eq!(told, &json!({"name": "LEDGER", "value": "10.0.0.1:1"}));
    }
}
