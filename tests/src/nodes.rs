//! A cluster of several nodes: what is asked of it, and what is done to it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::{Lab, Restate, Result, eventually, lab::Image};

/// Three servers come up on a machine with two cores.
pub const UP: Duration = Duration::from_mins(4);

/// Few partitions and little memory; a call that waits for a second is suspended and survives its node.
pub const CONFIG: &str = "default-num-partitions = 4\nrocksdb-total-memory-size = \"128 MiB\"\n\
                          [worker.invoker]\ninactivity-timeout = \"1s\"\nabort-timeout = \"30s\"\n";

const RESTATE: &str = "app.kubernetes.io/name=restate";

/// The nodes of one RestateCluster, which goes with the test.
#[derive(Clone)]
pub struct Nodes {
    lab: Lab,
    restate: Restate,
}

impl Nodes {
    /// So many nodes, and two copies of everything where there are enough of them.
    pub fn spec(count: i32) -> Value {
        json!({
            "cluster": {"provisioning": "Auto", "replication": 2},
            "compute": {"replicas": count},
            "config": CONFIG,
        })
    }

    /// Makes a cluster with this spec and waits until it is Ready.
    pub async fn make(lab: &Lab, about: &str, spec: &Value) -> Result<Self> {
        let nodes = Self { lab: lab.clone(), restate: Restate::own(lab, about, spec).await? };
        let wanted = spec["compute"]["replicas"].as_i64().unwrap_or(1);
        nodes.are_up(wanted).await?;
        Ok(nodes)
    }

    /// A cluster with this spec, of which something is missing still: nothing is waited for.
    pub async fn begin(lab: &Lab, about: &str, spec: &Value) -> Result<Self> {
        let nodes = Self { lab: lab.clone(), restate: Restate::to_be_made(lab, about).await? };
        nodes.change(spec).await?;
        Ok(nodes)
    }

    /// Its Restate.
    pub fn restate(&self) -> &Restate {
        &self.restate
    }

    /// Applies another spec and does not wait.
    pub async fn change(&self, spec: &Value) -> Result {
        self.lab.kubectl()?.apply(&self.restate.object(spec)?).await
    }

    /// restatectl in the pod of a node.
    pub async fn restatectl(&self, node: u32, command: &[&str]) -> Result<String> {
        let pod = format!("restate-{node}");
        let exec = ["-n", self.restate.name(), "exec", &pod, "-c", "restate", "--", "restatectl"];
        self.lab.kubectl()?.run(exec.iter().chain(command)).await
    }

    /// The cluster's ids of its nodes (`N1`), by the names of their pods.
    pub async fn ids(&self) -> Result<BTreeMap<String, String>> {
        let list = self.restatectl(0, &["nodes", "list"]).await?;
        Ok(list.lines().filter_map(id_and_name).map(|(id, name)| (name.to_owned(), id.to_owned())).collect())
    }

    /// The RestateCluster as it is stored.
    pub async fn stored(&self) -> Result<Value> {
        self.lab.kubectl()?.json(["get", "restatecluster", self.restate.name(), "-o", "json"]).await
    }

    /// A condition of the RestateCluster; null where it has none of this type.
    pub async fn condition(&self, kind: &str) -> Result<Value> {
        Ok(condition_of(&self.stored().await?, kind))
    }

    /// Waits until a condition of the newest spec is as it should be, and gives it.
    pub async fn until(&self, kind: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        eventually(&format!("{kind} of {}", self.restate.name()), limit, || async {
            let object = self.stored().await?;
            let condition = condition_of(&object, kind);
            let is_of_now = condition["observedGeneration"] == object["metadata"]["generation"];
            let good = is_of_now && wanted(&condition);
            Ok(if good { Ok(condition) } else { Err(condition.to_string()) })
        })
        .await
    }

    /// Waits until the newest spec was looked at and a condition is not there.
    pub async fn is_gone(&self, kind: &str, limit: Duration) -> Result {
        eventually(&format!("{kind} of {} to go", self.restate.name()), limit, || async {
            let object = self.stored().await?;
            let condition = condition_of(&object, kind);
            let seen = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            Ok(if seen && condition.is_null() { Ok(()) } else { Err(condition.to_string()) })
        })
        .await
    }

    /// Waits until logs and partitions are configured to have two copies, and every log has them.
    pub async fn are_replicated(&self) -> Result {
        self.until("ClusterConfigDrift", UP, |drift| drift["reason"] == "ReplicationAsWanted").await?;
        eventually("every log to be written to two nodes", UP, || async {
            let logs = self.restatectl(0, &["logs", "list"]).await?;
            Ok(if logs.contains("{node: 1}") || !logs.contains("{node: 2}") { Err(logs) } else { Ok(()) })
        })
        .await
    }

    /// Waits until there are so many pods, all of them ready and of the newest template, and the cluster is Ready.
    pub async fn are_up(&self, count: i64) -> Result {
        self.are_up_within(count, UP).await
    }

    /// The same, for what takes longer.
    pub async fn are_up_within(&self, count: i64, limit: Duration) -> Result {
        eventually(&format!("{count} nodes of {}", self.restate.name()), limit, || async {
            let set = self.get("statefulset", "restate").await?;
            let (spec, status) = (&set["spec"], &set["status"]);
            let seen = status["observedGeneration"] == set["metadata"]["generation"];
            let counts = [
                &spec["replicas"],
                &status["replicas"],
                &status["readyReplicas"],
                &status["updatedReplicas"],
            ];
            let all = counts.iter().all(|number| number.as_i64() == Some(count));
            Ok(if seen && all { Ok(()) } else { Err(format!("{counts:?}")) })
        })
        .await?;
        self.restate.ready().await
    }

    /// The images of its nodes, each once.
    pub async fn images(&self) -> Result<Vec<String>> {
        let path = r#"jsonpath={.items[*].spec.containers[?(@.name=="restate")].image}"#;
        let get = ["-n", self.restate.name(), "get", "pods", "-l", RESTATE, "-o", path];
        let text = self.lab.kubectl()?.run(get).await?;
        let mut images: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        images.sort();
        images.dedup();
        Ok(images)
    }

    /// Waits until every node runs an image of the lab.
    pub async fn run(&self, image: Image, count: i64, limit: Duration) -> Result {
        let wanted = self.lab.image(image)?;
        eventually(&format!("every node to run {wanted}"), limit, || async {
            let images = self.images().await?;
            Ok(if images == [wanted.clone()] { Ok(()) } else { Err(images.join(", ")) })
        })
        .await?;
        self.are_up(count).await
    }

    /// Kills the process of a node where it stands, and waits until it was started again and all are up.
    pub async fn kill(&self, node: u32, count: i64) -> Result {
        let before = self.restarts(node).await?;
        self.lab.kill(self.restate.name(), &format!("apps.kubernetes.io/pod-index={node}")).await?;
        self.has_restarted(node, before).await?;
        self.are_up(count).await
    }

    /// Kills the processes of all nodes at once, and waits until all are up again.
    pub async fn kill_all(&self, count: u32) -> Result {
        let mut before = Vec::new();
        for node in 0..count {
            before.push(self.restarts(node).await?);
        }
        self.lab.kill(self.restate.name(), RESTATE).await?;
        for (node, before) in (0..).zip(before) {
            self.has_restarted(node, before).await?;
        }
        self.are_up(count.into()).await
    }

    /// Takes all pods away at once: what comes in their place has other addresses.
    pub async fn replace_all(&self, count: u32) -> Result {
        let mut before = Vec::new();
        for node in 0..count {
            before.push(self.uid(node).await?);
        }
        let delete =
            ["-n", self.restate.name(), "delete", "pods", "-l", RESTATE, "--grace-period=1", "--wait=false"];
        self.lab.kubectl()?.run(delete).await?;
        for (node, before) in (0..).zip(before) {
            self.is_another(node, &before).await?;
        }
        self.are_up(count.into()).await
    }

    /// Takes away a node's claim, volume and pod.
    pub async fn lose_disk(&self, node: u32) -> Result {
        let before = self.uid(node).await?;
        let (claim, pod) = (format!("storage-restate-{node}"), format!("restate-{node}"));
        let kubectl = self.lab.kubectl()?;
        kubectl.run(["-n", self.restate.name(), "delete", "pvc", &claim, "--wait=false"]).await?;
        kubectl.run(["-n", self.restate.name(), "delete", "pod", &pod, "--wait=false"]).await?;
        self.is_another(node, &before).await
    }

    /// Waits until `restatectl` shows so many nodes that may be written to, and none in another state.
    pub async fn are_read_write(&self, count: usize) -> Result {
        eventually("every node to be read-write", UP, || async {
            let list = self.restatectl(0, &["nodes", "list", "--extra"]).await?;
            let good = list.matches("read-write").count() == count;
            let bad = ["data-loss", "provisioning", "read-only"].iter().any(|state| list.contains(state));
            Ok(if good && !bad { Ok(()) } else { Err(list) })
        })
        .await
    }

    /// An object of its namespace.
    pub async fn get(&self, kind: &str, name: &str) -> Result<Value> {
        self.lab.kubectl()?.json(["-n", self.restate.name(), "get", kind, name, "-o", "json"]).await
    }

    async fn uid(&self, node: u32) -> Result<String> {
        let pod = self.get("pod", &format!("restate-{node}")).await?;
        pod["metadata"]["uid"].as_str().map(str::to_owned).context("a pod without a uid")
    }

    async fn is_another(&self, node: u32, before: &str) -> Result {
        eventually(&format!("another pod for node {node}"), UP, || async {
            let now = self.uid(node).await?;
            Ok(if now == before { Err(now) } else { Ok(()) })
        })
        .await
    }

    async fn restarts(&self, node: u32) -> Result<i64> {
        let pod = self.get("pod", &format!("restate-{node}")).await?;
        let containers = pod["status"]["containerStatuses"].as_array();
        let restate = containers.into_iter().flatten().find(|it| it["name"] == "restate");
        restate.and_then(|it| it["restartCount"].as_i64()).context("a pod without a restart count")
    }

    async fn has_restarted(&self, node: u32, before: i64) -> Result {
        eventually(&format!("node {node} to start again"), UP, || async {
            let now = self.restarts(node).await?;
            Ok(if now > before { Ok(()) } else { Err(format!("{now} restarts")) })
        })
        .await
    }
}

fn condition_of(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|it| it["type"] == kind).cloned().unwrap_or_default()
}

/// A row of `restatectl nodes list`: id, generation, name, …
fn id_and_name(row: &str) -> Option<(&str, &str)> {
    let mut words = row.split_whitespace();
    let (id, _, name) = (words.next()?, words.next()?, words.next()?);
    let number = id.strip_prefix('N')?;
    number.parse::<u32>().is_ok().then_some((id, name))
}

/// Is one of these ids in this text, by itself or with its generation (`N4:2`)?
pub fn names_any(text: &str, ids: &[String]) -> bool {
    text.split(|sign: char| !sign.is_ascii_alphanumeric()).any(|word| ids.iter().any(|id| id == word))
}

/// Skips what can only be done where the node runs on this machine: killing processes, and a ledger that pods reach.
pub fn is_within_reach(lab: &Lab) -> bool {
    let ours = lab.is_ours();
    if !ours {
        eprintln!("skipped: pods of a cluster elsewhere cannot reach this machine");
    }
    ours
}

/// Fails where a spec that must not be acted on has been acted on.
pub async fn unchanged(nodes: &Nodes, images: &[String], count: i64) -> Result {
    ensure!(nodes.images().await? == images, "the nodes run another image");
    let set = nodes.get("statefulset", "restate").await?;
    ensure!(set["spec"]["replicas"].as_i64() == Some(count), "{} nodes", set["spec"]["replicas"]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_read_off_the_list() {
        let list = "Node Configuration (v4)\n NODE  GEN  NAME       ADDRESS\n N12   2    restate-0  http://a:5122/\n";
        assert_eq!(list.lines().filter_map(id_and_name).collect::<Vec<_>>(), [("N12", "restate-0")]);
    }

    #[test]
    fn an_id_is_a_whole_word() {
        let ids = ["N1".to_owned(), "N4".to_owned()];
        assert!(names_any("{node: 2}  N4:2  [N2, N3]", &ids));
        assert!(!names_any("{node: 2}  N14:2  [N2, N3, N41]", &ids));
    }
}
