//! What we publish and what users have is accepted as it stands; what cannot mean anything is refused at admission,
//! with words that name the field.

use anyhow::{Context as _, ensure};
use restate_tests::{Kubectl, Lab, Manifest, Namespace, Result, kubectl::Answer};
use rstest::rstest;
use serde_json::{Value, json};

/// Some of what is published may be there already: the demo.
async fn ask(kubectl: &Kubectl, manifest: &Manifest) -> Result<Answer> {
    let arguments = ["apply", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-"];
    kubectl.ask(arguments, Some(&manifest.object)).await.with_context(|| manifest.file.clone())
}

/// `readme` holds what users of restate-operator have.
#[rstest]
#[case::published("examples")]
#[case::in_use("tests/manifests/readme")]
#[case::every_field("tests/manifests/accepted")]
#[tokio::test]
async fn a_good_manifest_is_accepted(#[case] folder: &str) -> Result {
    let lab = Lab::of_this_run()?;
    let (kubectl, namespace) = (lab.kubectl()?, Namespace::new(&lab, "admit-good").await?);
    for manifest in Manifest::all(folder)? {
        let manifest = manifest.within(namespace.name());
        let answer = ask(&kubectl, &manifest).await?;
        ensure!(answer.successful, "{}: {}", manifest.file, answer.words);
    }
    Ok(())
}

#[tokio::test]
async fn a_manifest_that_means_nothing_is_refused() -> Result {
    let lab = Lab::of_this_run()?;
    let (kubectl, namespace) = (lab.kubectl()?, Namespace::new(&lab, "admit-bad").await?);
    for manifest in Manifest::all("tests/manifests/refused")? {
        let manifest = manifest.within(namespace.name());
        let words = manifest.refusal.as_deref().context("the first line says what the server says")?;
        let answer = ask(&kubectl, &manifest).await?;
        ensure!(!answer.successful, "{} was accepted", manifest.file);
        ensure!(answer.words.contains(words), "{}: {}", manifest.file, answer.words);
    }
    Ok(())
}

#[tokio::test]
async fn the_stored_kinds_explain_themselves() -> Result {
    let kubectl = Lab::of_this_run()?.kubectl()?;
    for field in ["rsc.spec.storage", "rsd.spec.restate.register", "rce.spec"] {
        let text = kubectl.run(["explain", field]).await?;
        ensure!(text.contains("DESCRIPTION") && text.contains("FIELDS"), "{field}: {text}");
    }
    Ok(())
}

/// The least that users write: defaults come from the server.
#[tokio::test]
async fn a_short_manifest_gets_its_defaults() -> Result {
    let lab = Lab::of_this_run()?;
    let namespace = Namespace::new(&lab, "admit-short").await?;
    let short = json!({
        "apiVersion": "restate.dev/v1beta1",
        "kind": "RestateDeployment",
        "metadata": {"name": "short", "namespace": namespace.name()},
        "spec": {
            "selector": {"matchLabels": {"app": "short"}},
            "restate": {"register": {"cluster": "none"}},
            "template": {"metadata": {"labels": {"app": "short"}}, "spec": {"containers": [{"name": "a", "image": "b:c"}]}},
        },
    });
    let stored: Value = lab.kubectl()?.create(&short).await?;
    ensure!(stored["spec"]["replicas"] == 1 && stored["spec"]["revisionHistoryLimit"] == 10, "{stored}");
    Ok(())
}
