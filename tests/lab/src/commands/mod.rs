//! One function per command: which stages it runs, under which claim, and what it prints in the end.

use std::{path::Path, process::ExitCode};

use crate::{
    Context, Result,
    args::{Args, Command, UpArgs},
    claim::Claim,
    demo, images,
    node::{self, Component, kwok::Pods},
    testing,
    tools::Tools,
};

/// Runs what was asked for.
pub async fn run(arguments: Args) -> Result<ExitCode> {
    let context = Context::new(arguments.options)?;
    match arguments.command {
        Command::Up(arguments) => up(&context, &arguments).await?,
        Command::Down => down(&context).await?,
        Command::Status => print!("{}", node::status(&context).await?),
        Command::Kubectl { arguments } => return kubectl(&context, &arguments).await,
        Command::Logs { component, lines, follow } => node::logs(&context, component, lines, follow).await?,
        Command::Restart { component } => restart(&context, component).await?,
        Command::Kill { component } => kill(&context, component).await?,
        Command::Load { archive } => load(&context, &archive).await?,
        Command::Nodes { count, address, delay } => {
            nodes(&context, count, Pods { address, delay }).await?;
        }
        Command::Tools => drop(Tools::ensure(&context).await?),
        Command::Image(arguments) => images::export(&context, arguments).await?,
        Command::Test(arguments) => return testing::run(&context, arguments).await,
        Command::Bench(arguments) => return testing::bench(&context, arguments).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(context: &Context, arguments: &UpArgs) -> Result<()> {
    let _claim = Claim::take(context, "cargo lab up").await?;
    let tools = Tools::ensure(context).await?;
    let node = node::up(context, &tools).await?;
    if arguments.no_demo {
        let kubeconfig = node.kubeconfig();
        context.progress.say(format_args!("the node is ready: export KUBECONFIG={}", kubeconfig.display()));
        return Ok(());
    }
    let images = images::ensure(context, &node).await?;
    demo::run(context, &node, &images).await
}

async fn down(context: &Context) -> Result<()> {
    let _claim = Claim::take(context, "cargo lab down").await?;
    node::down(context).await
}

/// kubectl gets the terminal, and its exit code is ours.
async fn kubectl(context: &Context, arguments: &[String]) -> Result<ExitCode> {
    let node = node::attach(context)?;
    let mut kubectl = tokio::process::Command::new(node.tools().path("kubectl"));
    let status = kubectl.args(arguments).envs(node.environment()).status().await?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

async fn restart(context: &Context, component: Component) -> Result<()> {
    node::restart(context, component).await?;
    context.progress.say(format_args!("{component} was started again"));
    Ok(())
}

async fn kill(context: &Context, component: Component) -> Result<()> {
    if !node::kill(context, component).await {
        anyhow::bail!("{component} does not run");
    }
    context.progress.say(format_args!("{component} was killed; `cargo lab up` starts it again"));
    Ok(())
}

async fn nodes(context: &Context, count: usize, pods: Pods) -> Result<()> {
    let node = node::attach(context)?;
    node::kwok::stop(context, &node).await?;
    if count > 0 {
        node::kwok::start(context, &node, count, pods).await?;
    }
    context.progress.say(format_args!("{count} nodes in name only, with the label {}", node::kwok::SELECTOR));
    Ok(())
}

async fn load(context: &Context, archive: &Path) -> Result<()> {
    node::attach(context)?.import_image(archive).await
}
