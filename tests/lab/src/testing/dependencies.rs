//! Whose code we build: licences and bans, from `deny.toml`, without a network. Advisories need one: cargo-deny
//! reads the same file and knows them.

use std::{collections::BTreeSet, fs};

use anyhow::Context as _;
use cargo_metadata::{Metadata, MetadataCommand, Package};
use serde::Deserialize;
use spdx::{Expression, LicenseReq, Licensee, ParseMode};

use crate::{Result, images::workspace};

/// What of `deny.toml` is read here.
#[derive(Debug, Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
}

/// One line per package that may not be there.
pub(super) fn check() -> Result<Vec<String>> {
    let root = workspace();
    let policy = fs::read_to_string(root.join("deny.toml")).context("failed to read deny.toml")?;
    let policy = toml::from_str(&policy).context("failed to parse deny.toml")?;
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"].map(str::to_owned))
        .exec()?;
    violations(&policy, &metadata)
}

fn violations(policy: &Policy, metadata: &Metadata) -> Result<Vec<String>> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
    let built: BTreeSet<_> = resolve.nodes.iter().map(|node| &node.id).collect();
    let allowed = policy.licenses.allow.iter().map(|name| licensee(name)).collect::<Result<Vec<_>>>()?;
    let packages = metadata.packages.iter().filter(|package| built.contains(&package.id));
    Ok(packages.filter_map(|package| violation(policy, &allowed, package)).collect())
}

fn violation(policy: &Policy, allowed: &[Licensee], package: &Package) -> Option<String> {
    if policy.bans.deny.iter().any(|ban| ban.name == package.name.as_str()) {
        return Some(format!("{} {} is banned", package.name, package.version));
    }
    let Some(license) = &package.license else {
        // A file instead of a name has to be read by a person, once.
        return Some(format!("{} {} does not name its licence", package.name, package.version));
    };
    let is_allowed = |wanted: &LicenseReq| allowed.iter().any(|licensee| licensee.satisfies(wanted));
    let expression = Expression::parse_mode(license, ParseMode::LAX);
    let good = expression.is_ok_and(|expression| expression.evaluate(is_allowed));
    (!good).then(|| format!("{} {} has the licence {license}", package.name, package.version))
}

fn licensee(name: &str) -> Result<Licensee> {
    Licensee::parse(name).map_err(|error| anyhow::anyhow!("deny.toml: {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn package(name: &str, license: Option<&str>) -> Package {
        serde_json::from_value(json!({
            "name": name, "version": "1.2.3", "id": name, "license": license, "dependencies": [], "targets": [],
            "features": {}, "manifest_path": "/x/Cargo.toml",
        }))
        .unwrap()
    }

    fn verdict(name: &str, license: Option<&str>) -> Option<String> {
        let policy: Policy = toml::from_str(
            "licenses.allow = ['MIT', 'Apache-2.0 WITH LLVM-exception']\nbans.deny = [{crate = 'openssl'}]",
        )
        .unwrap();
        let allowed: Vec<_> = policy.licenses.allow.iter().map(|name| licensee(name).unwrap()).collect();
        violation(&policy, &allowed, &package(name, license))
    }

    #[rstest]
    #[case(Some("MIT"), None)]
    #[case(Some("GPL-3.0-only OR MIT"), None)]
    #[case(Some("GPL-3.0/MIT"), None)]
    #[case(Some("Apache-2.0 WITH LLVM-exception"), None)]
    #[case(Some("MIT AND GPL-3.0-only"), Some("a 1.2.3 has the licence MIT AND GPL-3.0-only"))]
    #[case(Some("Apache-2.0"), Some("a 1.2.3 has the licence Apache-2.0"))]
    #[case(None, Some("a 1.2.3 does not name its licence"))]
    fn a_licence_is_allowed_by_name(#[case] license: Option<&str>, #[case] wanted: Option<&str>) {
        assert_eq!(verdict("a", license).as_deref(), wanted);
    }

    #[test]
    fn a_banned_package_is_named() {
        assert_eq!(verdict("openssl", Some("MIT")).as_deref(), Some("openssl 1.2.3 is banned"));
    }
}
