//! Callers of Restate's ingress: each call has an idempotency key and is sent until Restate has accepted it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt, stream};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep},
};

use crate::{
    Result,
    ledger::{Ledger, Waiting},
    oracle::{Called, Walked},
    traffic::Traffic,
};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// One request; a Restate that is killed answers nothing.
const DEADLINE: Duration = Duration::from_secs(5);
/// How many calls queue up at each object that is shared.
const SHARED_OBJECTS: usize = 2;

/// What a call is like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Two steps at once.
    Short,
    /// Many steps with pauses: it runs through a rollout.
    Long,
    /// Begins later, on whatever version is the newest then.
    Delayed,
    /// Waits for somebody outside.
    Suspended,
    /// Fails before and after it is pinned.
    Retried,
    /// Waits for the lock of an object behind others.
    Queued,
}

/// In such proportions.
const KINDS: [Kind; 10] = [
    Kind::Short,
    Kind::Long,
    Kind::Suspended,
    Kind::Delayed,
    Kind::Retried,
    Kind::Short,
    Kind::Queued,
    Kind::Long,
    Kind::Suspended,
    Kind::Retried,
];

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its idempotency key.
    pub key: String,
    /// `SERVICE/OBJECT`.
    pub object: String,
    /// How many steps it has.
    pub steps: u32,
    pause: Duration,
    delay: Duration,
    waits: bool,
    refusals: u32,
}

/// Restate's ingress.
#[derive(Clone, Debug)]
pub struct Ingress {
    client: Client,
    url: String,
    begun: Instant,
    traffic: Arc<Mutex<Traffic>>,
}

/// The ids that Restate gave for each call.
pub type Sent = Arc<Mutex<Vec<(Call, BTreeSet<String>)>>>;

impl Call {
    /// The call of this number to one of these services.
    pub fn new(number: usize, services: &[String]) -> Self {
        let kind = KINDS[number % KINDS.len()];
        let key = format!("call-{number}");
        // Kinds and services go round at their own pace, so that each service sees each kind.
        let service = &services[(number / KINDS.len() + number) % services.len()];
        let object = match kind {
            Kind::Queued => format!("shared-{}", number / KINDS.len() % SHARED_OBJECTS),
            Kind::Short | Kind::Long | Kind::Delayed | Kind::Suspended | Kind::Retried => key.clone(),
        };
        let (steps, pause, delay) = match kind {
            Kind::Short => (2, 0, 0),
            Kind::Long => (fastrand::u32(4..=8), fastrand::u64(1_000..4_000), 0),
            Kind::Delayed => (2, 500, fastrand::u64(3_000..20_000)),
            Kind::Suspended => (3, 500, 0),
            Kind::Retried => (3, 1_000, 0),
            Kind::Queued => (2, 1_500, 0),
        };
        Self {
            key,
            object: format!("{service}/{object}"),
            steps,
            pause: Duration::from_millis(pause),
            delay: Duration::from_millis(delay),
            waits: kind == Kind::Suspended,
            refusals: if kind == Kind::Retried { 3 } else { 0 },
        }
    }

    /// The same, its pauses and delays so many times shorter.
    #[must_use]
    pub fn hurried(self, times: u32) -> Self {
        Self { pause: self.pause / times, delay: self.delay / times, ..self }
    }

    /// Tells the ledger which of its attempts to refuse; before it is sent.
    pub fn announce(&self, ledger: &Ledger) {
        if self.refusals > 0 {
            ledger.refuse((self.key.clone(), None), self.refusals);
            ledger.refuse((self.key.clone(), Some(1)), self.refusals);
        }
    }

    /// What became of it.
    pub fn called(self, invocations: BTreeSet<String>, answer: Result<Walked, String>) -> Called {
        let Self { key, object, steps, pause: _, delay: _, waits: _, refusals: _ } = self;
        Called { key, object, steps, invocations, pinned: None, answer }
    }

    fn input(&self) -> Value {
        let Self { key, object: _, steps, pause, delay: _, waits, refusals: _ } = self;
        json!({"key": key, "steps": steps, "pauseMillis": pause.as_millis(), "waits": waits})
    }
}

impl Ingress {
    /// The ingress at this address.
    pub fn at(client: &Client, host: &str) -> Self {
        let url = format!("http://{host}:8080");
        Self { client: client.clone(), url, begun: Instant::now(), traffic: Arc::default() }
    }

    /// What was seen of requests to it until now; questions for answers do not count.
    pub fn traffic(&self) -> Traffic {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends calls at an even pace, and goes on sending each one until it is accepted.
    pub async fn send_all(&self, calls: Vec<Call>, time: Duration, ledger: &Ledger, sent: &Sent) {
        let pause = time.div_f64(f64::from(u32::try_from(calls.len()).unwrap_or(u32::MAX)));
        let mut ticks = interval(pause.max(Duration::from_millis(1)));
        let mut sending = tokio::task::JoinSet::new();
        for call in calls {
            ticks.tick().await;
            call.announce(ledger);
            let (ingress, sent) = (self.clone(), Arc::clone(sent));
            sending.spawn(async move {
                let ids = ingress.send(&call).await;
                sent.lock().unwrap_or_else(PoisonError::into_inner).push((call, ids));
            });
        }
        while sending.join_next().await.is_some() {}
    }

    /// Tells those who wait to go on, after a while that is so many times shorter than usual.
    pub async fn wake_all(&self, mut waiting: mpsc::UnboundedReceiver<Waiting>, hurry: u32) {
        while let Some(Waiting { awakeable }) = waiting.recv().await {
            let ingress = self.clone();
            let delay = Duration::from_millis(fastrand::u64(2_000..25_000)) / hurry;
            tokio::spawn(async move {
                sleep(delay).await;
                let path = format!("restate/awakeables/{awakeable}/resolve");
                while ingress.post(&path, "", &json!("go on")).await.is_err() {
                    sleep(PAUSE).await;
                }
            });
        }
    }

    /// What calls have answered by the deadline, or what was seen instead.
    pub async fn outcomes(
        &self,
        calls: Vec<(Call, BTreeSet<String>)>,
        deadline: Instant,
    ) -> Vec<(Call, BTreeSet<String>, Result<Walked, String>)> {
        let outcome = |(call, ids): (Call, BTreeSet<String>)| async move {
            let answer = match ids.first() {
                Some(id) => self.outcome(id, deadline).await,
                None => Err("it was never accepted".to_owned()),
            };
            (call, ids, answer)
        };
        stream::iter(calls).map(outcome).buffer_unordered(8).collect().await
    }

    /// Sends it until two answers agree that it is accepted: the second one finds what the first one made.
    pub async fn send(&self, call: &Call) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        self.send_into(call, &mut ids).await;
        ids
    }

    /// The same, for whoever may give it up on its way: the ids of what was accepted until then stay.
    pub async fn send_into(&self, call: &Call, ids: &mut BTreeSet<String>) {
        let path = format!("{}/walk/send?delay={}ms", call.object, call.delay.as_millis());
        let mut answers = 0;
        while answers < 2 {
            match self.post(&path, &call.key, &call.input()).await {
                Ok(answer) => {
                    ids.extend(answer["invocationId"].as_str().map(str::to_owned));
                    answers += 1;
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn outcome(&self, id: &str, deadline: Instant) -> Result<Walked, String> {
        loop {
            let seen = match self.output(id).await {
                Ok(Ok(walked)) => return Ok(walked),
                Ok(Err(seen)) => seen,
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > deadline {
                return Err(format!("{id}: {seen}"));
            }
            sleep(PAUSE).await;
        }
    }

    async fn output(&self, id: &str) -> Result<Result<Walked, String>> {
        let url = format!("{}/restate/invocation/{id}/output", self.url);
        let answer = self.client.get(url).timeout(DEADLINE).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        Ok(match status {
            StatusCode::OK => Ok(serde_json::from_str(&text).with_context(|| text)?),
            status => Err(format!("{status} {text}")),
        })
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> Result<Value> {
        let answer = self.exchange(path, key, body).await;
        let failed = answer.as_ref().err().map(|error| format!("{path}: {error:#}"));
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner).note(self.begun.elapsed(), failed);
        answer
    }

    async fn exchange(&self, path: &str, key: &str, body: &Value) -> Result<Value> {
        let mut request = self.client.post(format!("{}/{path}", self.url)).timeout(DEADLINE).json(body);
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_gets_calls_of_each_kind() {
        let services: Vec<String> = (0..20).map(|number| format!("walk-{number}")).collect();
        let calls: Vec<_> = (0..500).map(|number| Call::new(number, &services)).collect();
        for service in &services {
            let ours: Vec<_> =
                calls.iter().filter(|call| call.object.starts_with(&format!("{service}/"))).collect();
            assert!(ours.iter().any(|call| call.waits) && ours.iter().any(|call| call.refusals > 0));
            assert!(ours.iter().any(|call| !call.delay.is_zero()) && ours.iter().any(|call| call.steps > 3));
            assert!(ours.iter().any(|call| call.object.contains("/shared-")), "{service}");
        }
    }
}
