//! Go modules: each program built with the module's lock files and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};

use super::{GoModule, Key, Needed, folder, settle, wanted};
use crate::{Context, Result, process::Invocation, progress::Step};

/// Raised when the way of building changes, so that what was built the old way is not found.
const RECIPE: &str = "1";

/// Builds what a cluster needs and the cache lacks; gives each module's name and place.
pub(super) async fn ensure(context: &Context) -> Result<Vec<(String, PathBuf)>> {
    let node = context.options.kubeconfig.is_none().then_some(context.options.kubernetes);
    ensure_all(context, wanted(node)).await
}

/// Builds those of these modules that the cache lacks; gives each module's name and place.
pub(super) async fn ensure_all(
    context: &Context,
    modules: impl Iterator<Item = &'static GoModule>,
) -> Result<Vec<(String, PathBuf)>> {
    let version = Invocation::new("asking go for its version", "go").args(["version"]).text().await;
    let version = version.context("Go is needed to build the node's programs: install Go 1.26 or newer")?;
    let mut places = Vec::new();
    let mut missing = Vec::new();
    for module in modules {
        let key = Key::of(&folder(module), module.files(), &[version.trim(), RECIPE])?;
        let place = context.cache.tools().join(format!("{}-{key}", module.name));
        if !place.is_dir() {
            missing.push((module, place.clone()));
        }
        places.push((module.name.to_owned(), place));
    }
    build_all(context, &missing).await?;
    Ok(places)
}

async fn build_all(context: &Context, missing: &[(&GoModule, PathBuf)]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let programs = missing.iter().map(|(module, _)| module.programs.len()).sum();
    let step = context.progress.parts("building programs", programs);
    for (module, place) in missing {
        build(context, module, place, &step).await?;
    }
    step.done(format_args!("{programs} programs, kept in {}", context.cache.tools().display()));
    Ok(())
}

async fn build(context: &Context, module: &GoModule, place: &Path, step: &Step) -> Result<()> {
    fs::create_dir_all(context.cache.tools())?;
    let unfinished = tempfile::Builder::new().prefix(".building-").tempdir_in(context.cache.tools())?;
    let log = context.cache.logs().join(format!("build-{}.log", module.name));
    let folder = folder(module);
    let flags = format!("-ldflags={}", linker_flags(module, &fs::read_to_string(folder.join("go.mod"))?)?);
    for program in module.programs {
        step.now(program.name);
        let output = unfinished.path().join("bin").join(program.name);
        let go =
            Invocation::new(format!("building {}", program.name), "go").args(["build", "-buildvcs=false"]);
        let go = go.args([flags.as_str(), "-o"]).args([output.as_os_str()]).args([program.package]);
        go.dir(&folder)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .env("GOFLAGS", "")
            .log(&log)
            .run()
            .await?;
        step.advance();
    }
    settle(&unfinished.keep(), place)
}

/// Kubernetes says `v0.0.0-master` of itself unless its version is stamped on it.
fn linker_flags(module: &GoModule, go_mod: &str) -> Result<String> {
    if !matches!(module.needed, Needed::By(_)) {
        return Ok("-s -w".to_owned());
    }
    let version = required_version(go_mod, "k8s.io/kubernetes");
    let version = version.ok_or_else(|| anyhow!("{}/go.mod requires no k8s.io/kubernetes", module.name))?;
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let stamp = "-X k8s.io/component-base/version";
    Ok(format!("-s -w {stamp}.gitVersion={version} {stamp}.gitMajor={major} {stamp}.gitMinor={minor}"))
}

fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    let words = go_mod.lines().map(|line| line.trim().trim_start_matches("require").trim());
    words
        .filter_map(|line| line.split_once(' '))
        .find(|(path, _)| *path == module)?
        .1
        .split_whitespace()
        .next()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::tools::GO_MODULES;

    #[rstest]
    #[case::block("require (\n\tk8s.io/kubernetes v1.36.3 // indirect\n)")]
    #[case::line("require k8s.io/kubernetes v1.36.3")]
    #[case::after_replace("replace k8s.io/api => k8s.io/api v0.36.3\nrequire k8s.io/kubernetes v1.36.3\n")]
    fn kubernetes_gets_its_version_stamped(#[case] go_mod: &str) {
        let flags = linker_flags(&GO_MODULES[0], go_mod).expect("flags");
        insta::allow_duplicates! {
            insta::assert_snapshot!(flags, @"-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36");
        }
    }

    #[test]
    fn a_module_without_kubernetes_is_refused() {
        assert!(linker_flags(&GO_MODULES[0], "require k8s.io/kubernetes-api v1.0.0").is_err());
    }
}
