//! What the tests of the web UI need beside the cluster: a browser and the kubectl plugin.

use anyhow::ensure;
use tokio::process::Command;

use super::{TestArgs, program};
use crate::{Context, Result, tools::debian};

/// The module of those tests.
const TESTS: &str = "apiserver_ui::";

/// The crate and the file of the plugin.
const PLUGIN: &str = "kubectl-restate";

/// Installs and builds them where these tests run, and says where they are.
pub(super) async fn describe(context: &Context, arguments: &TestArgs, command: &mut Command) -> Result<()> {
    if !concerns(arguments.filter.as_deref()) {
        return Ok(());
    }
    let browser = debian::ensure_browser(context).await?;
    let step = context.progress.step(PLUGIN);
    let built = program::cargo(context, &["build", "--quiet", "--locked", "-p", PLUGIN]).status().await?;
    ensure!(built.success(), "{PLUGIN} cannot be built");
    step.done("built");
    let plugin = context.cache.path().join("target/debug").join(PLUGIN);
    command.env("LAB_BROWSER", browser).env("LAB_KUBECTL_RESTATE", plugin);
    Ok(())
}

/// A hundred megabytes are not installed for the tests of anything else.
fn concerns(filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| {
        TESTS.contains(filter) || filter.contains(TESTS.trim_end_matches(':')) || filter.contains("web_ui")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_installed_for_its_own_tests_only() {
        assert!(concerns(None) && concerns(Some("apiserver")) && concerns(Some("apiserver_ui")));
        assert!(concerns(Some("the_web_ui_works")));
        assert!(!concerns(Some("controller")) && !concerns(Some("apiserver_proxy")));
    }
}
