//! Who provisions a cluster, and whether it is time. Provisioning never runs twice: every expected node must
//! answer, none may belong to a cluster, and whoever provisions claims it first by a compare-and-swap.

use jiff::{SignedDuration, Timestamp};
use kube_core::ResourceExt;
use restate_crd::RestateCluster;
use restate_crd::cluster::Provisioning as By;

use super::{Node, NodeIdentity, Seen, Valid, node_addresses};
use crate::{Claim, Provision, Step};

/// Annotation with who claimed the provisioning and when: `<time> <holder>`.
pub const CLAIM: &str = "restate.dev/provisioning-claim";

/// How long a claim keeps others away: longer than the call's deadline, so that a claim that is older belongs to
/// somebody whose call has ended.
const CLAIM_LASTS: SignedDuration = SignedDuration::from_secs(60);

/// A claim that was read from the stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Who.
    pub holder: String,
    /// When.
    pub at: Timestamp,
}

impl Claimed {
    /// The claim that an object carries; what cannot be read counts as none.
    pub fn of(object: &RestateCluster) -> Option<Self> {
        let (at, holder) = object.annotations().get(CLAIM)?.split_once(' ')?;
        Some(Self { holder: holder.to_owned(), at: at.parse().ok()? })
    }

    /// The annotation's text.
    pub fn text(holder: &str, at: Timestamp) -> String {
        format!("{at} {holder}")
    }
}

/// Where a cluster stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provisioning {
    /// It is provisioned, by whomever.
    Done,
    /// Somebody else has to do it.
    ByHand,
    /// The server does it by itself.
    ByServer,
    /// Not every node has given its word.
    NodesSilent {
        /// Which do not answer, and why.
        silent: Vec<String>,
    },
    /// Somebody claimed it a moment ago.
    Claimed {
        /// Who.
        by: String,
        /// Until when that keeps us away.
        until: Timestamp,
    },
    /// It is ours to do now.
    Now,
}

/// Whether a pass must ask the nodes.
pub fn asks_nodes(valid: &Valid) -> bool {
    valid.replicas > 0 && !valid.provisioned
}

/// Where the cluster stands, as far as the nodes' words and the claim tell.
pub fn decide(valid: &Valid, seen: &Seen, now: Timestamp) -> Provisioning {
    if valid.provisioned || any_member(&seen.nodes) {
        return Provisioning::Done;
    }
    if valid.provisioned_by == By::Manual {
        return Provisioning::ByHand;
    }
    if valid.server_provisions() == super::settings::Setting::Set(true) {
        return Provisioning::ByServer;
    }
    unless_claimed(valid, seen, now)
}

/// The same for somebody who asks for it now, whoever is to provision otherwise.
pub fn on_request(valid: &Valid, seen: &Seen, now: Timestamp) -> Provisioning {
    if valid.provisioned || any_member(&seen.nodes) {
        return Provisioning::Done;
    }
    unless_claimed(valid, seen, now)
}

fn unless_claimed(valid: &Valid, seen: &Seen, now: Timestamp) -> Provisioning {
    let silent = silent(valid, seen);
    if !silent.is_empty() {
        return Provisioning::NodesSilent { silent };
    }
    match &valid.claim {
        Some(claim) if claim.holder != seen.operator.identity && now < claim.at + CLAIM_LASTS => {
            Provisioning::Claimed { by: claim.holder.clone(), until: claim.at + CLAIM_LASTS }
        }
        Some(_) | None => Provisioning::Now,
    }
}

fn any_member(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| node.identity == NodeIdentity::Member)
}

/// Every expected node without a word of its own, also those that nobody asked.
fn silent(valid: &Valid, seen: &Seen) -> Vec<String> {
    let expected = node_addresses(&valid.name, valid.replicas, &seen.operator.dns_suffix);
    let unheard = |address: &String| match seen.nodes.iter().find(|node| node.address == *address) {
        Some(Node { identity: NodeIdentity::Blank | NodeIdentity::Member, .. }) => None,
        Some(Node { identity: NodeIdentity::Silent { why }, .. }) => Some(format!("{address}: {why}")),
        None => Some(format!("{address}: not asked")),
    };
    expected.iter().filter_map(unheard).collect()
}

/// How to provision. What is left out is as the server's own configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// How many partitions.
    pub partitions: Option<u16>,
    /// Replication of logs and partitions.
    pub replication: Option<String>,
    /// Where logs are kept.
    pub log_provider: Option<String>,
}

/// Claim, then provision on node 0; `None` where there is no node.
pub fn claim_and_provision(
    valid: &Valid,
    seen: &Seen,
    numbers: Numbers,
    now: Timestamp,
) -> Option<(Claim, Provision)> {
    let Numbers { partitions, replication, log_provider } = numbers;
    let expected = node_addresses(&valid.name, valid.replicas, &seen.operator.dns_suffix);
    let node = expected.first().cloned()?;
    let claim = Claim {
        cluster: valid.name.clone(),
        uid: valid.uid.clone(),
        resource_version: valid.resource_version.clone(),
        holder: seen.operator.identity.clone(),
        at: now,
    };
    let provision = Provision {
        cluster: valid.name.clone(),
        uid: valid.uid.clone(),
        node,
        expected,
        partitions,
        replication,
        log_provider,
    };
    Some((claim, provision))
}

/// The steps of the controller: the numbers are the server's own configuration, but for what the spec says.
pub(super) fn steps(valid: &Valid, seen: &Seen, now: Timestamp) -> Vec<Step> {
    let numbers = Numbers { replication: super::replication::at_first(valid), ..Numbers::default() };
    let both = claim_and_provision(valid, seen, numbers, now);
    both.into_iter().flat_map(|(claim, provision)| [Step::Claim(claim), Step::Provision(provision)]).collect()
}
