//! What each image is made of.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{
    Layer,
    archive::ImageConfig,
    base,
    programs::{Profile, Program},
    typescript,
};
use crate::{
    Context, Result,
    tools::{OLDER_RESTATE, RESTATE, Tools},
};

/// An image before it is built: everything that decides what it will be.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    /// The last part of the repository's name.
    pub(super) name: &'static str,
    /// Goes before the digest in the tag, so that people can tell versions of a service apart.
    pub(super) tag: Option<&'static str>,
    /// How a container starts.
    pub(super) config: ImageConfig,
    /// Its files, the ones that change least first.
    pub(super) layers: Vec<Layer>,
}

/// The product: what `cargo lab image` writes.
pub(super) async fn product(context: &Context, profile: Profile) -> Result<Vec<Recipe>> {
    let programs = [("controller", Program::Controller), ("apiserver", Program::Apiserver)];
    let paths = programs.map(|(_, program)| program.path(context, profile));
    let base = base::layer(&paths.each_ref().map(AsRef::as_ref)).await?;
    Ok(programs
        .map(|(name, program)| of_program(name, program, &base, program.path(context, profile)))
        .into())
}

/// Two versions of the demo's service. They differ in what they say, and so in their digest.
pub(super) async fn greeter(context: &Context) -> Result<Vec<Recipe>> {
    let path = Program::Greeter.path(context, Profile::Lab);
    let base = base::layer(&[&path]).await?;
    let version = |tag: &'static str, variable: &str| {
        let mut recipe = of_program("greeter", Program::Greeter, &base, path.clone());
        recipe.config.environment = vec![variable.to_owned()];
        Recipe { tag: Some(tag), ..recipe }
    };
    Ok(vec![version("v1", "VERSION=v1"), version("v2", "VERSION=v2")])
}

/// Restate itself, with its control program beside it.
pub(super) async fn restate(tools: &Tools) -> Result<Recipe> {
    let server = tools.node_package("restate-server");
    of_restate("restate", RESTATE, &server, tools).await
}

/// The same of an older minor version, to upgrade from.
pub(super) async fn older_restate(server: &Path, tools: &Tools) -> Result<Recipe> {
    of_restate("older-restate", OLDER_RESTATE, server, tools).await
}

/// The tag begins with the version: by that the controller knows where an upgrade leads.
async fn of_restate(
    name: &'static str,
    version: &'static str,
    server: &Path,
    tools: &Tools,
) -> Result<Recipe> {
    let control = tools.node_package("restatectl");
    let base = base::layer(&[server, &control]).await?;
    let layer = Layer::new().program(in_bin("restate-server"), server).program(in_bin("restatectl"), control);
    let config = base::config("/usr/local/bin/restate-server", &["PATH=/usr/local/bin"]);
    Ok(Recipe { name, tag: Some(version), config, layers: vec![base, layer] })
}

/// The TypeScript service: one bundled file and the interpreter that runs it.
pub(super) async fn typescript(context: &Context) -> Result<Recipe> {
    let bundle = typescript::bundle(context).await?;
    let node = typescript::interpreter().await?;
    let interpreter = base::layer(&[&node]).await?.program(in_bin("node"), &node);
    let mut config = base::config("/usr/local/bin/node", &["NODE_ENV=production"]);
    config.entrypoint.push("/service.mjs".to_owned());
    let layers = vec![interpreter, Layer::new().copy("/service.mjs", bundle)];
    Ok(Recipe { name: "typescript-service", tag: None, config, layers })
}

fn of_program(name: &'static str, program: Program, base: &Layer, path: PathBuf) -> Recipe {
    let place = in_bin(program.name());
    let layer = Layer::new().program(&place, path);
    Recipe { name, tag: None, config: base::config(&place, &[]), layers: vec![base.clone(), layer] }
}

fn in_bin(name: impl AsRef<OsStr>) -> String {
    Path::new("/usr/local/bin").join(name.as_ref()).display().to_string()
}
