//! The machine's network as the node needs it: a bridge, a route, kernel settings and packet rules. The rules are
//! in place before any component starts and hold what the lab promises: no packet for the cluster's ranges leaves
//! this machine, whatever kube-proxy has or has not done yet, and nobody outside reaches its ports.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::Context as _;

use super::{
    packet_rules::{self, Chains, Rules},
    site::{ADDRESS, BRIDGE, SERVICE_RANGE, Site},
};
use crate::{Context, Result, process::Invocation, tools::debian::find};

/// Kernel settings that the node changes or lets kubelet change; their old values come back on the way down.
const SETTINGS: [(&str, Option<&str>); 7] = [
    ("net/ipv4/ip_forward", Some("1")),
    ("net/bridge/bridge-nf-call-iptables", Some("1")),
    ("net/ipv4/conf/all/route_localnet", None),
    ("vm/overcommit_memory", None),
    ("vm/panic_on_oom", None),
    ("kernel/panic", None),
    ("kernel/panic_on_oops", None),
];

/// Makes the network what the node needs; harmless when it is that already.
pub(super) async fn ensure(site: &Site) -> Result<()> {
    if find("modprobe").is_some() {
        // Often built in, and then there is nothing to load.
        let _ = system("modprobe", &["br_netfilter"]).run().await;
    }
    packet_rules::install(&Rules::of(site.ports))
        .await
        .context("failed to install the lab's packet rules")?;
    for (setting, value) in SETTINGS {
        if let Some(value) = value {
            set(setting, value)?;
        }
    }
    if !exists() {
        system("ip", &["link", "add", BRIDGE, "type", "bridge"]).run().await?;
    }
    let address = format!("{ADDRESS}/16");
    system("ip", &["address", "replace", &address, "dev", BRIDGE]).run().await?;
    system("ip", &["link", "set", BRIDGE, "up"]).run().await?;
    // Without a route of its own a service's address would be looked for beyond the default route.
    system("ip", &["route", "replace", SERVICE_RANGE, "dev", BRIDGE, "src", ADDRESS]).run().await?;
    Ok(())
}

/// Is the lab's bridge there?
pub(super) fn exists() -> bool {
    fs::exists(format!("/sys/class/net/{BRIDGE}")).unwrap_or(false)
}

/// Kernel settings as they are now.
pub(super) fn settings() -> BTreeMap<String, String> {
    let read = |setting: &str| fs::read_to_string(place(setting)).ok().map(|value| value.trim().to_owned());
    SETTINGS.iter().filter_map(|(setting, _)| Some(((*setting).to_owned(), read(setting)?))).collect()
}

/// Takes away bridge, pods' links and packet rules, and puts the kernel settings back. With `others`, another node
/// runs here: the chains that its components share with ours by name stay.
pub(super) async fn remove(context: &Context, before: &BTreeMap<String, String>, others: bool) -> Result<()> {
    for pod_link in links_of_pods() {
        let _ = system("ip", &["link", "delete", &pod_link]).run().await;
    }
    if exists() {
        system("ip", &["link", "delete", BRIDGE]).run().await?;
    }
    packet_rules::remove(if others { Chains::OfTheLab } else { Chains::OfAnyNode }).await?;
    for (setting, value) in before {
        if let Err(error) = set(setting, value) {
            context.progress.say(format_args!("{error:#}"));
        }
    }
    Ok(())
}

/// The links that the bridge still has.
fn links_of_pods() -> Vec<String> {
    let entries = fs::read_dir(format!("/sys/class/net/{BRIDGE}/brif")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn set(setting: &str, value: &str) -> Result<()> {
    let path = place(setting);
    let is_there = fs::read_to_string(&path).is_ok_and(|current| current.trim() == value);
    if is_there {
        return Ok(());
    }
    fs::write(&path, value).with_context(|| format!("failed to set {} to {value}", path.display()))
}

fn place(setting: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(setting)
}

fn system(program: &str, arguments: &[&str]) -> Invocation {
    let path = find(program).unwrap_or_else(|| program.into());
    Invocation::new(format!("{program} {}", arguments.join(" ")), path).args(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::site::POD_RANGE;

    #[test]
    fn the_node_lives_in_the_pods_range() {
        assert!(
            ADDRESS.starts_with("10.244.") && POD_RANGE.starts_with("10.244.") && POD_RANGE.ends_with("/16")
        );
    }
}
