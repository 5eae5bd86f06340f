//! The aggregated API beside what else could serve the same: `cargo lab bench api`.
//!
//! ```text
//! leftovers away ─► stock (stand-in, objects) ─► reads ─► creates ─► watches ─► everything away
//! ```
//!
//! All servers are asked through the same kube-apiserver, in turns, in one run. Each stage is told as it begins and ends,
//! each table as soon as its figures are known.

mod admin;
mod ask;
mod crd;
mod creating;
mod figures;
mod goals;
mod leftovers;
mod limit;
mod process;
mod programs;
mod reading;
mod sample;
mod stages;
mod stock;
mod watchers;
mod watching;

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Parser, ValueEnum};
use restate_tests::{Kubectl, Lab, Restate, Result};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    admin::StandIn,
    ask::{Answer, Asker, JSON, TABLE},
    figures::table,
    goals::Scores,
    limit::{Limit, Replies},
    reading::Contender,
    sample::Sample,
    stages::stage,
    stock::Stock,
};

const NAMESPACE: &str = "bench-api";
const OURS: &str = "restate-apiserver";
const GROUP: &str = "control.restate.dev/v1alpha1";
/// Until a process that has just started has done what it does at its start.
const REST: Duration = Duration::from_secs(15);

/// The aggregated API beside what else could serve the same.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo lab bench api", max_term_width = 110)]
struct Args {
    /// How many versions; several sizes, growing
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    versions: Vec<usize>,
    /// How many watches at a time; none with 0
    #[arg(long, default_value_t = 1000)]
    watchers: usize,
    /// How often each list is asked for
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Servers that take no part: a shorter run
    #[arg(long, value_delimiter = ',')]
    skip: Vec<Rival>,
}

/// A server that may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rival {
    /// Copies of the objects, stored in etcd.
    Crd,
    /// `k8s.io/sample-apiserver`.
    Sample,
}

/// What is known so far.
#[derive(Default)]
struct Told {
    memory: Vec<Vec<String>>,
    scores: Scores,
}

/// Who asks, and whom.
struct Scene<'a> {
    lab: &'a Lab,
    asker: &'a Asker,
    kubectl: Kubectl,
    admin: &'a StandIn,
    limit: &'a Limit,
    sample: Option<&'a Sample>,
    has_crd: bool,
    restate: &'a Restate,
    contenders: Vec<Contender>,
}

/// Measures and prints. However that ends, what was made goes, and what was stopped comes back.
pub(super) async fn run(words: &[String]) -> Result {
    let arguments = Args::try_parse_from(std::iter::once("api").chain(words.iter().map(String::as_str)))?;
    let lab = Lab::of_this_run()?;
    ensure!(lab.is_ours(), "processes of a cluster elsewhere cannot be looked at");
    stage("what an earlier run has left", leftovers::clear(&lab)).await?;
    let measured = tokio::select! {
        measured = measure(&lab, &arguments) => measured,
        signal = interrupted() => signal.and_then(|name| bail!("ended by {name}")),
    };
    if let Err(error) = &measured {
        println!("failed: {error:#}");
    }
    measured.and(stage("everything goes", leftovers::clear(&lab)).await)
}

/// Until somebody wants it to end.
async fn interrupted() -> Result<&'static str> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}

async fn measure(lab: &Lab, arguments: &Args) -> Result {
    let takes_part = |rival| !arguments.skip.contains(&rival);
    let asker = Asker::new(lab)?;
    let address = lab.address().await?;
    let (admin, limit) = (StandIn::new(&address).await?, Limit::new(&address).await?);
    // While there is a controller to make it.
    let restate = stage("a Restate", Restate::shared(lab)).await?;
    let sample = if takes_part(Rival::Sample) {
        Some(stage("the sample-apiserver", Sample::start(lab)).await?)
    } else {
        None
    };
    let scene = Scene {
        lab,
        asker: &asker,
        kubectl: lab.kubectl()?,
        admin: &admin,
        limit: &limit,
        sample: sample.as_ref(),
        has_crd: takes_part(Rival::Crd),
        restate: &restate,
        contenders: contenders(sample.as_ref(), takes_part(Rival::Crd)),
    };
    let opened = Stock::open(lab, &asker, &admin, NAMESPACE);
    let mut stock = stage("one replica of this API, no controller", opened).await?;
    scene.measure(&mut stock, arguments).await
}

fn contenders(sample: Option<&Sample>, has_crd: bool) -> Vec<Contender> {
    let at = |group: &str, plural: &str| format!("/apis/{group}/namespaces/{NAMESPACE}/{plural}");
    let ours = Contender { name: goals::OURS, path: at(GROUP, "restatedeploymentversions") };
    let crd = Contender { name: "CRD", path: at(&format!("{}/v1", crd::GROUP), crd::PLURAL) };
    let sample = sample.map(|sample| Contender { name: sample::PROGRAM, path: sample.path() });
    let limit = Contender { name: reading::LIMIT, path: at(&format!("{}/v1", limit::GROUP), limit::PLURAL) };
    std::iter::once(ours).chain(has_crd.then_some(crd)).chain(sample).chain([limit]).collect()
}

impl Scene<'_> {
    async fn measure(&self, stock: &mut Stock<'_>, arguments: &Args) -> Result {
        stage("the other servers' kinds", self.define()).await?;
        tokio::time::sleep(REST).await;
        let mut told = Told::default();
        told.memory.push(cells(&["moment", "resident MB", "of its own MB", "peak MB", "CPU s"]));
        told.memory.push(costs("at rest, 0 versions", OURS)?);
        told.scores.at_rest(process::cost(OURS)?.resident);
        let mut stored = 0;
        for size in &arguments.versions {
            stored = self.read(stock, (*size, stored), arguments.rounds, &mut told).await?;
        }
        if let Some(rows) = told.scores.rows() {
            println!("{rows}");
        }
        println!("{}", stage("creates", creating::measure(self, arguments.rounds)).await?);
        if arguments.watchers > 0 {
            watching::measure(self, (stored, arguments.watchers), &mut told).await?;
        }
        println!("{}", table(&told.memory));
        println!("{}", told.scores.verdicts());
        Ok(())
    }

    async fn define(&self) -> Result {
        if self.has_crd {
            crd::define(&self.kubectl).await?;
        }
        for object in limit::objects(NAMESPACE, self.limit.address) {
            self.kubectl.apply(&object).await?;
        }
        let available = ["wait", "--for=condition=Available", "--timeout=60s", "apiservice"];
        let name = format!("v1.{}", limit::GROUP);
        self.kubectl.run(available.into_iter().chain([name.as_str()])).await.map(drop)
    }

    /// Grows to a size and asks everybody for it; gives how many objects there are.
    async fn read(
        &self,
        stock: &mut Stock<'_>,
        (size, stored): (usize, usize),
        rounds: usize,
        told: &mut Told,
    ) -> Result<usize> {
        stage(&format!("{size} versions"), stock.grow(size)).await?;
        told.memory.push(costs(&format!("{size} versions, just made"), OURS)?);
        let objects = stage("copies for the others", self.prepare(stored)).await?;
        let name = objects[objects.len() / 2]["metadata"]["name"].as_str().context("a name")?.to_owned();
        let asked = reading::read(self.asker, &self.contenders, &name, rounds);
        let readings = stage(&format!("reads of {size}"), asked).await?;
        let head = ["objects", "request", "server", "kB", "p50 ms", "p90 ms", "÷ limit"];
        let rows: Vec<_> = std::iter::once(cells(&head)).chain(reading::rows(&readings, size)).collect();
        println!("{}", table(&rows));
        told.scores.reads(size, readings);
        told.memory.push(costs(&format!("{size} versions, after the reads"), OURS)?);
        if self.sample.is_some() {
            let moment = format!("sample-apiserver, {size} objects, after the reads");
            told.memory.push(costs(&moment, sample::PROGRAM)?);
        }
        println!("{}", table(&told.memory));
        Ok(objects.len())
    }

    /// Gives the others what ours shows: bytes for the limit, copies of what is new for the CRD.
    async fn prepare(&self, stored: usize) -> Result<Vec<Value>> {
        let path = &self.contenders[0].path;
        let list = self.asker.get(path, JSON).await?;
        let rows = self.asker.get(path, TABLE).await?;
        let items = match list.json()?["items"].take() {
            Value::Array(items) => items,
            other => anyhow::bail!("no list: {other}"),
        };
        let object = serde_json::to_vec(&items[items.len() / 2])?;
        let bytes = |answer: Answer| answer.body.into();
        let (list, table) = (bytes(list), bytes(rows));
        self.limit.set(Replies { list, table, created: object.clone().into(), object: object.into() });
        if self.has_crd {
            crd::store(self.asker, NAMESPACE, &items[stored..]).await?;
        }
        if let Some(sample) = self.sample {
            sample.store(self.asker, &items[stored..]).await?;
        }
        Ok(items)
    }
}

fn cells(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What a process costs at this moment.
fn costs(moment: &str, program: &str) -> Result<Vec<String>> {
    let process::Cost { resident, peak, own, cpu } = process::cost(program)?;
    let one = |value: f64| format!("{value:.1}");
    Ok(vec![moment.to_owned(), one(resident), one(own), one(peak), one(cpu)])
}
