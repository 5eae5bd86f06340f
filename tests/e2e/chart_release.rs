//! The chart as it is installed on this cluster.

use anyhow::ensure;
use restate_tests::{
    Lab, Result,
    lab::{Image, OPERATOR_NAMESPACE},
};

#[tokio::test]
async fn what_runs_was_built_from_this_source() -> Result {
    let lab = Lab::of_this_run()?;
    let images = "jsonpath={.items[*].spec.template.spec.containers[*].image}";
    let running = lab.kubectl()?.run(["-n", OPERATOR_NAMESPACE, "get", "deployments", "-o", images]).await?;
    for image in [Image::Controller, Image::Apiserver] {
        let image = lab.image(image)?;
        ensure!(running.split_whitespace().any(|name| name == image), "{image} does not run: {running}");
    }
    Ok(())
}

#[tokio::test]
async fn both_programs_run_as_nobody_and_without_a_shell() -> Result {
    let lab = Lab::of_this_run()?;
    let kubectl = lab.kubectl()?;
    for deployment in ["deployment/restate-operator", "deployment/restate-operator-apiserver"] {
        let shell = ["-n", OPERATOR_NAMESPACE, "exec", deployment, "--", "/bin/sh", "-c", "true"];
        let answer = kubectl.ask(shell, None).await?;
        ensure!(!answer.successful && answer.words.contains("no such file"), "{deployment}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_release_fits_a_namespace_with_the_restricted_profile() -> Result {
    let lab = Lab::of_this_run()?;
    let label = ["label", "namespace", OPERATOR_NAMESPACE, "--overwrite", "--dry-run=server"];
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    let answer = lab.kubectl()?.ask(label.into_iter().chain([restricted]), None).await?;
    // The server warns about each running pod that the profile would not let in.
    ensure!(answer.successful && !answer.words.contains("violate"), "{answer:?}");
    Ok(())
}
