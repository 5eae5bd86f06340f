//! Mirrors are parents of subresources and nothing else: the bare plural is the stored kind, also for tools that walk
//! whatever discovery names (architecture §1 "Names and borders").

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use restate_tests::{Kubectl, Lab, Namespace, Restate, Result, Service, lab::Image};
use serde_json::Value;

const MIRRORED: [(&str, &str); 2] =
    [("restatedeployments", "restate.dev/v1beta1"), ("restateclusters", "restate.dev/v1")];

/// A resource as discovery names it: group and version, plural, verbs.
#[derive(Debug)]
struct Named {
    group_version: String,
    plural: String,
    verbs: BTreeSet<String>,
}

/// Each resource of each group in its preferred version, or else in the first that has it: what a backup tool asks
/// for first.
async fn preferred(kubectl: &Kubectl) -> Result<Vec<Named>> {
    let groups = kubectl.json(["get", "--raw", "/apis"]).await?;
    let mut all = Vec::new();
    for group in groups["groups"].as_array().context("no groups")? {
        let preferred = group["preferredVersion"]["groupVersion"].as_str().context("no preferred version")?;
        let others = group["versions"].as_array().into_iter().flatten();
        let others = others.filter_map(|version| version["groupVersion"].as_str());
        let mut seen = BTreeSet::new();
        for version in [preferred].into_iter().chain(others) {
            let list = kubectl.json(["get", "--raw", &format!("/apis/{version}")]).await?;
            let resources = list["resources"].as_array().into_iter().flatten();
            let resources = resources.map(|resource| named(version, resource));
            all.extend(resources.filter(|resource| seen.insert(resource.plural.clone())));
        }
    }
    Ok(all)
}

fn named(group_version: &str, resource: &Value) -> Named {
    let verbs = resource["verbs"].as_array().into_iter().flatten();
    Named {
        group_version: group_version.to_owned(),
        plural: resource["name"].as_str().unwrap_or_default().to_owned(),
        verbs: verbs.filter_map(|verb| verb.as_str().map(ToOwned::to_owned)).collect(),
    }
}

/// D2, D3, S4, W20: what can be backed up (list, create, get, delete) is stored, and each plural once.
#[tokio::test]
async fn a_tool_that_walks_preferred_resources_finds_each_plural_once() -> Result {
    let kubectl = Lab::of_this_run()?.kubectl()?;
    let all = preferred(&kubectl).await?;
    let backed_up = |resource: &&Named| {
        ["list", "create", "get", "delete"].iter().all(|verb| resource.verbs.contains(*verb))
    };
    let ours: Vec<_> = all.iter().filter(|it| it.group_version.starts_with("control.restate.dev/")).collect();
    ensure!(ours.len() > 10, "{ours:?}");
    ensure!(ours.iter().copied().filter(backed_up).count() == 0, "{ours:?}");
    let never = ["delete", "deletecollection", "patch", "update"];
    for resource in ours.iter().filter(|it| !it.plural.ends_with("/proxy")) {
        ensure!(never.iter().all(|verb| !resource.verbs.contains(*verb)), "{resource:?}");
    }
    for (plural, group_version) in MIRRORED {
        let found: Vec<_> = all.iter().filter(backed_up).filter(|it| it.plural == plural).collect();
        ensure!(found.len() == 1 && found[0].group_version == group_version, "{plural}: {found:?}");
        let listable: Vec<_> =
            all.iter().filter(|it| it.plural == plural && it.verbs.contains("list")).collect();
        ensure!(listable.len() == 1, "{plural} can be listed in two groups: {listable:?}");
    }
    Ok(())
}

/// D2: the bare plural is the stored kind, for get, list and delete; the mirror answers to its full name.
#[tokio::test]
async fn the_bare_plural_is_the_stored_kind_for_get_list_and_delete() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "mirrors").await?);
    let service = Service::new(&lab, &namespace, &restate);
    service.roll_out(Image::GreeterV1).await?;
    let kubectl = lab.kubectl()?;
    for ((plural, group_version), name) in MIRRORED.into_iter().zip([service.name(), restate.name()]) {
        let within = ["-n", namespace.name()];
        let asked = async |words: &[&str]| kubectl.run(within.iter().chain(words)).await;
        ensure!(asked(&["get", plural, name, "-o", "jsonpath={.apiVersion}"]).await? == group_version);
        let list = asked(&["get", plural, "-o", "jsonpath={.items[*].apiVersion}"]).await?;
        ensure!(list.split(' ').all(|version| version == group_version) && !list.is_empty(), "{list}");
        let deleted = asked(&["delete", plural, name, "--dry-run=server", "-o", "name"]).await?;
        let singular = plural.trim_end_matches('s');
        ensure!(deleted.trim() == format!("{singular}.restate.dev/{name}"), "{deleted}");
        let mirror = format!("{plural}.control.restate.dev");
        let seen = asked(&["get", &mirror, name, "-o", "jsonpath={.apiVersion}"]).await?;
        ensure!(seen == "control.restate.dev/v1alpha1", "{seen}");
        let refused = kubectl.ask(within.iter().chain(&["delete", &mirror, name]), None).await?;
        ensure!(!refused.successful && refused.words.contains("MethodNotAllowed"), "{refused:?}");
    }
    // Now in earnest: it is the stored object that goes.
    kubectl.run(["-n", namespace.name(), "delete", "restatedeployments", service.name()]).await?;
    let left = kubectl.run(["-n", namespace.name(), "get", "restatedeployments", "-o", "name"]).await?;
    ensure!(left.is_empty(), "{left}");
    Ok(())
}

/// P3: kubectl prefers the group with the higher priority where two have the same plural.
#[tokio::test]
async fn the_stored_group_comes_before_ours() -> Result {
    let kubectl = Lab::of_this_run()?.kubectl()?;
    let priority = async |service: &str| -> Result<u32> {
        let get = ["get", "apiservice", service, "-o", "jsonpath={.spec.groupPriorityMinimum}"];
        Ok(kubectl.run(get).await?.parse()?)
    };
    let ours = priority("v1alpha1.control.restate.dev").await?;
    for stored in ["v1.restate.dev", "v1beta1.restate.dev"] {
        ensure!(ours < priority(stored).await?, "{stored}");
    }
    Ok(())
}
