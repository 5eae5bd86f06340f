//! The TypeScript service of `tests/services/typescript`, bundled into one file.

use std::path::PathBuf;

use anyhow::Context as _;
use sha2::{Digest, Sha256};

use super::programs;
use crate::{Context, Result, process::Invocation};

/// What decides what the bundle is.
const INPUTS: [&str; 3] = ["package.json", "package-lock.json", "service.ts"];

/// Bundles the service, once for each state of its sources.
pub(super) async fn bundle(context: &Context) -> Result<PathBuf> {
    let sources = programs::workspace().join("tests/services/typescript");
    let place = context.cache.images().join(format!("typescript-{}", key(&sources)?));
    let bundle = place.join("service.mjs");
    if bundle.is_file() {
        return Ok(bundle);
    }
    let step = context.progress.step("TypeScript service");
    std::fs::create_dir_all(&place)?;
    for input in INPUTS {
        std::fs::copy(sources.join(input), place.join(input))?;
    }
    let log = context.cache.logs().join("typescript-service.log");
    for arguments in [["ci", "--no-audit"], ["run", "bundle"]] {
        let what = format!("npm {} for the TypeScript service", arguments[0]);
        Invocation::new(what, "npm").args(arguments).dir(&place).log(&log).run().await?;
    }
    step.done("bundled");
    Ok(bundle)
}

/// The program behind `node`, wherever a version manager put it.
pub(super) async fn interpreter() -> Result<PathBuf> {
    let asked = Invocation::new("looking for Node.js", "node").args(["-p", "process.execPath"]);
    let path = asked.text().await?;
    std::fs::canonicalize(path.trim()).context("failed to find the program of Node.js")
}

fn key(sources: &std::path::Path) -> Result<String> {
    let mut hash = Sha256::new();
    for input in INPUTS {
        let path = sources.join(input);
        hash.update(std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?);
    }
    Ok(hex::encode(&hash.finalize()[..6]))
}
