//! Which crate may know which: dependencies point one way, and what decides has no client, no runtime and no clock
//! of its own. Held by what cargo resolves, not by promise.

use std::collections::BTreeSet;

use super::program;
use crate::{Context, Result};

/// What makes a crate able to reach the outside.
const OUTSIDE: &[&str] =
    &["axum", "hyper", "kube", "kube-client", "kube-runtime", "reqwest", "tokio", "tonic"];

/// One crate of ours, and what it may not depend on, however far down.
struct Border {
    of: &'static str,
    ours: &'static [&'static str],
    may_reach_outside: bool,
}

/// Every library of ours. `ours` lists which other crates of this workspace it may depend on.
const BORDERS: &[Border] = &[
    Border { of: "restate-crd", ours: &[], may_reach_outside: false },
    Border { of: "restate-model", ours: &[], may_reach_outside: false },
    Border { of: "apiserver-kind", ours: &[], may_reach_outside: false },
    Border { of: "restate-apiservice", ours: &["apiserver-kind", "restate-crd"], may_reach_outside: false },
    Border { of: "restate-plan", ours: &["restate-crd", "restate-model"], may_reach_outside: false },
    Border { of: "restate-client", ours: &["restate-model"], may_reach_outside: true },
    Border { of: "apiserver-machinery", ours: &["apiserver-kind"], may_reach_outside: true },
    Border {
        of: "restate-controller",
        ours: &["restate-client", "restate-crd", "restate-model", "restate-plan"],
        may_reach_outside: true,
    },
];

/// One line per border that is crossed.
pub(super) async fn check(context: &Context) -> Result<Vec<String>> {
    let members = members(context).await?;
    let mut crossed = Vec::new();
    for border in BORDERS.iter().filter(|border| members.contains(border.of)) {
        let tree =
            ["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}", "-p", border.of];
        let tree = output(program::cargo(context, &tree)).await?;
        crossed.extend(border.crossed(&names(&tree), &members));
    }
    Ok(crossed)
}

impl Border {
    fn crossed(&self, found: &BTreeSet<&str>, members: &BTreeSet<String>) -> Vec<String> {
        let allowed = |name: &&&str| **name == self.of || self.ours.contains(*name);
        let ours = found.iter().filter(|name| members.contains(**name)).filter(|name| !allowed(name));
        let outside = found.iter().filter(|name| !self.may_reach_outside && OUTSIDE.contains(*name));
        ours.chain(outside).map(|name| format!("{} depends on {name}", self.of)).collect()
    }
}

/// The names of this workspace's crates.
async fn members(context: &Context) -> Result<BTreeSet<String>> {
    let tree = ["tree", "--locked", "--workspace", "--depth", "0", "--prefix", "none", "--format", "{p}"];
    let tree = output(program::cargo(context, &tree)).await?;
    Ok(names(&tree).into_iter().map(str::to_owned).collect())
}

async fn output(mut command: tokio::process::Command) -> Result<String> {
    let output = command.stderr(std::process::Stdio::inherit()).output().await?;
    anyhow::ensure!(output.status.success(), "cargo tree failed");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `cargo tree` prints `name vX.Y.Z (path) (*)`.
fn names(tree: &str) -> BTreeSet<&str> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Border = Border { of: "plan", ours: &["model"], may_reach_outside: false };

    fn crossed(border: &Border, tree: &str) -> Vec<String> {
        let members = ["plan", "model", "client"].map(str::to_owned).into();
        border.crossed(&names(tree), &members)
    }

    #[test]
    fn what_is_allowed_is_not_crossed() {
        let tree = "plan v0.1.0 (/x/plan)\nmodel v0.1.0 (/x/model)\nserde v1.0.1\nserde v1.0.1 (*)\n";
        assert!(crossed(&PLAN, tree).is_empty());
    }

    #[test]
    fn a_client_below_what_decides_is_named() {
        let tree = "plan v0.1.0 (/x/plan)\nclient v0.1.0 (/x/client)\ntokio v1.2.3\ntokio-util v0.7.1\n";
        assert_eq!(crossed(&PLAN, tree), ["plan depends on client", "plan depends on tokio"]);
        let client = Border { may_reach_outside: true, ..PLAN };
        assert_eq!(crossed(&client, tree), ["plan depends on client"]);
    }

    #[tokio::test]
    async fn every_border_is_of_a_crate_that_exists() {
        let manifest = std::fs::read_to_string(crate::images::workspace().join("Cargo.lock")).unwrap();
        for border in BORDERS {
            for name in [border.of].iter().chain(border.ours) {
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            }
        }
    }
}
