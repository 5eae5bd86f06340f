//! Packet rules as text for `iptables-restore`, one transaction per table. What is installed is a pure function of
//! the ports; what is removed is a pure function of the rules that are there.

use std::fmt::Write as _;

use crate::{
    Result,
    args::Ports,
    node::site::{BRIDGE, POD_RANGE, SERVICE_RANGE},
    process::Invocation,
    tools::debian::find,
};

/// The lab's chains begin with this.
const OURS: &str = "RESTATE-LAB";

/// Chains of the node's components, which they leave behind.
const OF_COMPONENTS: [&str; 2] = ["KUBE-", "CNI-"];

/// Which chains are to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Chains {
    /// Only those that the lab made itself.
    OfTheLab,
    /// Also those that its components made; another node's would have the same names.
    OfAnyNode,
}

/// The rules of one lab.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Rules {
    text: String,
    jumps: [Jump; 3],
}

/// From a chain of the kernel to one of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Jump {
    table: &'static str,
    from: &'static str,
    to: &'static str,
}

/// In `mangle POSTROUTING` because the interface that `filter OUTPUT` sees is the one from before the service's
/// address was translated.
const JUMPS: [Jump; 3] = [
    Jump { table: "mangle", from: "POSTROUTING", to: "RESTATE-LAB-LEAVING" },
    Jump { table: "mangle", from: "INPUT", to: "RESTATE-LAB-ARRIVING" },
    Jump { table: "filter", from: "FORWARD", to: "RESTATE-LAB-PODS" },
];

impl Rules {
    /// What leaves, what arrives, and what goes from pod to pod on a machine that forwards nothing by default.
    pub(super) fn of(ports: Ports) -> Self {
        let Ports { api_port, kubelet_port, etcd_port: _, etcd_peer_port: _ } = ports;
        let text = format!(
            "*mangle\n\
             :RESTATE-LAB-LEAVING - [0:0]\n\
             :RESTATE-LAB-ARRIVING - [0:0]\n\
             -A RESTATE-LAB-LEAVING -o lo -j RETURN\n\
             -A RESTATE-LAB-LEAVING -o {BRIDGE} -j RETURN\n\
             -A RESTATE-LAB-LEAVING -d {SERVICE_RANGE} -j DROP\n\
             -A RESTATE-LAB-LEAVING -d {POD_RANGE} -j DROP\n\
             -A RESTATE-LAB-LEAVING -s {POD_RANGE} -j DROP\n\
             -A RESTATE-LAB-ARRIVING -i lo -j RETURN\n\
             -A RESTATE-LAB-ARRIVING -i {BRIDGE} -j RETURN\n\
             -A RESTATE-LAB-ARRIVING -p tcp --dport {api_port} -j DROP\n\
             -A RESTATE-LAB-ARRIVING -p tcp --dport {kubelet_port} -j DROP\n\
             COMMIT\n\
             *filter\n\
             :RESTATE-LAB-PODS - [0:0]\n\
             -A RESTATE-LAB-PODS -i {BRIDGE} -j ACCEPT\n\
             -A RESTATE-LAB-PODS -o {BRIDGE} -j ACCEPT\n\
             COMMIT\n"
        );
        Self { text, jumps: JUMPS }
    }
}

/// Installs the rules; chains of ours are replaced as a whole.
pub(super) async fn install(rules: &Rules) -> Result<()> {
    restore("iptables", &rules.text).await?;
    for Jump { table, from, to } in rules.jumps {
        let rule =
            |action: &'static str| command("iptables").args(["-w", "-t", table, action, from, "-j", to]);
        if rule("-C").run().await.is_err() {
            rule("-I").run().await?;
        }
    }
    Ok(())
}

/// Removes the lab's rules and those that the node's components left behind, of both address families.
pub(super) async fn remove(chains: Chains) -> Result<()> {
    for family in ["iptables", "ip6tables"] {
        let save = format!("{family}-save");
        // A machine without IPv6 has nothing of it to remove.
        let Ok(saved) = command(&save).text().await else { continue };
        let removal = removal(&saved, chains);
        if !removal.is_empty() {
            restore(family, &removal).await?;
        }
    }
    Ok(())
}

async fn restore(family: &str, text: &str) -> Result<()> {
    let program = format!("{family}-restore");
    Ok(command(&program).args(["-w", "--noflush"]).input(text).run().await?)
}

fn command(program: &str) -> Invocation {
    Invocation::new(program, find(program).unwrap_or_else(|| program.into()))
}

impl Chains {
    fn have(self, chain: &str) -> bool {
        let of_components = || OF_COMPONENTS.iter().any(|prefix| chain.starts_with(prefix));
        chain.starts_with(OURS) || (self == Self::OfAnyNode && of_components())
    }
}

/// The text that takes away every one of these chains and every jump to one.
fn removal(saved: &str, chains: Chains) -> String {
    let mut text = String::new();
    let (mut flushes, mut deletions) = (Vec::new(), Vec::new());
    let mut table = "";
    for line in saved.lines() {
        match line.split_at_checked(1) {
            Some(("*", name)) => table = name,
            Some((":", chain)) => {
                let name = chain.split(' ').next().unwrap_or_default();
                if chains.have(name) {
                    flushes.push(format!("-F {name}\n"));
                    deletions.push(format!("-X {name}\n"));
                }
            }
            Some(("-", rule)) if jumps_to(chains, rule) => flushes.push(format!("-D {}\n", &rule[2..])),
            Some(_) | None => {
                if line == "COMMIT" && !flushes.is_empty() {
                    let body: String = flushes.drain(..).chain(deletions.drain(..)).collect();
                    // Writing to a String cannot fail.
                    let _ = write!(text, "*{table}\n{body}COMMIT\n");
                }
            }
        }
    }
    text
}

/// Is this rule (without its first dash) in a chain of somebody else, with one of these as its target?
fn jumps_to(chains: Chains, rule: &str) -> bool {
    let words: Vec<&str> = rule.split(' ').collect();
    let target = words.windows(2).find(|pair| matches!(pair[0], "-j" | "-g")).map(|pair| pair[1]);
    words.first() == Some(&"A")
        && !chains.have(words.get(1).unwrap_or(&""))
        && target.is_some_and(|target| chains.have(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_a_lab() {
        insta::assert_snapshot!(Rules::of(Ports::default()).text);
    }

    #[test]
    fn every_jump_has_its_chain() {
        let rules = Rules::of(Ports::default());
        for jump in rules.jumps {
            assert!(rules.text.contains(&format!(":{} ", jump.to)), "{}", jump.to);
        }
    }

    #[test]
    fn only_ours_is_removed() {
        let saved = "\
# Generated
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A PREROUTING -j DOCKER
-A KUBE-SERVICES -j DOCKER
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -j DOCKER
COMMIT
*mangle
:RESTATE-LAB-LEAVING - [0:0]
-A POSTROUTING -j RESTATE-LAB-LEAVING
COMMIT
";
        insta::assert_snapshot!(removal(saved, Chains::OfAnyNode), @r#"
        *nat
        -F KUBE-SERVICES
        -D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
        -X KUBE-SERVICES
        COMMIT
        *mangle
        -F RESTATE-LAB-LEAVING
        -D POSTROUTING -j RESTATE-LAB-LEAVING
        -X RESTATE-LAB-LEAVING
        COMMIT
        "#);
    }

    #[test]
    fn what_was_removed_needs_no_removal() {
        assert_eq!(removal("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", Chains::OfAnyNode), "");
    }

    #[test]
    fn another_node_keeps_its_chains() {
        let saved = "*nat\n:KUBE-SERVICES - [0:0]\n-A PREROUTING -j KUBE-SERVICES\nCOMMIT\n";
        assert_eq!(removal(saved, Chains::OfTheLab), "");
        assert!(removal(saved, Chains::OfAnyNode).contains("-X KUBE-SERVICES"));
    }
}
