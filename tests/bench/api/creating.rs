//! Creates: a question that `kubectl create` asks of Restate, beside the bare admin API, an object that is stored, and
//! the limit.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use restate_tests::Result;
use serde_json::{Value, json};

use super::{
    GROUP, NAMESPACE, Scene, crd,
    figures::{Samples, milliseconds, ratio, table},
    limit,
};

/// Creates are quick: more of them make a steadier figure.
const REPEATS: usize = 10;
const QUESTION: &str = "SELECT 1 AS one";

/// Who creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Creator {
    Ours,
    Bare,
    Crd,
    Sample,
    Limit,
}

impl Creator {
    const ALL: [Self; 5] = [Self::Ours, Self::Bare, Self::Crd, Self::Sample, Self::Limit];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "this API: restatequeries",
            Self::Bare => "bare admin API: POST /query",
            Self::Crd => "CRD",
            Self::Sample => "sample-apiserver",
            Self::Limit => "limit",
        }
    }

    fn takes_part(self, scene: &Scene<'_>) -> bool {
        match self {
            Self::Crd => scene.has_crd,
            Self::Sample => scene.sample.is_some(),
            Self::Ours | Self::Bare | Self::Limit => true,
        }
    }
}

/// One of each in turn.
pub(super) async fn measure(scene: &Scene<'_>, rounds: usize) -> Result<String> {
    let mut all: Vec<_> = Creator::ALL
        .into_iter()
        .filter(|creator| creator.takes_part(scene))
        .map(|creator| (creator, Samples::default()))
        .collect();
    let list =
        scene.asker.get(&format!("{}?limit=1", scene.contenders[0].path), super::ask::JSON).await?.json()?;
    let bare = Bare::new(scene).await?;
    for round in 0..rounds * REPEATS {
        for (creator, samples) in &mut all {
            let took = match creator {
                Creator::Ours => query(scene).await?,
                Creator::Bare => bare.ask().await?,
                Creator::Crd => store(scene, &list["items"][0], round).await?,
                Creator::Sample => flunder(scene, round).await?,
                Creator::Limit => send(scene).await?,
            };
            samples.add(took, 0);
        }
    }
    let of_limit = all.iter().find(|(creator, _)| *creator == Creator::Limit);
    let limit = of_limit.map(|(_, samples)| samples.quantile(0.5)).unwrap_or_default();
    let head = ["create", "p50 ms", "p90 ms", "÷ limit"].map(str::to_owned).to_vec();
    let row = |(creator, samples): &(Creator, Samples)| {
        let (half, most) = (samples.quantile(0.5), samples.quantile(0.9));
        vec![creator.name().to_owned(), milliseconds(half), milliseconds(most), ratio(half, limit)]
    };
    let rows: Vec<_> = std::iter::once(head).chain(all.iter().map(row)).collect();
    Ok(table(&rows))
}

async fn query(scene: &Scene<'_>) -> Result<Duration> {
    let object = json!({
        "apiVersion": GROUP, "kind": "RestateQuery", "metadata": {"generateName": "bench-"},
        "spec": {"cluster": scene.restate.name(), "query": QUESTION},
    });
    Ok(scene.asker.post(&format!("/apis/{GROUP}/restatequeries"), &object).await?.took)
}

async fn store(scene: &Scene<'_>, model: &Value, round: usize) -> Result<Duration> {
    let mut copy = crd::copy(model);
    copy["metadata"]["name"] = format!("created-{round}").into();
    let path = format!("/apis/{}/v1/namespaces/{NAMESPACE}/{}", crd::GROUP, crd::PLURAL);
    Ok(scene.asker.post(&path, &copy).await?.took)
}

async fn flunder(scene: &Scene<'_>, round: usize) -> Result<Duration> {
    let object = json!({
        "apiVersion": "wardle.example.com/v1alpha1", "kind": "Flunder",
        "metadata": {"name": format!("created-{round}")}, "spec": {},
    });
    let sample = scene.sample.context("the sample-apiserver was skipped")?;
    Ok(scene.asker.post(&sample.path(), &object).await?.took)
}

async fn send(scene: &Scene<'_>) -> Result<Duration> {
    let path = format!("/apis/{}/v1/namespaces/{NAMESPACE}/{}", limit::GROUP, limit::PLURAL);
    Ok(scene.asker.post(&path, &json!({"kind": "Thing"})).await?.took)
}

/// Restate's admin API itself, over plain HTTP and past everything.
struct Bare {
    client: reqwest::Client,
    url: String,
}

impl Bare {
    async fn new(scene: &Scene<'_>) -> Result<Self> {
        let path = "jsonpath={.spec.clusterIP}";
        let get = ["-n", scene.restate.name(), "get", "service", "restate", "-o", path];
        let url = format!("http://{}:9070/query", scene.kubectl.run(get).await?);
        Ok(Self { client: reqwest::Client::new(), url })
    }

    async fn ask(&self) -> Result<Duration> {
        let start = Instant::now();
        let request = self.client.post(&self.url).header("accept", "application/json");
        let answer = request.json(&json!({"query": QUESTION})).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "the admin API answered {status}: {text}");
        Ok(start.elapsed())
    }
}
