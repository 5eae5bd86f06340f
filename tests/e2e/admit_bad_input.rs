//! What cannot mean anything is refused at admission, with words that name the field.

use anyhow::ensure;
use restate_tests::{Lab, Result};
use rstest::rstest;
use serde_json::{Value, json};

fn deployment() -> Value {
    json!({
        "apiVersion": "restate.dev/v1beta1",
        "kind": "RestateDeployment",
        "metadata": {"name": "bad", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "bad"}},
            "restate": {"register": {"cluster": "none"}},
            "template": {"metadata": {"labels": {"app": "bad"}}, "spec": {"containers": [{"name": "a", "image": "b:c"}]}},
        },
    })
}

fn cluster() -> Value {
    json!({
        "apiVersion": "restate.dev/v1",
        "kind": "RestateCluster",
        "metadata": {"name": "bad"},
        "spec": {"compute": {"image": "restate:1"}, "storage": {"storageRequestBytes": 1_073_741_824}},
    })
}

#[rstest]
#[case::two_targets(deployment(), "/spec/restate/register", json!({"cluster": "a", "url": "http://b"}), "register")]
#[case::no_target(deployment(), "/spec/restate/register", json!({}), "register")]
#[case::negative_replicas(deployment(), "/spec/replicas", json!(-1), "replicas")]
#[case::negative_delay(deployment(), "/spec/restate/drainDelaySeconds", json!(-1), "drainDelaySeconds")]
#[case::unknown_mode(deployment(), "/spec/deploymentMode", json!("daemonset"), "deploymentMode")]
#[case::no_storage(cluster(), "/spec/storage", json!({}), "storageRequestBytes")]
#[case::no_image(cluster(), "/spec/compute", json!({}), "image")]
#[tokio::test]
async fn a_manifest_that_means_nothing_is_refused(
    #[case] mut object: Value,
    #[case] place: &str,
    #[case] value: Value,
    #[case] named: &str,
) -> Result {
    let (parent, field) = place.rsplit_once('/').unwrap_or_default();
    object.pointer_mut(parent).unwrap_or(&mut Value::Null)[field] = value;
    let words = Lab::of_this_run()?.kubectl()?.refused(&object).await?;
    ensure!(words.contains(named), "{words}");
    Ok(())
}

/// The cases above differ from these in one field each.
#[tokio::test]
async fn the_manifests_are_good_but_for_that_field() -> Result {
    let kubectl = Lab::of_this_run()?.kubectl()?;
    for object in [deployment(), cluster()] {
        let answer = kubectl.ask(["create", "-f", "-", "--dry-run=server"], Some(&object)).await?;
        ensure!(answer.successful, "{}", answer.words);
    }
    Ok(())
}
