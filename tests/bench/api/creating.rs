//! Creates: a question that `kubectl create` asks of Restate, beside the bare admin API, an object that is stored, and
//! the limit.

use std::time::{Duration, Instant};

use anyhow::ensure;
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

/// One of each in turn.
pub(super) async fn measure(scene: &Scene<'_>, rounds: usize) -> Result<String> {
    let names =
        ["this API: restatequeries", "bare admin API: POST /query", "CRD", "sample-apiserver", "limit"];
    let mut samples = names.map(|_| Samples::default());
    let list =
        scene.asker.get(&format!("{}?limit=1", scene.contenders[0].path), super::ask::JSON).await?.json()?;
    let bare = Bare::new(scene).await?;
    for round in 0..rounds * REPEATS {
        let took = [
            query(scene).await?,
            bare.ask().await?,
            store(scene, &list["items"][0], round).await?,
            flunder(scene, round).await?,
            send(scene).await?,
        ];
        for (samples, took) in samples.iter_mut().zip(took) {
            samples.add(took, 0);
        }
    }
    let limit = samples[4].quantile(0.5);
    let head = ["create", "p50 ms", "p90 ms", "÷ limit"].map(str::to_owned).to_vec();
    let row = |(name, samples): (&str, &Samples)| {
        let (half, most) = (samples.quantile(0.5), samples.quantile(0.9));
        vec![name.to_owned(), milliseconds(half), milliseconds(most), ratio(half, limit)]
    };
    let rows: Vec<_> = std::iter::once(head).chain(names.into_iter().zip(&samples).map(row)).collect();
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
    Ok(scene.asker.post(&scene.sample.path(), &object).await?.took)
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
