//! The demo: what this product is for, on live data.
//!
//! ```text
//! chart ─► RestateCluster ─► version 1 ─► a long invocation ─► version 2 ─► the table
//! ```
//!
//! Each stage looks first whether it is done already: a second run shows the table and changes nothing.

pub mod chart;
mod examples;
mod ingress;
mod versions;

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::Instant;

use self::{examples::Image, ingress::Ingress, versions::Versions};
use crate::{Context, Result, images::Images, node::Node};

/// Names in `examples/`.
const NAMESPACE: &str = "shop";
const CLUSTER: &str = "demo";

/// How long the demo's invocation takes: time to look around, and to see version 1 go afterwards.
const LONG_INVOCATION_SECONDS: u32 = 300;

/// How long Restate or a version may take to get ready before something is wrong.
const PATIENCE: Duration = Duration::from_mins(3);

/// Installs the chart and shows the table; harmless when it is there already.
pub async fn run(context: &Context, node: &Node, images: &Images) -> Result<()> {
    chart::install(context, node, images).await?;
    if !is_shown(node, images).await {
        play(context, node, images).await?;
    }
    show(context, node).await
}

/// Was the demo played with these images? Then what is left of it is shown.
async fn is_shown(node: &Node, images: &Images) -> bool {
    Versions::of(node, NAMESPACE).await.is_ok_and(|versions| versions.is_current(&images.greeter_v2))
}

async fn play(context: &Context, node: &Node, images: &Images) -> Result<()> {
    let pull = if node.is_ours() { "Never" } else { "IfNotPresent" };
    let image = |name| Image { name, pull };
    start_restate(context, node, image(&images.restate)).await?;
    roll_out(context, node, image(&images.greeter_v1)).await?;
    start_invocation(context, node).await?;
    roll_out(context, node, image(&images.greeter_v2)).await?;
    let step = context.progress.step("version 1 drains");
    settle(node, |versions| versions.is_draining(&images.greeter_v1)).await?;
    step.done("kept for its invocation");
    Ok(())
}

async fn start_restate(context: &Context, node: &Node, image: Image<'_>) -> Result<()> {
    let step = context.progress.step("Restate");
    examples::apply(node, &examples::namespace()?).await?;
    examples::apply(node, &examples::cluster(image)?).await?;
    let timeout = format!("--timeout={}s", PATIENCE.as_secs());
    let ready =
        node.kubectl(["wait", "--for=condition=Ready", &format!("restatecluster/{CLUSTER}"), &timeout]);
    if let Err(error) = ready.run().await {
        let seen = node.kubectl(["get", "restateclusters,pods,pvc,events", "-n", CLUSTER]).text().await;
        return Err(error).context(format!("Restate did not get ready\n{}", seen.unwrap_or_default()));
    }
    step.done("provisioned and ready");
    Ok(())
}

async fn roll_out(context: &Context, node: &Node, image: Image<'_>) -> Result<()> {
    let (_, tag) = crate::images::repository_and_tag(image.name);
    let version = tag.split('-').next().unwrap_or(tag);
    let step = context.progress.step(format!("greeter {version}"));
    examples::apply(node, &examples::greeter(image)?).await?;
    settle(node, |versions| versions.is_current(image.name)).await?;
    step.done("rolled out: new calls go to it");
    Ok(())
}

async fn start_invocation(context: &Context, node: &Node) -> Result<()> {
    let step = context.progress.step("an invocation that takes long");
    let ingress = Ingress::of(node, CLUSTER).await?;
    let greeting = ingress.call("greeter/greet", "\"world\"").await?;
    ingress.call("greeter/slow/send", &LONG_INVOCATION_SECONDS.to_string()).await?;
    step.done(format_args!("greet answered {greeting}; slow takes {LONG_INVOCATION_SECONDS} s"));
    Ok(())
}

/// Waits until the versions are as they should be; the error says how they are.
async fn settle(node: &Node, wanted: impl Fn(&Versions) -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = Versions::of(node, NAMESPACE).await;
        if seen.as_ref().is_ok_and(&wanted) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let versions = seen?.summary();
            let status =
                node.kubectl(["-n", NAMESPACE, "describe", "restatedeployment", "greeter"]).text().await;
            bail!("waited {} s; versions: {versions}\n{}", PATIENCE.as_secs(), status.unwrap_or_default());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn show(context: &Context, node: &Node) -> Result<()> {
    let command = ["-n", NAMESPACE, "get", "restatedeploymentversions", "-o", "wide"];
    let mut table = String::new();
    // A replica that nobody has asked yet does not know yet, and says so.
    for _ in 0..20 {
        table = node.kubectl(command).text().await?;
        if !table.contains("Unknown") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!("\n$ kubectl {}\n{table}", command.join(" "));
    let kubeconfig = node.kubeconfig();
    println!("{}", next_steps(&kubeconfig.display().to_string()));
    context.progress.say(format_args!("up in {:.0} s", context.progress.elapsed().as_secs_f64()));
    Ok(())
}

fn next_steps(kubeconfig: &str) -> String {
    let counts = format!(
        "/apis/control.restate.dev/v1alpha1/namespaces/{NAMESPACE}/restatedeployments/greeter/invocations"
    );
    let tries = [
        (format!("export KUBECONFIG={kubeconfig}"), ""),
        ("kubectl get restatedeploymentversions -A".to_owned(), "the versions and what keeps them"),
        (format!("kubectl -n {NAMESPACE} get rdv -o yaml"), "each in full"),
        (format!("kubectl get --raw {counts}"), ""),
        (format!("kubectl -n {NAMESPACE} edit restatedeployment greeter"), "roll out another version"),
        ("cargo lab test".to_owned(), "all tests, on this lab"),
        ("cargo lab down".to_owned(), "take everything away"),
    ];
    let line = |(command, note): &(String, &str)| {
        if note.is_empty() { format!("  {command}\n") } else { format!("  {command:<52}# {note}\n") }
    };
    let lines: String = tries.iter().map(line).collect();
    format!(
        "Version 1 keeps its pods for as long as its invocation runs ({LONG_INVOCATION_SECONDS} s from its start). Then it \
         is Retired:\nwithout pods, and unknown to Restate, until somebody rolls back.\n\n\
         What to try next:\n\n{lines}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_try_next_begins_with_the_kubeconfig() {
        let text = next_steps("/state/kubeconfig");
        assert!(text.contains("export KUBECONFIG=/state/kubeconfig\n"));
        assert!(text.lines().all(|line| line.len() <= 110), "{text}");
    }
}
