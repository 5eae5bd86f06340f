//! Tests on a real cluster: the node, the images and the chart first, then `restate-tests` with all that it needs
//! to know in its environment.

use tokio::process::Command;

use super::{TestArgs, program, tally::Tally};
use crate::{
    Context, Result,
    claim::Claim,
    demo,
    images::{self, Images},
    node::{self, Node},
    tools::Tools,
};

/// Runs them; the lab is ours until the claim is dropped.
pub(super) async fn run(context: &Context, arguments: &TestArgs) -> Result<Tally> {
    let _claim = Claim::take(context, "cargo lab test").await?;
    let tools = Tools::ensure(context).await?;
    let node = node::up(context, &tools).await?;
    let images = images::ensure(context, &node).await?;
    let typescript = images::ensure_typescript(context, &node).await?;
    demo::chart::install(context, &node, &images).await?;
    let mut command = program::cargo(context, &["test", "--locked", "-p", "restate-tests", "--no-fail-fast"]);
    arguments.select(&mut command);
    describe(&mut command, &node, &images);
    command.env("LAB_IMAGE_TYPESCRIPT", typescript);
    if arguments.all {
        command.env("LAB_ALL", "1");
    }
    let (name, value) = Claim::for_children();
    command.env(name, value);
    program::tests(command).await.map(|tally| complete(tally, arguments))
}

/// The same tests on the oldest Kubernetes that is supported, by a run of our own program.
pub(super) async fn run_on_the_oldest(context: &Context, arguments: &TestArgs) -> Result<Tally> {
    let _claim = Claim::take(context, "cargo lab test --all").await?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--kubernetes", "1.34", "test", "e2e"]);
    if let Some(filter) = &arguments.filter {
        command.args(["--filter", filter]);
    }
    let (name, value) = Claim::for_children();
    command.env(name, value);
    program::suite(command).await
}

/// What the tests need to know about the cluster. `restate_tests::Lab` reads it.
pub(super) fn describe(command: &mut Command, node: &Node, images: &Images) {
    let Images { controller, apiserver, greeter_v1, greeter_v2, restate } = images;
    let tool = |name: &str| node.tools().path(name);
    command
        .env("LAB_KUBECONFIG", node.kubeconfig())
        .env("LAB_IS_OURS", if node.is_ours() { "1" } else { "0" })
        .env("LAB_KUBECTL", tool("kubectl"))
        .env("LAB_HELM", tool("helm"))
        .env("LAB_CTR", tool("ctr"))
        .env("LAB_GRPCURL", tool("grpcurl"))
        .env("LAB_RESTATECTL", node.tools().node_package("restatectl"))
        .env("LAB_IMAGE_CONTROLLER", controller)
        .env("LAB_IMAGE_APISERVER", apiserver)
        .env("LAB_IMAGE_GREETER_V1", greeter_v1)
        .env("LAB_IMAGE_GREETER_V2", greeter_v2)
        .env("LAB_IMAGE_RESTATE", restate)
        .env("LAB_IMAGE_BUSYBOX", node::BUSYBOX);
    if let Some(socket) = node.containerd() {
        command.env("LAB_CONTAINERD", socket);
    }
}

/// Without a filter there is something to run.
fn complete(tally: Tally, arguments: &TestArgs) -> Tally {
    if arguments.filter.is_none() { tally.not_empty() } else { tally }
}
