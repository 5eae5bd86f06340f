//! Programs: built once from pinned modules into the cache, found by name.
//!
//! A module is a folder of `tests/lab/tools` with its lock files. Its key is a digest of all that decides what the
//! programs are; a fresh clone with the same lock files finds what an earlier one has built. Nothing here starts a
//! program of the lab.

mod catalogue;
pub mod debian;
mod go;
mod key;
mod npm;
mod python;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
pub use catalogue::{
    GO_MODULES, GoModule, NPM_MODULE, NPM_OLDER_MODULE, Needed, OLDER_RESTATE, Program, RESTATE,
};
pub use key::Key;
use serde::{Deserialize, Serialize};

use crate::{Context, Result, args::Kubernetes};

/// Where each program is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::unsafe_derive_deserialize, reason = "what is unsafe is inside tokio's try_join")]
pub struct Tools {
    modules: BTreeMap<String, PathBuf>,
}

impl Tools {
    /// Builds what the cache does not have.
    pub async fn ensure(context: &Context) -> Result<Self> {
        let (go, npm) = tokio::try_join!(go::ensure(context), npm::ensure(context))?;
        Ok(Self { modules: go.into_iter().chain([npm]).collect() })
    }

    /// Restate's own programs alone.
    pub async fn of_restate(context: &Context) -> Result<Self> {
        Ok(Self { modules: [npm::ensure(context).await?].into() })
    }

    /// Builds what only the tests need: servers to compare with and clients, for the long run also what takes long.
    pub async fn of_tests(context: &Context, all: bool) -> Result<Self> {
        let modules = go::ensure_all(context, of_tests(all)).await?;
        let (python, older) = if all {
            (Some(python::ensure(context).await?), npm::ensure_older(context).await?)
        } else {
            (None, None)
        };
        Ok(Self { modules: modules.into_iter().chain(python).chain(older).collect() })
    }

    /// The Python with the libraries of the tests; none in the short run.
    pub fn python(&self) -> Option<PathBuf> {
        self.modules.get(python::MODULE).map(|place| python::program(place))
    }

    /// Tools at given places, by module.
    pub fn at(modules: BTreeMap<String, PathBuf>) -> Self {
        Self { modules }
    }

    /// No tools of the lab's own: every program is looked for in `PATH`.
    pub fn of_the_system() -> Self {
        Self { modules: BTreeMap::new() }
    }

    /// The path of a program, for example `helm`; one that the lab does not build is looked for in `PATH`.
    pub fn path(&self, program: &str) -> PathBuf {
        let module = self.modules.iter().find(|(module, _)| catalogue::has(module, program));
        module.map_or_else(|| PathBuf::from(program), |(_, place)| place.join("bin").join(program))
    }

    /// The path of one of Restate's programs: `restate-server`, `restatectl`, `restate`.
    pub fn node_package(&self, program: &str) -> PathBuf {
        self.modules
            .get(NPM_MODULE)
            .map_or_else(|| PathBuf::from(program), |place| npm::program(place, program))
    }

    /// Restate's server of an older minor version; none in the short run, and where nobody has published one.
    pub fn older_restate(&self) -> Option<PathBuf> {
        self.modules.get(NPM_OLDER_MODULE).map(|place| npm::program(place, "restate-server"))
    }

    /// Are all programs where they should be? A cache may have been cleared.
    pub fn are_there(&self) -> bool {
        self.modules.values().all(|place| place.is_dir())
    }
}

/// The Go modules that a node with this Kubernetes needs; none: that an existing cluster needs.
fn wanted(node: Option<Kubernetes>) -> impl Iterator<Item = &'static GoModule> {
    GO_MODULES.iter().filter(move |module| match module.needed {
        Needed::Always => true,
        Needed::ByNode => node.is_some(),
        Needed::By(minor) => node == Some(minor),
        Needed::ByTests | Needed::ByLongTests => false,
    })
}

/// The Go modules that only the tests need.
fn of_tests(all: bool) -> impl Iterator<Item = &'static GoModule> {
    GO_MODULES.iter().filter(move |module| match module.needed {
        Needed::ByTests => true,
        Needed::ByLongTests => all,
        Needed::Always | Needed::ByNode | Needed::By(_) => false,
    })
}

/// The folder of a Go module's lock files.
fn folder(module: &GoModule) -> PathBuf {
    if module.is_own() { here().join("../clients").join(module.name) } else { locks(module.name) }
}

/// The folder with the lock files of a module.
fn locks(module: &str) -> PathBuf {
    here().join("tools").join(module)
}

/// The folder of this crate.
fn here() -> PathBuf {
    // Set by cargo for `cargo lab`; the path of the build is right for a program that is started by hand.
    env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Moves what was built to its place at once, so that no half-built module is ever found there.
fn settle(built: &Path, place: &Path) -> Result<()> {
    if place.is_dir() {
        return Ok(());
    }
    fs::rename(built, place)
        .with_context(|| format!("failed to move {} to {}", built.display(), place.display()))
}
