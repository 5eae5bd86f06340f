//! Where the lab keeps its files. One place names each path; nothing else joins strings to a directory.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::Result;

/// The folder's name in the user's directories.
const NAME: &str = "restate-lab";

/// What can be made again: built tools, image archives, locks.
#[derive(Clone, Debug)]
pub struct CacheDir(PathBuf);

impl CacheDir {
    /// `$XDG_CACHE_HOME/restate-lab`, or `~/.cache/restate-lab`; made if absent.
    pub fn of_the_user() -> Result<Self> {
        let path = user_dir("XDG_CACHE_HOME", ".cache")?;
        fs::create_dir_all(&path).with_context(|| format!("failed to make {}", path.display()))?;
        Ok(Self(path))
    }

    /// A cache at a given place.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Built programs, one folder per module and key.
    pub fn tools(&self) -> PathBuf {
        self.0.join("tools")
    }

    /// Image archives, named by the digest of what they were built from.
    pub fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// Who uses the lab right now.
    pub fn claim(&self) -> PathBuf {
        self.0.join("claim")
    }

    /// Logs of builds.
    pub fn logs(&self) -> PathBuf {
        self.0.join("log")
    }
}

/// The running lab. It does not exist while no lab does.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// `$XDG_STATE_HOME/restate-lab`, or `~/.local/state/restate-lab`; not made here.
    pub fn of_the_user() -> Result<Self> {
        user_dir("XDG_STATE_HOME", ".local/state").map(Self)
    }

    /// A state directory at a given place.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is needed to find, judge and mend this lab.
    pub fn record(&self) -> PathBuf {
        self.0.join("lab.json")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    /// Keys and certificates.
    pub fn pki(&self) -> PathBuf {
        self.0.join("pki")
    }

    /// Configuration files and kubeconfigs of the components.
    pub fn config(&self) -> PathBuf {
        self.0.join("config")
    }

    /// One log per component.
    pub fn logs(&self) -> PathBuf {
        self.0.join("log")
    }

    /// One file per component that was started: which process it is.
    pub fn processes(&self) -> PathBuf {
        self.0.join("process")
    }

    /// A component's own data.
    pub fn data(&self, component: &str) -> PathBuf {
        self.0.join("data").join(component)
    }
}

fn user_dir(variable: &str, under_home: &str) -> Result<PathBuf> {
    if let Some(base) = env::var_os(variable).filter(|value| Path::new(value).is_absolute()) {
        return Ok(PathBuf::from(base).join(NAME));
    }
    let home = env::home_dir().context("the user has no home directory")?;
    Ok(home.join(under_home).join(NAME))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_things_share_a_place() {
        let (cache, state) = (CacheDir::at("/cache".into()), StateDir::at("/state".into()));
        let of_cache = [cache.tools(), cache.images(), cache.logs(), cache.claim()];
        let of_state = [
            state.record(),
            state.kubeconfig(),
            state.pki(),
            state.config(),
            state.logs(),
            state.processes(),
        ];
        let all: Vec<_> =
            of_cache.into_iter().chain(of_state).chain([state.data("etcd"), state.data("kubelet")]).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
