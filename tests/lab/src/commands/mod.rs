//! One function per command.

use std::process::ExitCode;

use crate::{
    Context, Result,
    args::{Args, Command, UpArgs},
    demo, images, node, testing,
    tools::Tools,
};

/// Runs what was asked for.
pub async fn run(arguments: Args) -> Result<ExitCode> {
    let context = Context::new(arguments.options)?;
    match arguments.command {
        Command::Up(arguments) => up(&context, &arguments).await?,
        Command::Down => node::down(&context).await?,
        Command::Image(arguments) => images::export(&context, arguments).await?,
        Command::Test(arguments) => return testing::run(&context, arguments).await,
        Command::Bench(arguments) => return testing::bench(&context, arguments).await,
        Command::Tools => drop(Tools::ensure(&context).await?),
        Command::Status
        | Command::Kubectl { .. }
        | Command::Logs { .. }
        | Command::Restart { .. }
        | Command::Kill { .. }
        | Command::Load { .. } => anyhow::bail!("this command does not exist yet"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(context: &Context, arguments: &UpArgs) -> Result<()> {
    let tools = Tools::ensure(context).await?;
    let node = node::up(context, &tools).await?;
    if arguments.no_demo {
        return Ok(());
    }
    let images = images::ensure(context, &node).await?;
    demo::run(context, &node, &images).await
}
