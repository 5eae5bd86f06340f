//! The aggregated API beside what else could serve the same: `cargo lab bench api`.
//!
//! ```text
//! stock (stand-in, objects) ─► reads ─► creates ─► watches ─► tables
//! ```
//!
//! All servers are asked through the same kube-apiserver, in turns, in one run.

mod admin;
mod ask;
mod crd;
mod creating;
mod figures;
mod limit;
mod process;
mod reading;
mod sample;
mod stock;
mod watchers;
mod watching;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use restate_tests::{Kubectl, Lab, Restate, Result};
use serde_json::Value;

use self::{
    admin::StandIn,
    ask::{Answer, Asker, JSON, TABLE},
    figures::table,
    limit::{Limit, Replies},
    reading::Contender,
    sample::Sample,
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
}

/// Who asks, and whom.
struct Scene<'a> {
    lab: &'a Lab,
    asker: &'a Asker,
    kubectl: Kubectl,
    admin: &'a StandIn,
    limit: &'a Limit,
    sample: &'a Sample,
    restate: &'a Restate,
    contenders: Vec<Contender>,
}

/// Measures and prints.
pub(super) async fn run(words: &[String]) -> Result {
    let arguments = Args::try_parse_from(std::iter::once("api").chain(words.iter().map(String::as_str)))?;
    let lab = Lab::of_this_run()?;
    ensure!(lab.is_ours(), "processes of a cluster elsewhere cannot be looked at");
    let asker = Asker::new(&lab)?;
    let address = lab.address().await?;
    let (admin, limit) = (StandIn::new(&address).await?, Limit::new(&address).await?);
    // While there is a controller to make it.
    let restate = Restate::shared(&lab).await?;
    let sample = Sample::start(&lab).await?;
    let scene = Scene {
        lab: &lab,
        asker: &asker,
        kubectl: lab.kubectl()?,
        admin: &admin,
        limit: &limit,
        sample: &sample,
        restate: &restate,
        contenders: contenders(&sample),
    };
    let mut stock = Stock::open(&lab, &asker, &admin, NAMESPACE).await?;
    let measured = scene.measure(&mut stock, &arguments).await;
    // Whatever was measured: what was made goes, and what was stopped comes back.
    let (cleared, closed) = (scene.clear().await, stock.close().await);
    measured.and(cleared).and(closed)
}

fn contenders(sample: &Sample) -> Vec<Contender> {
    let at = |group: &str, plural: &str| format!("/apis/{group}/namespaces/{NAMESPACE}/{plural}");
    vec![
        Contender { name: "this API", path: at(GROUP, "restatedeploymentversions") },
        Contender { name: "CRD", path: at(&format!("{}/v1", crd::GROUP), crd::PLURAL) },
        Contender { name: sample::PROGRAM, path: sample.path() },
        Contender { name: reading::LIMIT, path: at(&format!("{}/v1", limit::GROUP), limit::PLURAL) },
    ]
}

impl Scene<'_> {
    async fn measure(&self, stock: &mut Stock<'_>, arguments: &Args) -> Result {
        crd::define(&self.kubectl).await?;
        for object in limit::objects(NAMESPACE, self.limit.address) {
            self.kubectl.apply(&object).await?;
        }
        let available = ["wait", "--for=condition=Available", "--timeout=60s", "apiservice"];
        self.kubectl.run(available.into_iter().chain([format!("v1.{}", limit::GROUP).as_str()])).await?;
        tokio::time::sleep(REST).await;
        let mut memory = vec![cells(&["moment", "resident MB", "of its own MB", "peak MB", "CPU s"])];
        memory.push(costs("at rest, 0 versions", OURS)?);
        let head = ["objects", "request", "server", "kB", "p50 ms", "p90 ms", "÷ limit"];
        let mut reads = vec![cells(&head)];
        let mut stored = 0;
        for size in &arguments.versions {
            stock.grow(*size).await?;
            memory.push(costs(&format!("{size} versions, just made"), OURS)?);
            let objects = self.prepare(stored).await?;
            stored = objects.len();
            let name = objects[stored / 2]["metadata"]["name"].as_str().context("a name")?.to_owned();
            let readings = reading::read(self.asker, &self.contenders, &name, arguments.rounds).await?;
            reads.extend(reading::rows(&readings, *size));
            memory.push(costs(&format!("{size} versions, after the reads"), OURS)?);
            memory
                .push(costs(&format!("sample-apiserver, {size} objects, after the reads"), sample::PROGRAM)?);
            println!("{}", table(&reads));
        }
        println!("{}", creating::measure(self, arguments.rounds).await?);
        if arguments.watchers > 0 {
            println!("{}", watching::measure(self, arguments.watchers, &mut memory).await?);
        }
        println!("{}", table(&memory));
        Ok(())
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
        crd::store(self.asker, NAMESPACE, &items[stored..]).await?;
        self.sample.store(self.asker, &items[stored..]).await?;
        Ok(items)
    }

    async fn clear(&self) -> Result {
        let kind = format!("{}.{}", crd::PLURAL, crd::GROUP);
        let service = format!("v1.{}", limit::GROUP);
        self.kubectl.run(["delete", "apiservice", &service, "--ignore-not-found"]).await?;
        self.kubectl.run(["delete", "crd", &kind, "--ignore-not-found", "--timeout=10m"]).await.map(drop)
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
