//! The Python client: a virtual environment with the packages of a lock file, each pinned by its digest.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Key, here, settle};
use crate::{Context, Result, process::Invocation};

/// The name of its place in the cache, and of its folder among the tests' clients.
pub(super) const MODULE: &str = "python";

const LOCK: &str = "requirements.txt";

/// Installs the packages if the cache lacks them; gives the module's name and place.
pub(super) async fn ensure(context: &Context) -> Result<(String, PathBuf)> {
    let folder = here().join("../clients").join(MODULE);
    let version =
        Invocation::new("asking python3 for its version", "python3").args(["--version"]).text().await?;
    let key = Key::of(&folder, &[LOCK], &[version.trim()])?;
    let place = context.cache.tools().join(format!("{MODULE}-{key}"));
    if !place.is_dir() {
        install(context, &folder.join(LOCK), &place).await?;
    }
    Ok((MODULE.to_owned(), place))
}

/// The interpreter of an installed environment. It is a link into the environment of the machine, so the whole may
/// have been moved.
pub(super) fn program(place: &Path) -> PathBuf {
    place.join("bin/python3")
}

async fn install(context: &Context, lock: &Path, place: &Path) -> Result<()> {
    let step = context.progress.step("installing the Python client");
    fs::create_dir_all(context.cache.tools())?;
    let unfinished = tempfile::Builder::new().prefix(".building-").tempdir_in(context.cache.tools())?;
    let log = context.cache.logs().join("build-python.log");
    let make = Invocation::new("making a virtual environment", "python3").args(["-m", "venv"]);
    make.args([unfinished.path().as_os_str()]).log(&log).run().await?;
    let pip = ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r"];
    let install = Invocation::new("installing the Python client", program(unfinished.path())).args(pip);
    install.args([lock.as_os_str()]).log(&log).run().await?;
    settle(&unfinished.keep(), place)?;
    step.done("kubernetes");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_by_its_digest_and_names_no_host() {
        let text = fs::read_to_string(here().join("../clients").join(MODULE).join(LOCK)).expect("lock file");
        assert!(!text.contains("://"), "a registry is the business of whoever installs");
        let packages = text.lines().filter(|line| line.contains("=="));
        assert!(packages.clone().count() > 3);
        for package in packages {
            assert!(package.ends_with('\\'), "{package}: its digests follow");
        }
    }
}
