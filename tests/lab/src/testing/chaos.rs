//! Rollouts while everything dies in turn, and the proof that the run would find out a controller that does wrong.
//! It kills what all other tests stand on: one test after the other, and after the rest.

use super::{TestArgs, e2e, program, report::Report};
use crate::{Context, Result, claim::Claim, demo, images, node, tools::Tools};

/// Runs it; the lab is ours until the claim is dropped.
pub(super) async fn run(context: &Context, arguments: &TestArgs) -> Result<Report> {
    let _claim = Claim::take(context, "cargo lab test chaos").await?;
    let tools = Tools::ensure(context).await?;
    let node = node::up(context, &tools).await?;
    let images = images::ensure(context, &node).await?;
    let unchecked = images::unchecked_controller(context).await?;
    demo::chart::install(context, &node, &images).await?;
    let test = ["test", "--locked", "-p", "restate-tests", "--test", "chaos", "--no-fail-fast", "--"];
    let mut command = program::cargo(context, &test);
    command.args(["--test-threads", "1", "--nocapture"]).args(arguments.selection());
    e2e::describe(&mut command, &node, &images);
    command.env("LAB_UNCHECKED", unchecked);
    if arguments.all {
        command.env("LAB_ALL", "1");
    }
    let (name, value) = Claim::for_children();
    command.env(name, value);
    program::tests(command).await
}
