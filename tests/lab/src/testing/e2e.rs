//! Tests on a real cluster: the node, the images and the chart first, then `restate-tests` with all that it needs
//! to know in its environment.

use std::path::PathBuf;

use tokio::process::Command;

use super::{TestArgs, browser, program, report::Report};
use crate::{
    Context, Result,
    claim::Claim,
    demo,
    images::{self, Images},
    node::{self, Node},
    tools::Tools,
};

/// Tests whose module begins so change what all others stand on: they run one by one, after the rest.
const ALONE: &str = "alone_";

/// All that the tests stand on.
struct Stand<'a> {
    context: &'a Context,
    arguments: &'a TestArgs,
    tools: Tools,
    clients: Tools,
    node: Node,
    images: Images,
    typescript: String,
    older_restate: Option<String>,
}

/// Runs them; the lab is ours until the claim is dropped.
pub(super) async fn run(context: &Context, arguments: &TestArgs) -> Result<Report> {
    let _claim = Claim::take(context, "cargo lab test").await?;
    let stand = Stand::make(context, arguments).await?;
    let mut report = Report::default();
    for selection in selections(arguments, stand.node.is_ours()) {
        let first = stand.test(&selection).await?;
        if !first.tally.is_good() {
            show_operator(&stand.node).await;
        }
        report += stand.try_again(first).await?;
    }
    // Without a filter there is something to run.
    Ok(if arguments.filter.is_none() { report.not_empty() } else { report })
}

impl<'a> Stand<'a> {
    async fn make(context: &'a Context, arguments: &'a TestArgs) -> Result<Self> {
        let tools = Tools::ensure(context).await?;
        let clients = Tools::of_tests(context, arguments.all).await?;
        let node = node::up(context, &tools).await?;
        let images = images::ensure(context, &node).await?;
        let typescript = images::ensure_typescript(context, &node).await?;
        let older_restate = images::ensure_older_restate(context, &node, &clients).await?;
        demo::chart::install(context, &node, &images).await?;
        Ok(Self { context, arguments, tools, clients, node, images, typescript, older_restate })
    }

    /// The test program, once.
    async fn test(&self, selection: &[String]) -> Result<Report> {
        let test =
            ["test", "--locked", "-p", "restate-tests", "--lib", "--test", "e2e", "--no-fail-fast", "--"];
        let mut command = program::cargo(self.context, &test);
        command.args(selection);
        describe(&mut command, &self.node, &self.images);
        command.env("LAB_IMAGE_TYPESCRIPT", &self.typescript);
        command.envs(self.older_restate.iter().map(|image| ("LAB_IMAGE_OLDER_RESTATE", image)));
        let all = self.arguments.all;
        describe_clients(&mut command, &self.clients, self.tools.path("etcd"), all);
        browser::describe(self.context, self.arguments, &mut command).await?;
        if all {
            command.env("LAB_ALL", "1");
        }
        let (name, value) = Claim::for_children();
        command.env(name, value);
        program::tests(command).await
    }

    /// Once more what was late, by itself. It is named at the end, with what it waited for.
    async fn try_again(&self, first: Report) -> Result<Report> {
        let names = first.second_tries();
        if names.is_empty() {
            return Ok(first);
        }
        self.context.progress.say(format_args!("once more, by itself: {}", names.join(", ")));
        let options = ["--test-threads", "1", "--include-ignored", "--exact"].map(str::to_owned);
        let selection: Vec<_> = options.into_iter().chain(names).collect();
        Ok(first.after_second_tries(&self.test(&selection).await?))
    }
}

/// What the operator did meanwhile: most failures on a cluster are explained there.
async fn show_operator(node: &Node) {
    let looks: [&[&str]; 4] = [
        &["get", "pods", "-o", "wide"],
        &["get", "events", "--field-selector=type=Warning", "--sort-by=.lastTimestamp"],
        &["logs", "deployment/restate-operator", "--tail=80"],
        &["logs", "deployment/restate-operator", "--tail=80", "--previous"],
    ];
    for look in looks {
        let seen = node.kubectl(["-n", demo::chart::NAME].iter().chain(look)).text().await;
        println!("\n$ kubectl {}\n{}", look.join(" "), seen.unwrap_or_else(|error| format!("{error:#}")));
    }
}

/// The arguments of each run of the test program.
fn selections(arguments: &TestArgs, ours: bool) -> Vec<Vec<String>> {
    let together = ["--skip", ALONE].map(str::to_owned).into_iter().chain(arguments.selection());
    let one_by_one = ["--test-threads", "1"].map(str::to_owned).into_iter();
    let filter = arguments.filter.as_deref().unwrap_or_default();
    if filter.contains(ALONE) {
        return vec![one_by_one.chain(arguments.selection()).collect()];
    }
    // They take away definitions, and all that people have made of them: never on a cluster that is not ours.
    if !ours {
        return vec![together.collect()];
    }
    let alone = TestArgs { filter: Some(format!("{ALONE}{filter}")), ..arguments.clone() };
    vec![together.collect(), one_by_one.chain(alone.selection()).collect()]
}

/// The same tests on the oldest Kubernetes that is supported, by a run of our own program.
pub(super) async fn run_on_the_oldest(context: &Context, arguments: &TestArgs) -> Result<Report> {
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
        .envs(std::env::current_exe().ok().map(|program| ("LAB_PROGRAM", program)))
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

/// Servers that the tests compare with, and clients that they serve.
pub(super) fn describe_clients(command: &mut Command, clients: &Tools, etcd: PathBuf, all: bool) {
    command
        .env("LAB_ETCD", etcd)
        .env("LAB_SAMPLE_APISERVER", clients.path("sample-apiserver"))
        .env("LAB_INFORMERS", clients.path("informers"))
        .envs(clients.python().map(|python| ("LAB_PYTHON", python)));
    if all {
        command.env("LAB_KUBECTL_1_35", clients.path("kubectl-1.35"));
        command.env("LAB_KUBECTL_1_34", clients.path("kubectl-1.34"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(filter: Option<&str>, ours: bool) -> Vec<String> {
        let arguments = TestArgs { filter: filter.map(str::to_owned), ..TestArgs::default() };
        selections(&arguments, ours).into_iter().map(|arguments| arguments.join(" ")).collect()
    }

    #[test]
    fn what_bears_no_company_runs_last_and_one_by_one() {
        assert_eq!(selected(None, true), ["--skip alone_", "--test-threads 1 alone_"]);
        assert_eq!(selected(Some("fault"), true), ["--skip alone_ fault", "--test-threads 1 alone_fault"]);
        assert_eq!(selected(Some("alone_release"), true), ["--test-threads 1 alone_release"]);
    }

    /// The test program selects by any part of a name: one that has the word by chance would run after everything
    /// that others stand on was taken away.
    #[test]
    fn only_modules_say_that_their_tests_run_alone() {
        let tests = crate::images::workspace().join("tests/e2e");
        let names = walkable(&tests).into_iter().flat_map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            let names = text.lines().filter_map(|line| line.split_once("fn ")?.1.split_once('('));
            names.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        });
        assert_eq!(names.filter(|name| name.contains(ALONE)).collect::<Vec<_>>(), [""; 0]);
    }

    fn walkable(folder: &std::path::Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { walkable(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn nothing_is_taken_away_from_a_cluster_that_is_not_ours() {
        assert_eq!(selected(None, false), ["--skip alone_"]);
        assert_eq!(selected(Some("cluster"), false), ["--skip alone_ cluster"]);
    }
}
