//! What every command gets first: where files live, how progress is shown, what was asked for.

use crate::{
    Result,
    args::Options,
    places::{CacheDir, StateDir},
    progress::Progress,
};

/// Passed first to everything that acts.
#[derive(Clone, Debug)]
pub struct Context {
    /// What may be thrown away and made again: built tools, image archives, locks.
    pub cache: CacheDir,
    /// The running lab: certificates, databases, volumes, logs, process ids.
    pub state: StateDir,
    /// The one way to tell the user how far things are.
    pub progress: Progress,
    /// The options that hold for all commands.
    pub options: Options,
}

impl Context {
    /// Finds the user's directories; creates nothing but the cache directory.
    pub fn new(mut options: Options) -> Result<Self> {
        let cache = CacheDir::of_the_user()?;
        let state = StateDir::of_the_user()?;
        // A test is told the kubeconfig of the lab; what it starts must not take the lab for somebody else's cluster.
        options.kubeconfig = options.kubeconfig.filter(|path| *path != state.kubeconfig());
        Ok(Self { cache, state, progress: Progress::new(), options })
    }
}
