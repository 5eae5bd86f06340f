//! Coming from another controller on a living cluster: while one of its pods runs ours does nothing, and what it then
//! takes over goes on as it was.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use restate_tests::{
    Kubectl, Lab, Restate, Result, eventually,
    lab::{Image, OPERATOR_NAMESPACE},
};
use serde_json::{Value, json};

/// A RestateCluster and all that restate-operator made of it, as recorded on a real cluster.
const RECORDED: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../controller/plan/testdata/cluster-rs.json"));
/// The recorded cluster's name.
const CLUSTER: &str = "rs";
/// What its pod runs.
const IMAGE: &str = "docker.io/restatedev/restate:1.7.12";
const FORMER: &str = "former-operator";
const CONTROLLER: &str = "app.kubernetes.io/component=controller";
/// A namespace with a Restate that ends.
const ABSENT: Duration = Duration::from_mins(3);
/// A few looks for former pods, and a program that starts.
const SOON: Duration = Duration::from_mins(2);

/// What nobody may notice a difference of.
#[derive(Debug, PartialEq)]
struct Facts {
    /// Uid, generation, template.
    set: (Value, Value, Value),
    /// Of each pod: uid, and how often its programs were started anew.
    pods: BTreeMap<String, (Value, Value)>,
    /// Uids of everything beside it.
    beside: BTreeMap<String, Value>,
}

/// Takes away what the test made, also where it fails: nobody acts while the former pod is there.
struct Remains {
    lab: Lab,
}

impl Drop for Remains {
    fn drop(&mut self) {
        let Some(program) = std::env::var_os("LAB_KUBECTL") else { return };
        let pod = ["-n", OPERATOR_NAMESPACE, "delete", "pod", FORMER, "--grace-period=0", "--force"];
        let cluster = ["delete", "restatecluster", CLUSTER, "--ignore-not-found", "--wait=false"];
        for arguments in [pod.as_slice(), cluster.as_slice()] {
            let mut kubectl = Command::new(&program);
            kubectl.args(arguments).env("KUBECONFIG", self.lab.kubeconfig());
            // What is gone already is as it should be.
            let _ = kubectl.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// A pod of another controller: the label of ours, and nothing that says that it obeys our Lease.
fn former(image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": FORMER, "namespace": OPERATOR_NAMESPACE, "labels": {"app": "restate-operator"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "operator", "image": image, "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "100000"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

/// As it was made: without what the API server had added, owned by this uid.
fn made_anew(recorded: &Value, owner: Option<&Value>) -> Value {
    let mut object = recorded.clone();
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
        object["metadata"].as_object_mut().map(|fields| fields.remove(field));
    }
    object.as_object_mut().map(|fields| fields.remove("status"));
    if let Some(owner) = owner {
        object["metadata"]["ownerReferences"][0]["uid"] = owner.clone();
    }
    // Addresses are given anew; that there is to be none is a wish.
    if object["kind"] == "Service" && object["spec"]["clusterIP"] != "None" {
        object["spec"].as_object_mut().map(|fields| fields.remove("clusterIP"));
        object["spec"].as_object_mut().map(|fields| fields.remove("clusterIPs"));
    }
    if object["kind"] == "Namespace" {
        object.as_object_mut().map(|fields| fields.remove("spec"));
        object["metadata"]["labels"]["restate-tests"] = "true".into();
    }
    object
}

/// Waits until nothing of the recorded name is left of a test before.
async fn absent(kubectl: &Kubectl) -> Result {
    eventually("the recorded cluster and its namespace to be absent", ABSENT, || async {
        let mut left = String::new();
        for kind in ["restatecluster", "namespace"] {
            left += &kubectl.run(["get", kind, CLUSTER, "--ignore-not-found", "-o", "name"]).await?;
        }
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
    .await
}

/// Everything, as it was recorded, with a Restate that has been provisioned.
async fn restore(kubectl: &Kubectl) -> Result {
    let list: Value = serde_json::from_str(RECORDED)?;
    let items = list["items"].as_array().context("a list")?;
    let cluster = items.iter().find(|it| it["kind"] == "RestateCluster").context("the cluster")?;
    let owner = kubectl.create(&made_anew(cluster, None)).await?["metadata"]["uid"].clone();
    for item in items.iter().filter(|it| it["kind"] != "RestateCluster") {
        let apply = ["apply", "--server-side", "--field-manager=restate-operator", "-f", "-"];
        let applied = kubectl.ask(apply, Some(&made_anew(item, Some(&owner)))).await?;
        ensure!(applied.successful, "{}: {}", item["kind"], applied.words);
    }
    let provision = json!({"apiVersion": "control.restate.dev/v1alpha1", "kind": "RestateClusterProvision",
                           "metadata": {"name": CLUSTER}});
    eventually("Restate to be provisioned", SOON, || async {
        let answer = kubectl.ask(["create", "-f", "-"], Some(&provision)).await?;
        let done = answer.successful || answer.words.contains("AlreadyExists");
        Ok(if done { Ok(()) } else { Err(answer.words) })
    })
    .await?;
    let status = json!({"status": cluster["status"]}).to_string();
    let patch = ["patch", "restatecluster", CLUSTER, "--subresource=status", "--type=merge", "-p", &status];
    kubectl.run(patch).await?;
    eventually("its pod to be ready", SOON, || async {
        let ready =
            ["-n", CLUSTER, "get", "statefulset", "restate", "-o", "jsonpath={.status.readyReplicas}"];
        let seen = kubectl.run(ready).await?;
        Ok(if seen == "1" { Ok(()) } else { Err(seen) })
    })
    .await
}

async fn facts(kubectl: &Kubectl) -> Result<Facts> {
    let list = async |kinds: &str| -> Result<Vec<Value>> {
        let list = kubectl.json(["-n", CLUSTER, "get", kinds, "-o", "json"]).await?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    };
    let name = |it: &Value| format!("{} {}", it["kind"], it["metadata"]["name"]);
    let set = list("statefulsets").await?;
    let set = set.first().context("the stateful set")?;
    let (meta, template) = (&set["metadata"], set["spec"]["template"].clone());
    let pods = list("pods").await?;
    let restarts = |it: &Value| it["status"]["containerStatuses"][0]["restartCount"].clone();
    let beside =
        list("services,configmaps,serviceaccounts,poddisruptionbudgets,persistentvolumeclaims").await?;
    Ok(Facts {
        set: (meta["uid"].clone(), meta["generation"].clone(), template),
        pods: pods.iter().map(|it| (name(it), (it["metadata"]["uid"].clone(), restarts(it)))).collect(),
        beside: beside.iter().map(|it| (name(it), it["metadata"]["uid"].clone())).collect(),
    })
}

/// The condition of the RestateCluster, where our controller wrote it.
async fn ready(kubectl: &Kubectl) -> Result<Value> {
    let object = kubectl.json(["get", "restatecluster", CLUSTER, "-o", "json"]).await?;
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.into_iter().find(|it| it["type"] == "Ready").unwrap_or_default();
    Ok(json!({"condition": ready, "generation": object["metadata"]["generation"]}))
}

/// adoption.md, rules 2, 3, 5 and its test, for clusters: with a pod of the former controller there, ours does nothing
/// and says why; when it is gone, ours takes over without a restart, a new revision or another object.
#[tokio::test]
async fn a_recorded_cluster_is_taken_over_when_its_former_controller_is_gone() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: the recorded image must be on the node");
        return Ok(());
    }
    let kubectl = lab.kubectl()?;
    lab.tag(Image::Restate, IMAGE).await?;
    // While a former pod is there nobody would take the rest away.
    absent(&kubectl).await?;
    let _remains = Remains { lab: lab.clone() };
    kubectl.apply(&former(&lab.image(Image::Busybox)?)).await?;
    let wait = ["wait", "--for=condition=Ready", "--timeout=60s", "pod", FORMER];
    kubectl.run(["-n", OPERATOR_NAMESPACE].into_iter().chain(wait)).await?;
    // It is looked for before ours begins to act: a new pod of ours, which no kubelet holds back.
    kubectl.run(["-n", OPERATOR_NAMESPACE, "delete", "pods", "-l", CONTROLLER, "--wait=false"]).await?;
    let says = || async {
        let logs = ["-n", OPERATOR_NAMESPACE, "logs", "-l", CONTROLLER, "--tail=200"];
        let log = kubectl.run(logs).await?;
        let said = log.contains("another controller is still there") && log.contains(FORMER);
        Ok(if said { Ok(()) } else { Err(log.lines().last().unwrap_or_default().to_owned()) })
    };
    eventually("our controller to say what it waits for", SOON, says).await?;

    restore(&kubectl).await?;
    let before = facts(&kubectl).await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let untouched = ready(&kubectl).await?;
    ensure!(untouched["condition"]["reason"] == "Reconciled", "it acted: {untouched}");
    ensure!(facts(&kubectl).await? == before, "it acted");

    let gone = ["delete", "pod", FORMER, "--grace-period=0", "--force"];
    kubectl.run(["-n", OPERATOR_NAMESPACE].into_iter().chain(gone)).await?;
    eventually("our controller to take over", SOON, || async {
        let seen = ready(&kubectl).await?;
        let (condition, generation) = (&seen["condition"], &seen["generation"]);
        let ours = condition["status"] == "True" && condition["observedGeneration"] == *generation;
        Ok(if ours { Ok(()) } else { Err(seen.to_string()) })
    })
    .await?;
    // What comes after the first passes would come now.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let after = facts(&kubectl).await?;
    ensure!(after == before, "{before:#?} became {after:#?}");
    let set = ["-n", CLUSTER, "get", "statefulset", "restate", "--show-managed-fields", "-o", "json"];
    let set = kubectl.json(set).await?;
    let owners = set["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let others = owners.iter().any(|it| it["manager"].to_string().contains("restate-operator/"));
    ensure!(!others, "rule 3: {owners:?}");
    // And it serves.
    let restate = Restate::named(&lab, CLUSTER).await?;
    let rows = restate.query("select count(*) as n from sys_deployment").await?;
    ensure!(rows[0]["n"] == 0, "{rows:?}");
    kubectl.run(["delete", "restatecluster", CLUSTER, "--wait=false"]).await?;
    eventually("the cluster to be gone", SOON, || async {
        let left =
            kubectl.run(["get", "restatecluster", CLUSTER, "--ignore-not-found", "-o", "name"]).await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
    .await
}
