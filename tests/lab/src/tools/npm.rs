//! Restate's own programs: static Linux programs inside npm packages, installed by lock file, no script run.

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{
    Key, NPM_MODULE, NPM_OLDER_MODULE,
    catalogue::{NPM_OLDER_PROGRAMS, NPM_PROGRAMS},
    locks, settle,
};
use crate::{Context, Result, process::Invocation};

/// The files that `npm ci` reads.
const FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Installs the packages that the cache lacks; gives the module's name and place.
pub(super) async fn ensure(context: &Context) -> Result<(String, PathBuf)> {
    module(context, NPM_MODULE, &NPM_PROGRAMS).await
}

/// The same of the server to upgrade from; none on a machine for which nobody has published it. Its lock file names
/// the package of the one platform that there is.
pub(super) async fn ensure_older(context: &Context) -> Result<Option<(String, PathBuf)>> {
    if ARCH != "x86_64" {
        return Ok(None);
    }
    module(context, NPM_OLDER_MODULE, &NPM_OLDER_PROGRAMS).await.map(Some)
}

async fn module(context: &Context, name: &str, programs: &[&str]) -> Result<(String, PathBuf)> {
    let folder = locks(name);
    let key = Key::of(&folder, &FILES, &[ARCH])?;
    let place = context.cache.tools().join(format!("{name}-{key}"));
    if !place.is_dir() {
        install(context, &folder, &place, programs).await?;
    }
    Ok((name.to_owned(), place))
}

/// Where a program is in an installed module.
pub(super) fn program(place: &Path, name: &str) -> PathBuf {
    let architecture = if ARCH == "aarch64" { "arm64" } else { "x64" };
    let package = format!("{name}-linux-{architecture}");
    place.join("node_modules/@restatedev").join(package).join("bin").join(name)
}

async fn install(context: &Context, folder: &Path, place: &Path, programs: &[&str]) -> Result<()> {
    let step = context.progress.step("installing Restate");
    fs::create_dir_all(context.cache.tools())?;
    let unfinished = tempfile::Builder::new().prefix(".building-").tempdir_in(context.cache.tools())?;
    for file in FILES {
        fs::copy(folder.join(file), unfinished.path().join(file))?;
    }
    let npm = Invocation::new("installing Restate's programs", "npm").dir(unfinished.path());
    let npm = npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    npm.log(context.cache.logs().join("build-npm.log")).run().await?;
    for name in programs {
        let path = program(unfinished.path(), name);
        fs::metadata(&path).with_context(|| format!("npm installed no {}", path.display()))?;
    }
    settle(&unfinished.keep(), place)?;
    step.done(programs.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::tools::{OLDER_RESTATE, RESTATE};

    fn lock(module: &str) -> String {
        fs::read_to_string(locks(module).join("package-lock.json")).expect("lock file")
    }

    #[rstest]
    #[case(NPM_MODULE)]
    #[case(NPM_OLDER_MODULE)]
    fn the_lock_file_names_no_host(#[case] module: &str) {
        let text = lock(module);
        assert!(!text.contains("://"), "npm writes where it found a package unless .npmrc tells it not to");
    }

    #[rstest]
    #[case(NPM_MODULE, RESTATE)]
    #[case(NPM_OLDER_MODULE, OLDER_RESTATE)]
    fn every_package_is_pinned_by_its_digest(#[case] module: &str, #[case] version: &str) {
        let lock: serde_json::Value = serde_json::from_str(&lock(module)).expect("JSON");
        let packages = lock["packages"].as_object().expect("packages");
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            assert!(package["integrity"].is_string(), "{name}");
        }
        assert_eq!(packages["node_modules/@restatedev/restate-server-linux-x64"]["version"], version);
    }
}
