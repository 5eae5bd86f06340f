//! What we publish is accepted by the API server as it stands.

use anyhow::{Context as _, ensure};
use restate_tests::{Lab, Namespace, Result};
use serde_json::{Value, json};

#[tokio::test]
async fn every_example_is_accepted() -> Result {
    let lab = Lab::of_this_run()?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // Only that the server accepts it: the namespace of an example need not exist on this cluster.
        let validate =
            ["create", "--dry-run=client", "--validate=strict", "-o", "name", "-f"].map(Into::into);
        let arguments = validate.into_iter().chain([path.clone().into_os_string()]);
        lab.kubectl()?.run(arguments).await.with_context(|| path.display().to_string())?;
        seen += 1;
    }
    ensure!(seen >= 3, "{seen} examples in {folder}");
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
