//! The controller dies again and again while a cluster grows, is rolled and shrinks under load: whatever step it was
//! at, the next one goes on. It serves all other tests too, so this runs after them. Long: with `--all`.

use std::time::Duration;

use anyhow::Context as _;
use restate_tests::{
    Bucket, Lab, Load, Nodes, Pace, Result, eventually, lab::OPERATOR_NAMESPACE, load::say, nodes,
};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cluster_shrink::{are_three, going, spec};

const CONTROLLER: &str = "app.kubernetes.io/component=controller";
/// A Lease of 30 s that nobody gave back, and a pod that starts.
const ELECTED: Duration = Duration::from_mins(2);
/// How long a controller lives once it acts, at most: long enough for some steps, too short for all.
const LIFE_MILLIS: u64 = 6_000;
/// Each life ends with half a minute in which nobody acts.
const DONE: Duration = Duration::from_mins(12);
/// What is left of the calls may take so long.
const REST: Duration = Duration::from_mins(4);

/// Whoever kills the controller; he ends with the value.
struct Killer {
    stop: CancellationToken,
    killing: JoinHandle<Result<usize>>,
    _guard: DropGuard,
}

impl Killer {
    fn begin(lab: &Lab) -> Self {
        let (lab, stop) = (lab.clone(), CancellationToken::new());
        let told = stop.clone();
        let killing = tokio::spawn(async move {
            let mut killed = 0;
            while !told.is_cancelled() {
                tokio::select! {
                    done = live_and_die(&lab) => done?,
                    () = told.cancelled() => break,
                }
                killed += 1;
            }
            Ok(killed)
        });
        Self { _guard: stop.clone().drop_guard(), stop, killing }
    }

    /// Kills no more, and waits until there is a controller that acts.
    async fn end(self, lab: &Lab) -> Result<usize> {
        self.stop.cancel();
        let killed = self.killing.await??;
        elected(lab).await?;
        Ok(killed)
    }
}

/// Waits until a controller acts, lets it live for a moment, and takes it away without a word to anybody: neither its
/// Lease nor anything else is given back.
async fn live_and_die(lab: &Lab) -> Result {
    let pod = elected(lab).await?;
    sleep(Duration::from_millis(fastrand::u64(0..LIFE_MILLIS))).await;
    let now = ["--grace-period=0", "--force", "--wait=false", "--ignore-not-found"];
    let delete = ["-n", OPERATOR_NAMESPACE, "delete", "pod", &pod];
    lab.kubectl()?.run(delete.into_iter().chain(now)).await.map(drop)
}

/// The pod that holds the Lease, once there is one that lives.
async fn elected(lab: &Lab) -> Result<String> {
    let kubectl = lab.kubectl()?;
    eventually("a controller to hold the Lease", ELECTED, || async {
        let leases = kubectl.json(["-n", OPERATOR_NAMESPACE, "get", "leases", "-o", "json"]).await?;
        let alive = "--field-selector=status.phase=Running";
        let pods = ["-n", OPERATOR_NAMESPACE, "get", "pods", "-l", CONTROLLER, alive, "-o", "json"];
        let pods = kubectl.json(pods).await?;
        Ok(holder(&leases, &pods).with_context(|| leases.to_string()).map_err(|error| error.to_string()))
    })
    .await
}

/// The controller's candidates are called by name and uid of their pods.
fn holder(leases: &Value, pods: &Value) -> Option<String> {
    let items = |list: &Value| list["items"].as_array().cloned().unwrap_or_default();
    let candidates = items(pods).into_iter().filter_map(|pod| {
        let metadata = &pod["metadata"];
        metadata["deletionTimestamp"].is_null().then_some(())?;
        let (name, uid) = (metadata["name"].as_str()?, metadata["uid"].as_str()?);
        Some((name.to_owned(), format!("{name}_{uid}")))
    });
    let candidates: Vec<_> = candidates.collect();
    let holds = |lease: &Value| {
        let holder = lease["spec"]["holderIdentity"].as_str()?;
        candidates.iter().find(|(_, identity)| identity == holder).map(|(name, _)| name.clone())
    };
    items(leases).iter().find_map(holds)
}

/// users.md §1b (op#195, op#83; op#154): growth, then a rollout of all nodes, by controllers of which none sees the
/// end of what it began.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "three nodes or more under load take minutes: --all"]
async fn growth_and_a_rollout_outlive_every_controller() -> Result {
    let lab = Lab::of_this_run()?;
    if !nodes::is_within_reach(&lab) {
        return Ok(());
    }
    let nodes = Nodes::make(&lab, "growth-killed", &Nodes::spec(1)).await?;
    let load = Load::begin(&lab, nodes.restate(), Pace::steady()).await?;
    let killer = Killer::begin(&lab);
    nodes.change(&Nodes::spec(3)).await?;
    nodes.are_up_within(3, DONE).await?;
    nodes.until("ClusterConfigDrift", DONE, |drift| drift["reason"] == "ReplicationAsWanted").await?;

    let mut rolled = Nodes::spec(3);
    rolled["compute"]["env"] = json!([{"name": "ROLLED", "value": "1"}]);
    nodes.change(&rolled).await?;
    eventually("the pod template to follow", DONE, || async {
        let set = nodes.get("statefulset", "restate").await?;
        let template = set["spec"]["template"].to_string();
        Ok(if template.contains("ROLLED") { Ok(()) } else { Err("the template of before".to_owned()) })
    })
    .await?;
    nodes.are_up_within(3, DONE).await?;
    let deaths = killer.end(&lab).await?;
    say(&format!("{deaths} controllers were killed"));
    nodes.are_replicated().await?;
    nodes.are_read_write(3).await?;
    load.end(REST).await?.hold("growth and a rollout, the controller killed again and again")
}

/// users.md §1b and §4 (rs#5195): the same of a shrink, whose steps cannot be taken back.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "three nodes or more under load take minutes: --all"]
async fn a_shrink_outlives_every_controller() -> Result {
    let lab = Lab::of_this_run()?;
    if !nodes::is_within_reach(&lab) {
        return Ok(());
    }
    let bucket = Bucket::open(&lab.address().await?).await?;
    let nodes = Nodes::make(&lab, "shrink-killed", &spec(5, &bucket)).await?;
    nodes.are_replicated().await?;
    let load = Load::begin(&lab, nodes.restate(), Pace::steady()).await?;
    let going = going(&nodes).await?;
    let killer = Killer::begin(&lab);
    nodes.change(&spec(3, &bucket)).await?;
    nodes.are_up_within(3, DONE).await?;
    let deaths = killer.end(&lab).await?;
    say(&format!("{deaths} controllers were killed"));
    are_three(&nodes, &going).await?;
    load.end(REST).await?.hold("a shrink from five nodes to three, the controller killed again and again")
}
