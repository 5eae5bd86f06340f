//! What is done to a whole cluster by request, and refused where it would do harm or nothing.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Kubectl, Lab, Restate, Result, eventually};
use serde_json::{Value, json};

fn object(kind: &str, cluster: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "control.restate.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": cluster},
        "spec": spec,
    })
}

/// Waits until a `create` with these arguments is refused with a word: a replica that has not heard of the cluster yet
/// refuses it with others. It must never succeed.
async fn refused(kubectl: &Kubectl, more: &[&str], object: &Value, word: &str) -> Result {
    let answer = eventually(&format!("a refusal that says {word}"), Duration::from_mins(1), || async {
        let create = ["create", "-f", "-"].iter().chain(more);
        let answer = kubectl.ask(create, Some(object)).await?;
        let told = answer.successful || answer.words.contains(word);
        Ok(if told { Ok(answer) } else { Err(answer.words) })
    })
    .await?;
    ensure!(!answer.successful, "{object} was not refused: {answer:?}");
    Ok(())
}

/// The cluster that tests share has no store for snapshots: it is refused with the field's name, tried or meant.
#[tokio::test]
async fn snapshots_without_a_store_are_refused_by_the_fields_name() -> Result {
    let lab = Lab::of_this_run()?;
    let restate = Restate::shared(&lab).await?;
    let kubectl = lab.kubectl()?;
    let asked = object("RestateClusterSnapshot", restate.name(), &json!({}));
    for more in [&[] as &[&str], &["--dry-run=server"]] {
        refused(&kubectl, more, &asked, "worker.snapshots.destination").await?;
    }
    Ok(())
}

/// Where the store is named and does not answer, no partition runs: what would be made is told all the same, numbers
/// that the cluster does not have are refused, and Restate's own words come back for the others.
#[tokio::test]
async fn snapshots_to_a_store_that_does_not_answer_fail_by_partition() -> Result {
    let lab = Lab::of_this_run()?;
    let config = "default-num-partitions = 2\nrocksdb-total-memory-size = \"128 MiB\"\n[worker.snapshots]\n\
                  destination = \"s3://none/here\"\naws-region = \"local\"\naws-access-key-id = \"a\"\n\
                  aws-secret-access-key = \"b\"\naws-endpoint-url = \"http://127.0.0.1:1\"\naws-allow-http = true\n";
    let restate = Restate::to_be_made(&lab, "snapshots").await?;
    let kubectl = lab.kubectl()?;
    kubectl.apply(&restate.object(&json!({"config": config}))?).await?;
    let asked = |partitions: &[u32]| {
        object("RestateClusterSnapshot", restate.name(), &json!({"partitions": partitions}))
    };
    eventually("a dry run", Duration::from_mins(3), || async {
        let dry = ["create", "-f", "-", "--dry-run=server", "-o", "json"];
        let dry = kubectl.ask(dry, Some(&asked(&[0, 1]))).await?;
        Ok(if dry.successful && dry.output.contains("DryRun") {
            Ok(())
        } else {
            Err(dry.words + &dry.output)
        })
    })
    .await?;
    refused(&kubectl, &[], &asked(&[0, 7]), "spec.partitions").await?;
    refused(&kubectl, &[], &asked(&[1]), "partition 1").await
}

/// A node that has its disk does not begin anew, whoever asks; and a cluster of one has no other copy.
#[tokio::test]
async fn a_node_that_has_its_disk_is_left_alone() -> Result {
    let lab = Lab::of_this_run()?;
    let restate = Restate::shared(&lab).await?;
    let kubectl = lab.kubectl()?;
    let asked = object("RestateClusterRecovery", restate.name(), &json!({"node": "restate-0"}));
    for more in [&[] as &[&str], &["--dry-run=server"]] {
        refused(&kubectl, more, &asked, "DiskLost").await?;
    }
    let unknown = object("RestateClusterRecovery", restate.name(), &json!({"node": "restate-7"}));
    refused(&kubectl, &[], &unknown, "has no node restate-7").await?;
    let nobody = object("RestateClusterRecovery", restate.name(), &json!({}));
    refused(&kubectl, &[], &nobody, "spec.node").await
}
