//! Programs: built once from pinned modules into the cache, found by name.

use std::path::PathBuf;

use crate::{Context, Result};

/// Where each program is.
#[derive(Clone, Debug)]
pub struct Tools {}

impl Tools {
    /// Builds what the cache does not have.
    pub async fn ensure(_context: &Context) -> Result<Self> {
        Ok(Self {})
    }

    /// The path of a program, for example `helm`.
    pub fn path(&self, program: &str) -> PathBuf {
        PathBuf::from(program)
    }

    /// The path of one of Restate's programs: `restate-server`, `restatectl`, `restate`.
    pub fn node_package(&self, program: &str) -> PathBuf {
        PathBuf::from(program)
    }
}
