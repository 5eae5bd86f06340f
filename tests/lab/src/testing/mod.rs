//! `cargo lab test` and `cargo lab bench`: which suites run, in which order, with which budget.
//!
//! What is quick and what fails most often comes first. A layer that fails does not stop the next one: one run shows
//! everything.

mod borders;
mod browser;
mod chaos;
mod charts;
mod clones;
mod dependencies;
mod e2e;
mod program;
mod report;
mod tally;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use self::{report::Report, tally::Tally};
use crate::{Context, Result, args::Kubernetes, claim::Claim, demo, images, node, tools::Tools};
use clap::ValueEnum;
use strum::IntoEnumIterator;

/// Options of `cargo lab test`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TestArgs {
    /// Only these layers; those of the default tier if not given
    pub layers: Vec<Layer>,
    /// Also what takes long: soak, matrices, several Kubernetes minors
    #[arg(long)]
    pub all: bool,
    /// Write what the charts render anew, in place of comparing it
    #[arg(long)]
    pub update: bool,
    /// Only tests whose name contains this
    #[arg(long, value_name = "NAME")]
    pub filter: Option<String>,
}

/// Options of `cargo lab bench`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BenchArgs {
    /// Everything goes to the benchmark as it is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}

/// A kind of tests, in the order in which they run.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, ValueEnum, strum::Display, strum::EnumIter, strum::IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Layer {
    /// Is the code formatted?
    Format,
    /// Do the crates keep to their borders?
    Borders,
    /// Are licences and packages allowed?
    Dependencies,
    /// Does clippy agree?
    Lint,
    /// Are generated files what the types say?
    Drift,
    /// Unit and property tests of all crates
    Unit,
    /// Does Helm find fault with the charts, and do they render what was reviewed?
    Charts,
    /// Do the docs build? (with --all)
    Docs,
    /// Tests on a real cluster
    E2e,
    /// Of these, what is done to clusters of several nodes, by name alone; most of it with --all
    Cluster,
    /// Rollouts while everything dies in turn
    Chaos,
    /// The tests on a real cluster again, on the oldest Kubernetes (with --all)
    Oldest,
}

impl Layer {
    /// What CONTRIBUTING promises, on two cores with dependencies built.
    fn budget(self) -> Duration {
        Duration::from_mins(match self {
            Self::Format | Self::Borders | Self::Dependencies | Self::Drift | Self::Charts => 2,
            Self::Lint | Self::Docs | Self::Unit => 5,
            Self::Chaos => 10,
            Self::E2e | Self::Oldest => 20,
            Self::Cluster => 60,
        })
    }

    fn is_default(self) -> bool {
        !matches!(self, Self::Docs | Self::Oldest | Self::Cluster)
    }

    /// Does a name select among its tests?
    fn has_tests(self) -> bool {
        matches!(self, Self::Unit | Self::E2e | Self::Oldest)
    }
}

impl TestArgs {
    /// The layers of this run.
    fn chosen(&self, kubernetes: Kubernetes, ours: bool) -> Vec<Layer> {
        if !self.layers.is_empty() {
            return Layer::iter().filter(|layer| self.layers.contains(layer)).collect();
        }
        let another = ours && kubernetes != Kubernetes::V1_34;
        let chosen = |layer: &Layer| match layer {
            Layer::Oldest => self.all && another,
            Layer::Chaos => ours,
            // Part of the layer before it.
            Layer::Cluster => false,
            layer => self.all || layer.is_default(),
        };
        Layer::iter().filter(chosen).filter(|layer| self.filter.is_none() || layer.has_tests()).collect()
    }

    /// The arguments for test programs themselves.
    fn selection(&self) -> impl Iterator<Item = String> {
        let all = self.all.then(|| "--include-ignored".to_owned());
        self.filter.clone().into_iter().chain(all)
    }
}

/// How one layer went.
struct Ended {
    layer: Layer,
    report: Report,
    time: Duration,
    /// Why it came to no tests.
    error: Option<String>,
}

/// `cargo lab test`.
pub async fn run(context: &Context, arguments: TestArgs) -> Result<ExitCode> {
    let ours = context.options.kubeconfig.is_none();
    clones::settle(context).await?;
    let mut ended = Vec::new();
    for layer in arguments.chosen(context.options.kubernetes, ours) {
        context.progress.say(format_args!("── {layer}"));
        let since = Instant::now();
        let (report, error) = match run_layer(context, layer, &arguments).await {
            Ok(report) => (report, None),
            Err(error) => (Report::of_check(false), Some(format!("error: {layer}: {error:#}"))),
        };
        if let Some(error) = &error {
            eprintln!("\n{error}");
        }
        ended.push(Ended { layer, report, time: since.elapsed(), error });
    }
    // Again: of a long run its end is what people have in front of them.
    for layer in &ended {
        layer.error.iter().for_each(|error| println!("\n{error}"));
        layer.report.failures.iter().for_each(|failure| println!("\n{failure}"));
    }
    println!("\n{}", summary(&ended));
    let mut total = Tally::default();
    for layer in &ended {
        total += layer.report.tally;
    }
    println!("{total}");
    Ok(if total.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `cargo lab bench`: never part of a test run. It measures the product as it is given away.
pub async fn bench(context: &Context, arguments: BenchArgs) -> Result<ExitCode> {
    let _claim = Claim::take(context, "cargo lab bench").await?;
    let tools = Tools::ensure(context).await?;
    let clients = Tools::of_tests(context, false).await?;
    let node = node::up(context, &tools).await?;
    let images = images::ensure_release(context, &node).await?;
    demo::chart::install(context, &node, &images).await?;
    // The profile of the images: what they are built from is there already.
    let bench = ["bench", "--locked", "--profile", "lab", "-p", "restate-tests", "--bench", "bench", "--"];
    let mut command = program::cargo(context, &bench);
    e2e::describe(&mut command, &node, &images);
    e2e::describe_clients(&mut command, &clients, tools.path("etcd"), false);
    let (name, value) = Claim::for_children();
    let status = command.args(arguments.arguments).env(name, value).status().await?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_layer(context: &Context, layer: Layer, arguments: &TestArgs) -> Result<Report> {
    let cargo = |arguments: &[&str]| program::cargo(context, arguments);
    match layer {
        Layer::Format => program::check(cargo(&["fmt", "--all", "--check"])).await,
        Layer::Borders => Ok(listed(&borders::check(context).await?)),
        Layer::Dependencies => Ok(listed(&dependencies::check()?)),
        Layer::Lint => {
            let clippy =
                ["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"];
            program::check(cargo(&clippy)).await
        }
        Layer::Drift => drift(context).await,
        Layer::Unit => {
            let tests = ["test", "--workspace", "--exclude", "restate-tests", "--locked", "--no-fail-fast"];
            let mut command = cargo(&tests);
            // Without it the client's tests on a real server would do nothing.
            let restate = Tools::of_restate(context).await?;
            command.env("RESTATE_TEST_SERVER", restate.node_package("restate-server"));
            command.arg("--").args(arguments.selection());
            program::tests(command).await
        }
        Layer::Charts => charts::run(context, arguments.update).await,
        Layer::Docs => {
            let mut command = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
            command.env("RUSTDOCFLAGS", "-D warnings");
            program::check(command).await
        }
        Layer::E2e => e2e::run(context, arguments).await,
        Layer::Cluster => {
            let filter = arguments.filter.clone().or_else(|| Some("cluster".to_owned()));
            e2e::run(context, &TestArgs { filter, ..arguments.clone() }).await
        }
        Layer::Chaos => chaos::run(context, arguments).await,
        Layer::Oldest => e2e::run_on_the_oldest(context, arguments).await,
    }
}

/// Each finding is printed; one or many, the check has failed.
fn listed(findings: &[String]) -> Report {
    for finding in findings {
        println!("  {finding}");
    }
    Report::of_check(findings.is_empty())
}

async fn drift(context: &Context) -> Result<Report> {
    let mut report = Report::default();
    for package in ["restate-crd", "restate-apiservice"] {
        let generate = ["run", "--quiet", "--locked", "-p", package, "--bin", "generate", "--", "--check"];
        report += program::check(program::cargo(context, &generate)).await?;
    }
    Ok(report)
}

fn summary(ended: &[Ended]) -> String {
    let header = format!("{:<14}{:>8}{:>8}{:>8}{:>9}", "LAYER", "PASSED", "FAILED", "SKIPPED", "TIME");
    std::iter::once(header).chain(ended.iter().map(Ended::row)).collect::<Vec<_>>().join("\n")
}

impl Ended {
    fn row(&self) -> String {
        let Self { layer, report, time, error: _ } = self;
        let Tally { passed, failed, skipped } = report.tally;
        let minutes = layer.budget().as_secs() / 60;
        let late = if *time > layer.budget() { format!("  over {minutes} min") } else { String::new() };
        let (name, seconds) = (<&str>::from(layer), time.as_secs());
        format!("{name:<14}{passed:>8}{failed:>8}{skipped:>8}{seconds:>7} s{late}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &TestArgs) -> Vec<&'static str> {
        arguments.chosen(Kubernetes::V1_36, true).into_iter().map(Into::into).collect()
    }

    #[test]
    fn the_default_tier_is_what_ci_runs() {
        let default =
            ["format", "borders", "dependencies", "lint", "drift", "unit", "charts", "e2e", "chaos"];
        assert_eq!(names(&TestArgs::default()), default);
    }

    #[test]
    fn all_adds_the_oldest_kubernetes_where_the_lab_can_run_it() {
        let all = TestArgs { all: true, ..TestArgs::default() };
        assert_eq!(
            names(&all).len(),
            Layer::iter().count() - 1,
            "clusters are among the tests of the layer before"
        );
        assert!(!all.chosen(Kubernetes::V1_34, true).contains(&Layer::Oldest));
        assert!(!all.chosen(Kubernetes::V1_36, false).contains(&Layer::Oldest));
    }

    #[test]
    fn a_filter_leaves_the_layers_that_have_tests() {
        let filtered = TestArgs { filter: Some("demo".to_owned()), ..TestArgs::default() };
        assert_eq!(names(&filtered), ["unit", "e2e"]);
    }

    #[test]
    fn layers_can_be_named_and_keep_their_order() {
        let named = TestArgs { layers: vec![Layer::Unit, Layer::Format], ..TestArgs::default() };
        assert_eq!(names(&named), ["format", "unit"]);
    }

    #[test]
    fn a_layer_over_its_budget_is_marked() {
        let ended = |layer, seconds| Ended {
            layer,
            report: Report::of_check(true),
            time: Duration::from_secs(seconds),
            error: None,
        };
        insta::assert_snapshot!(summary(&[ended(Layer::Format, 3), ended(Layer::Unit, 301)]), @r"
        LAYER           PASSED  FAILED SKIPPED     TIME
        format               1       0       0      3 s
        unit                 1       0       0    301 s  over 5 min
        ");
    }
}
