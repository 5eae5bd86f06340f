//! What clients of all kinds hold of the virtual kinds after a time of churn is what a fresh list shows: client-go's
//! informers with all their features, kube's watcher in both modes, in the long run also Python's client.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use restate_tests::{Lab, Namespace, Parked, Restate, Result, eventually, namespace};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const GROUP_VERSION: &str = "control.restate.dev/v1alpha1";
/// Short enough for every run.
const BRIEFLY: Duration = Duration::from_secs(25);
const LONG: Duration = Duration::from_mins(4);
/// After the last change: a poll, a watch and a list.
const PATIENCE: Duration = Duration::from_secs(30);

/// W1–W16, R6, S5: and no answer was an error of the server.
#[tokio::test]
async fn clients_hold_what_a_list_shows_after_churn() -> Result {
    let lab = Lab::of_this_run()?;
    let namespace = Namespace::new(&lab, "churn").await?;
    told(&lab, &namespace).await?;
    let lasting = if lab.runs_all() { LONG } else { BRIEFLY };
    let churning = tokio::spawn(churn(Parked::new(&lab, &namespace), Instant::now() + lasting));
    let seconds = lasting.as_secs().to_string();
    let arguments = [GROUP_VERSION, &seconds];
    let informers = program(lab.program("INFORMERS")?, &arguments);
    let lists = held(&lab, watcher::Config::default(), lasting);
    let streams = held(&lab, watcher::Config::default().streaming_lists(), lasting);
    let python = async {
        if !lab.runs_all() {
            return Ok(Vec::new());
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python/watch.py");
        program(lab.program("PYTHON")?, &[script, GROUP_VERSION, &seconds]).await
    };
    let (informers, lists, streams, python) = futures::join!(informers, lists, streams, python);
    churning.await??;
    lists.context("kube, by lists")?;
    streams.context("kube, by streams")?;
    python.context("Python's client")?;
    let reports = informers.context("client-go's informers")?;
    let events = |field: &str| reports.iter().filter_map(|report| report[field].as_u64()).sum::<u64>();
    ensure!(events("added") > 0 && events("modified") > 0 && events("deleted") > 0, "W1: {reports:?}");
    Ok(())
}

/// Of services nothing is shown, not even that there are none, until some Restate has told: each replica hears of it.
async fn told(lab: &Lab, own: &Namespace) -> Result {
    namespace::none_is_going(lab).await?;
    let parked = Parked::with(lab, own, &Restate::shared(lab).await?);
    eventually("a first version", PATIENCE, || async { parked.apply("told", 1).await.map(Ok) }).await?;
    let get = ["get", "restatedeploymentversions,restateservices", "-A", "-o", "name"];
    lab.kubectl()?.lists_steadily(&get, |list| list.contains("/told-")).await
}

/// Versions come, change and go.
async fn churn(parked: Parked, until: Instant) -> Result {
    let mut revision = 0;
    while Instant::now() < until {
        revision += 1;
        for name in ["a", "b", "c", "d"] {
            parked.apply(name, revision).await?;
        }
        if revision % 2 == 0 {
            parked.delete("d").await?;
            // What comes back before anybody has looked was never gone.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// Runs a client; what it prints, line by line.
async fn program(mut command: tokio::process::Command, arguments: &[&str]) -> Result<Vec<Value>> {
    let output = command.args(arguments).stdin(Stdio::null()).output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words}\n{text}");
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn watched() -> ApiResource {
    ApiResource {
        group: "control.restate.dev".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: GROUP_VERSION.to_owned(),
        kind: "RestateDeploymentVersion".to_owned(),
        plural: "restatedeploymentversions".to_owned(),
    }
}

type Store = BTreeMap<String, Value>;

/// Watches with kube and compares in the end.
async fn held(lab: &Lab, config: watcher::Config, lasting: Duration) -> Result {
    let api = Api::<DynamicObject>::all_with(lab.client().await?, &watched());
    let (told, held) = tokio::sync::watch::channel(Store::new());
    let mut task = Follower(tokio::spawn(follow(api.clone(), config, told)));
    tokio::time::sleep(lasting).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = match api.list(&ListParams::default()).await {
            Err(error) if is_transport(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            list => list?,
        };
        let fresh: Store = list.items.iter().map(entry).collect::<Result<_>>()?;
        if *held.borrow() == fresh {
            return Ok(());
        }
        if task.0.is_finished() {
            (&mut task.0).await?.context("the watch has ended")?;
            bail!("the watch has ended without a word");
        }
        ensure!(Instant::now() < deadline, "held {:?}, listed {:?}", held.borrow().keys(), fresh.keys());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A connection that broke: nobody answered anything. What cannot be read was answered, and wrongly; of a line that is
/// no UTF-8 kube says so as of a stream that broke.
fn is_transport(error: &kube::Error) -> bool {
    match error {
        kube::Error::Service(_) | kube::Error::HyperError(_) => true,
        kube::Error::ReadEvents(error) => error.kind() != ErrorKind::InvalidData,
        _ => false,
    }
}

/// Whether the watcher goes on by itself, and no answer was an error of the server. What it holds is compared anyway.
fn is_passing(error: &watcher::Error) -> bool {
    match error {
        // W4: the list was of one replica and the watch came to the other, which says so; the watcher lists again.
        watcher::Error::WatchError(status) => status.code == 410,
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => is_transport(error),
        watcher::Error::NoResourceVersion => false,
    }
}

struct Follower(JoinHandle<Result>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn follow(
    api: Api<DynamicObject>,
    config: watcher::Config,
    told: tokio::sync::watch::Sender<Store>,
) -> Result {
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut next = Store::new();
    while let Some(event) = events.next().await {
        let event = match event {
            Err(error) if is_passing(&error) => continue,
            event => event?,
        };
        match event {
            Event::Init => next.clear(),
            Event::InitApply(object) => next.extend([entry(&object)?]),
            Event::InitDone => drop(told.send_replace(std::mem::take(&mut next))),
            Event::Apply(object) => {
                let (key, value) = entry(&object)?;
                told.send_modify(|store| drop(store.insert(key, value)));
            }
            Event::Delete(object) => {
                let (key, _) = entry(&object)?;
                told.send_modify(|store| drop(store.remove(&key)));
            }
        }
    }
    Ok(())
}

/// An object by its key. When the server last looked is no part of what it saw.
fn entry(object: &DynamicObject) -> Result<(String, Value)> {
    let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let mut value = serde_json::to_value(object)?;
    // A list says the type once, a watch with each object.
    for field in ["apiVersion", "kind"] {
        value.as_object_mut().and_then(|object| object.remove(field));
    }
    if let Some(status) = value.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("observedAt");
    }
    Ok((key, value))
}

#[test]
fn what_cannot_be_read_is_no_broken_connection() {
    let broken = |kind: ErrorKind| kube::Error::ReadEvents(kind.into());
    assert!(is_transport(&broken(ErrorKind::Other)) && is_transport(&kube::Error::Service("reset".into())));
    assert!(!is_transport(&broken(ErrorKind::InvalidData)), "a line that is no UTF-8");
    let no_json = serde_json::from_str::<Value>("<html>").map_err(kube::Error::SerdeError);
    assert!(no_json.is_err_and(|error| !is_transport(&error)));
    assert!(!is_transport(&kube::Error::LinesCodecMaxLineLengthExceeded));
}
