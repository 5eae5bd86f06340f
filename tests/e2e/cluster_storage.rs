//! Volumes of a real cluster. The lab's provisioner makes directories and resizes none: what a claim asks for and
//! what becomes of the stateful set and its pods can be seen here, the growth of a file system cannot.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Lab, Restate, Result, eventually};
use serde_json::{Value, json};

const GIB: i64 = 1 << 30;

struct Volumes {
    claim: String,
    template: String,
    set: String,
    pod: String,
    revision: String,
    restarts: String,
}

async fn volumes(lab: &Lab, restate: &Restate) -> Result<Volumes> {
    let kubectl = lab.kubectl()?;
    let read = async |kind: &str, name: &str, path: &str| {
        let path = format!("jsonpath={path}");
        kubectl.run(["-n", restate.name(), "get", kind, name, "-o", &path, "--ignore-not-found"]).await
    };
    let template = "{.spec.volumeClaimTemplates[0].spec.resources.requests.storage}";
    Ok(Volumes {
        claim: read("pvc", "storage-restate-0", "{.spec.resources.requests.storage}").await?,
        template: read("statefulset", "restate", template).await?,
        set: read("statefulset", "restate", "{.metadata.uid}").await?,
        pod: read("pod", "restate-0", "{.metadata.uid}").await?,
        revision: read("pod", "restate-0", "{.metadata.labels.controller-revision-hash}").await?,
        restarts: read("pod", "restate-0", "{.status.containerStatuses[0].restartCount}").await?,
    })
}

async fn condition(lab: &Lab, restate: &Restate, kind: &str) -> Result<Value> {
    let path = format!(r#"jsonpath={{.status.conditions[?(@.type=="{kind}")]}}"#);
    let text = lab.kubectl()?.run(["get", "restatecluster", restate.name(), "-o", &path]).await?;
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

fn size(bytes: i64) -> Value {
    json!({"storage": {"storageRequestBytes": bytes}})
}

/// users.md §3 (README): storage grows online, never shrinks; the stateful set is replaced, its pods stay. The
/// replacement goes on where a controller ends in the middle of it (the plan's own tests end it at every step).
#[tokio::test]
async fn claims_grow_and_the_set_is_replaced_under_its_pods() -> Result {
    let lab = Lab::of_this_run()?;
    let restate = Restate::own(&lab, "storage", &json!({})).await?;
    let before = volumes(&lab, &restate).await?;
    ensure!(before.claim == GIB.to_string() || before.claim == "1Gi", "{}", before.claim);
    lab.kubectl()?.apply(&restate.object(&size(2 * GIB))?).await?;
    eventually("claim and template to ask for more", Duration::from_mins(1), || async {
        let now = volumes(&lab, &restate).await?;
        let grown = |text: &str| text == "2Gi" || text == (2 * GIB).to_string();
        let done = grown(&now.claim) && grown(&now.template) && now.set != before.set;
        Ok(if done { Ok(()) } else { Err(format!("{} {} {}", now.claim, now.template, now.set)) })
    })
    .await?;
    // No resizer runs here.
    eventually("the condition to tell of growing volumes", Duration::from_secs(30), || async {
        let told = condition(&lab, &restate, "StorageAsWanted").await?;
        Ok(if told["reason"] == "VolumesGrowing" { Ok(()) } else { Err(told.to_string()) })
    })
    .await?;
    eventually("the note of the replacement to go", Duration::from_mins(1), || async {
        let object = lab.kubectl()?.json(["get", "restatecluster", restate.name(), "-o", "json"]).await?;
        let note = &object["metadata"]["annotations"]["restate.dev/replaced-stateful-set"];
        Ok(if note.is_null() { Ok(()) } else { Err(note.to_string()) })
    })
    .await?;
    restate.ready().await?;
    let after = volumes(&lab, &restate).await?;
    ensure!(after.pod == before.pod && after.restarts == before.restarts, "the pod was touched");
    ensure!(after.revision == before.revision, "the pod is out of date for the new set");
    ensure!(restate.query("select 1 as one").await?.len() == 1);

    let smaller = lab.kubectl()?.ask(["apply", "-f", "-"], Some(&restate.object(&size(GIB))?)).await?;
    ensure!(!smaller.successful && smaller.words.contains("never shrinks"), "{smaller:?}");
    Ok(())
}
