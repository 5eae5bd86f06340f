//! A thousand watches: how a change spreads to all of them, what they cost, and what they ask of Restate.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use restate_tests::Result;
use serde_json::Value;

use super::{
    NAMESPACE, OURS, Scene, Told,
    ask::JSON,
    costs, crd,
    figures::{milliseconds, table},
    process, reading, sample,
    stages::stage,
    watchers::{Spread, Watchers},
};

/// Objects that change together.
const BURSTS: [usize; 2] = [1, 100];
/// How long questions to Restate are counted.
const MINUTE: Duration = Duration::from_mins(1);

/// Opens so many watches of each server, and lets objects change.
pub(super) async fn measure(scene: &Scene<'_>, (versions, count): (usize, usize), told: &mut Told) -> Result {
    let head = [
        "changes",
        "server",
        "half of the events ms",
        "all events ms",
        "CPU s, server",
        "CPU s, kube-apiserver",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for contender in &scene.contenders {
        let list = scene.asker.get(&format!("{}?limit=200", contender.path), JSON).await?.json()?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("1");
        let path =
            format!("{}?watch=true&allowWatchBookmarks=true&resourceVersion={version}", contender.path);
        let opened = Watchers::open(scene.lab, count, &path);
        let mut watchers = stage(&format!("{count} watches of {}", contender.name), opened).await?;
        let is_ours = contender.name == scene.contenders[0].name;
        if is_ours {
            tokio::time::sleep(Duration::from_secs(5)).await;
            told.memory.push(costs(&format!("{count} watches"), OURS)?);
        }
        for burst in BURSTS {
            rows.push(spread(scene, contender.name, (burst, &list), &mut watchers).await?);
        }
        if is_ours {
            told.memory.push(costs(&format!("{count} watches, after the bursts"), OURS)?);
            told.scores.loaded(versions, count, process::cost(OURS)?.resident);
            let asked = stage("usage queries of a minute", async { Ok(questions(scene).await) }).await?;
            println!("{count} watches: {asked} usage queries in a minute");
            told.scores.questions(asked);
        }
        println!("{}", table(&rows));
    }
    Ok(())
}

/// So many changes at a time, until every watch has them all.
async fn spread(
    scene: &Scene<'_>,
    server: &'static str,
    (burst, list): (usize, &Value),
    watchers: &mut Watchers,
) -> Result<Vec<String>> {
    watchers.forget();
    let before = (process::cost(OURS)?.cpu, process::cost("kube-apiserver")?.cpu);
    let reached = async {
        let (changed, spread) = futures::join!(change(scene, server, (burst, list)), watchers.reached(burst));
        changed.and(spread)
    };
    let spread = stage(&format!("{burst} changes of {server}"), reached).await?;
    let (own, front) = (process::cost(OURS)?.cpu - before.0, process::cost("kube-apiserver")?.cpu - before.1);
    let is_ours = server == scene.contenders[0].name;
    Ok(row((burst, server), spread, is_ours.then_some(own), front))
}

fn row((burst, name): (usize, &str), spread: Spread, own: Option<f64>, front: f64) -> Vec<String> {
    let Spread { half, all } = spread;
    let own = own.map_or_else(|| "–".to_owned(), |own| format!("{own:.2}"));
    vec![
        burst.to_string(),
        name.to_owned(),
        milliseconds(half),
        milliseconds(all),
        own,
        format!("{front:.2}"),
    ]
}

async fn change(scene: &Scene<'_>, server: &str, (count, list): (usize, &Value)) -> Result {
    match server {
        "CRD" | sample::PROGRAM => {
            let items = list["items"].as_array().context("no list")?;
            stream::iter(items.iter().take(count))
                .map(|item| touch(scene, server, (item, count)))
                .buffer_unordered(count)
                .try_collect()
                .await
        }
        reading::LIMIT => {
            let object = serde_json::to_string(&list["items"][0])?;
            let line = Bytes::from(format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}\n"));
            (0..count).for_each(|_| scene.limit.send(&line));
            Ok(())
        }
        _ => {
            scene.admin.change(count);
            Ok(())
        }
    }
}

async fn touch(scene: &Scene<'_>, server: &str, (item, round): (&Value, usize)) -> Result {
    let name = item["metadata"]["name"].as_str().context("a name")?;
    match server {
        sample::PROGRAM => {
            let sample = scene.sample.context("the sample-apiserver was skipped")?;
            sample.touch(scene.asker, name, round).await
        }
        _ => crd::touch(scene.asker, NAMESPACE, name, round).await,
    }
}

/// Questions for unfinished work in a minute, with all these watches open.
async fn questions(scene: &Scene<'_>) -> usize {
    let before = scene.admin.usage_questions();
    tokio::time::sleep(MINUTE).await;
    scene.admin.usage_questions() - before
}
