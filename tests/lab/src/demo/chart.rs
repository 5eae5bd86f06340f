//! The product on the cluster: our chart, with the images that were just built.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    Context, Result,
    images::{Images, repository_and_tag, workspace},
    node::Node,
};

/// The release and its namespace.
pub const NAME: &str = "restate-operator";

/// How long pods may take to become ready, image pulls from a slow registry included.
const PATIENCE: Duration = Duration::from_mins(5);

/// Marks the release with what it was made from. Helm keeps it with the release.
const LABEL: &str = "lab-chart";

/// Installs the chart, or brings it up to date; a release that is the same already stays untouched.
pub async fn install(context: &Context, node: &Node, images: &Images) -> Result<()> {
    let step = context.progress.step("the operator's chart");
    let chart = workspace().join("charts").join(NAME);
    let values = values(images, node.is_ours()).to_string();
    let key = key(&chart, &values)?;
    if is_installed(node, &key).await? {
        step.done("installed already");
        return Ok(());
    }
    if is_stuck(node).await {
        step.now("helm uninstall of a release that something interrupted");
        node.helm(["uninstall", NAME, "--namespace", NAME, "--no-hooks", "--wait"]).run().await?;
    }
    step.now("helm upgrade --install");
    let timeout = format!("{}s", PATIENCE.as_secs());
    let label = format!("{LABEL}={key}");
    let flags = ["--create-namespace", "--wait", "--timeout", &timeout, "--labels", &label, "--values", "-"];
    // CRDs may be there already: applied by hand, or kept by an uninstall.
    let flags = flags.into_iter().chain(["--take-ownership", "--force-conflicts"]);
    let chart = chart.display().to_string();
    let helm =
        node.helm(["upgrade", "--install", NAME, &chart, "--namespace", NAME].into_iter().chain(flags));
    if let Err(error) = helm.input(values).run().await {
        let pods = node.kubectl(["-n", NAME, "get", "pods", "-o", "wide"]).text().await.unwrap_or_default();
        let hint = "look at `cargo lab kubectl -n restate-operator describe pods` and `… logs deployment/…`";
        return Err(
            anyhow::Error::from(error).context(format!("failed to install the chart; {hint}\n{pods}"))
        );
    }
    step.done("installed");
    Ok(())
}

/// What the lab sets and users need not.
fn values(images: &Images, ours: bool) -> Value {
    // The node has what was imported and nothing else: a pull could only fail, late and with other words.
    let policy = if ours { "Never" } else { "IfNotPresent" };
    let image = |name: &str| {
        let (repository, tag) = repository_and_tag(name);
        json!({"repository": repository, "tag": tag, "pullPolicy": policy})
    };
    json!({
        "image": image(&images.controller),
        "aggregatedApi": {"image": image(&images.apiserver)},
        "logging": {"env_filter": "info"},
    })
}

/// Whether an install, an upgrade or an uninstall has ended in the middle: Helm refuses to go on from there.
async fn is_stuck(node: &Node) -> bool {
    let asked =
        node.helm(["status", NAME, "--namespace", NAME, "-o", "json"]).text().await.unwrap_or_default();
    let status: Value = serde_json::from_str(&asked).unwrap_or_default();
    let word = status["info"]["status"].as_str().unwrap_or_default();
    word == "uninstalling" || word.starts_with("pending-")
}

/// Is a release that was made from exactly this deployed and ready?
async fn is_installed(node: &Node, key: &str) -> Result<bool> {
    let selector = format!("owner=helm,name={NAME},status=deployed,{LABEL}={key}");
    let releases = node.kubectl(["-n", NAME, "get", "secrets", "-o", "name", "-l", &selector]).text().await?;
    if releases.trim().is_empty() {
        return Ok(false);
    }
    let rollout = ["-n", NAME, "wait", "--for=condition=Available", "deployments", "--all", "--timeout=60s"];
    Ok(node.kubectl(rollout).run().await.is_ok())
}

/// Changes when a file of the charts or a value does.
fn key(chart: &Path, values: &str) -> Result<String> {
    let charts = chart.parent().unwrap_or(chart);
    let mut files = files_below(charts).with_context(|| format!("failed to read {}", charts.display()))?;
    files.sort();
    let mut hash = Sha256::new_with_prefix(values);
    for file in files {
        hash.update(file.strip_prefix(charts).unwrap_or(&file).as_os_str().as_encoded_bytes());
        hash.update(fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?);
    }
    Ok(hex::encode(&hash.finalize()[..8]))
}

/// Links are not followed: a chart that contains another by link is hashed once.
fn files_below(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Images {
        let name = |name: &str| format!("localhost/restate-operator/{name}:0123");
        Images { controller: name("controller"), apiserver: name("apiserver"), ..Images::default() }
    }

    #[test]
    fn the_chart_gets_the_images_that_were_built() {
        insta::assert_snapshot!(values(&images(), true), @r#"{"aggregatedApi":{"image":{"pullPolicy":"Never","repository":"localhost/restate-operator/apiserver","tag":"0123"}},"image":{"pullPolicy":"Never","repository":"localhost/restate-operator/controller","tag":"0123"},"logging":{"env_filter":"info"}}"#);
    }

    #[test]
    fn an_existing_cluster_pulls() {
        assert_eq!(values(&images(), false)["image"]["pullPolicy"], "IfNotPresent");
    }

    #[test]
    fn the_key_changes_with_values_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let chart = folder.path().join("chart");
        fs::create_dir_all(chart.join("templates")).unwrap();
        fs::write(chart.join("templates/a.yaml"), "a").unwrap();
        let first = key(&chart, "{}").unwrap();
        assert_eq!(first, key(&chart, "{}").unwrap());
        assert_ne!(first, key(&chart, "{ }").unwrap());
        fs::write(chart.join("templates/a.yaml"), "b").unwrap();
        assert_ne!(first, key(&chart, "{}").unwrap());
    }
}
