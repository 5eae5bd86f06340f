//! Create, roll, drain, rest: what each phase costs the controller, and how long it takes beside Kubernetes' own
//! controllers alone.

use std::time::{Duration, Instant};

use kube::api::DynamicObject;
use restate_tests::Result;
use serde_json::Value;

use super::{
    audit::{Audit, Writes},
    process::{Controller, Cost, as_float},
    stand::{Stand, Subject, holds},
    until::Until,
};

/// Until what came after a phase's end has been said: statuses that could wait.
const SETTLE: Duration = Duration::from_secs(8);

/// One phase.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) took: Duration,
    /// What Kubernetes' own controllers took for the like, where there is such a thing.
    pub(super) alone: Option<Duration>,
    pub(super) cost: Cost,
    pub(super) writes: Writes,
}

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// For how long it is watched at rest.
    pub(super) rest: Duration,
    /// Is the controller started anew before?
    pub(super) anew: bool,
}

/// How long Kubernetes' own controllers take to create and to roll so many Deployments with their Services.
pub(super) async fn alone(stand: &Stand, count: usize) -> Result<[Duration; 2]> {
    let subject = Subject::Kubernetes;
    let until = Until::all(stand.api(subject), count, is_complete).await?;
    let began = Instant::now();
    stand.create(subject, count).await?;
    let created = until.when().await? - began;
    tokio::time::sleep(SETTLE).await;
    let until =
        Until::all(stand.api(subject), count, |object| is_complete(object) && is_second(object)).await?;
    let began = Instant::now();
    stand.roll(subject, 0..count, "v2").await?;
    let rolled = until.when().await? - began;
    stand.clear(subject).await?;
    Ok([created, rolled])
}

/// All phases of so many RestateDeployments.
pub(super) async fn measure(
    stand: &Stand,
    count: usize,
    terms: &Terms,
    alone: [Duration; 2],
) -> Result<Vec<Phase>> {
    let rest = terms.rest;
    let mut meter = Meter::new(stand, terms.anew).await?;
    let subject = Subject::Ours;
    let until = Until::all(stand.api(subject), count, |object| holds(object, "Ready")).await?;
    let began = Instant::now();
    stand.create(subject, count).await?;
    let took = until.when().await? - began;
    let mut phases = vec![meter.end("create", took, Some(alone[0])).await?];
    phases.push(meter.rest("rest", rest).await?);
    let drained = Until::all(stand.replica_sets(), count, is_retired).await?;
    let ready = |object: &DynamicObject| holds(object, "Ready") && is_second(object);
    let until = Until::all(stand.api(subject), count, ready).await?;
    let began = Instant::now();
    stand.roll(subject, 0..count, "v2").await?;
    let took = until.when().await? - began;
    phases.push(meter.end_now("roll", took, Some(alone[1])).await?);
    let began = Instant::now();
    let took = drained.when().await? - began;
    phases.push(meter.end("drain", took, None).await?);
    phases.push(meter.rest("rest", rest).await?);
    Ok(phases)
}

/// Reads the meters at the border of two phases.
struct Meter {
    controller: Controller,
    audit: Audit,
    before: Cost,
}

impl Meter {
    async fn new(stand: &Stand, anew: bool) -> Result<Self> {
        let controller = Controller::find(&stand.lab, anew).await?;
        // Whatever it does at its start.
        tokio::time::sleep(SETTLE).await;
        let (audit, before) = (Audit::follow(&stand.lab, stand.namespace())?, controller.cost().await?);
        Ok(Self { controller, audit, before })
    }

    async fn end(&mut self, name: &'static str, took: Duration, alone: Option<Duration>) -> Result<Phase> {
        tokio::time::sleep(SETTLE).await;
        self.end_now(name, took, alone).await
    }

    async fn end_now(
        &mut self,
        name: &'static str,
        took: Duration,
        alone: Option<Duration>,
    ) -> Result<Phase> {
        let (now, writes) = (self.controller.cost().await?, self.audit.read()?);
        let cost = now.since(self.before);
        self.before = now;
        Ok(Phase { name, took, alone, cost, writes })
    }

    async fn rest(&mut self, name: &'static str, time: Duration) -> Result<Phase> {
        tokio::time::sleep(time).await;
        self.end_now(name, time, None).await
    }
}

impl Phase {
    /// A row of the table.
    pub(super) fn row(&self, count: usize) -> Vec<String> {
        let Self { name, took, alone, cost, writes } = self;
        let per_object = |number: usize| as_float(number as u64) / as_float(count as u64);
        let beside = alone.map_or_else(
            || "–".to_owned(),
            |alone| format!("{:.2}", took.as_secs_f64() / alone.as_secs_f64()),
        );
        vec![
            count.to_string(),
            (*name).to_owned(),
            format!("{:.1}", took.as_secs_f64()),
            alone.map_or_else(|| "–".to_owned(), |alone| format!("{:.1}", alone.as_secs_f64())),
            beside,
            format!("{} ({:.1} each)", writes.count(), per_object(writes.count())),
            writes.events.to_string(),
            cost.usage.to_string(),
            cost.registry.to_string(),
            format!("{:.2}", cost.cpu),
            format!("{:.1}", cost.cpu * 1000.0 / as_float(count as u64)),
            format!("{:.0} / {:.0}", cost.resident, cost.peak),
        ]
    }

    /// The names of what a row says.
    pub(super) fn head() -> Vec<String> {
        let names = [
            "N",
            "phase",
            "seconds",
            "Kubernetes alone",
            "ratio",
            "writes",
            "events",
            "usage queries",
            "registry readings",
            "CPU s",
            "CPU ms per object",
            "memory now / at most, MB",
        ];
        names.map(str::to_owned).into()
    }
}

/// A Deployment whose newest template has its pod, and no other has.
fn is_complete(object: &DynamicObject) -> bool {
    let number = |path: &str| object.data.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let counts = ["/status/replicas", "/status/updatedReplicas", "/status/availableReplicas"];
    let seen = object.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
    seen == object.metadata.generation && counts.iter().all(|path| number(path) == 1)
}

fn is_second(object: &DynamicObject) -> bool {
    object.metadata.generation.is_some_and(|generation| generation > 1)
}

/// A ReplicaSet that once had a pod and has none.
fn is_retired(object: &DynamicObject) -> bool {
    let number = |path: &str| object.data.pointer(path).and_then(Value::as_i64);
    number("/spec/replicas") == Some(0) && number("/status/replicas") == Some(0) && is_second(object)
}
