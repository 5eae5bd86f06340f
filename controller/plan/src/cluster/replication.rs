//! Replication of logs and partitions after the cluster was provisioned: the server's own `default-replication` counts
//! then no more, and a cluster that grew from one node would keep a single copy of everything.
//!
//! Where `spec.cluster.replication` asks for it, replication is raised once enough nodes belong to the cluster; it is
//! never lowered. Where it does not, what differs from the configuration is said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use restate_crd::condition::{ConditionStatus, Reason, Verdict};
use toml::Value;

use super::{Member, NAME, NodeIdentity, Seen, Valid, node_addresses, settings, status};
use crate::{Configure, Step};

/// A cluster's configuration, as a node says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// How many partitions.
    pub partitions: u32,
    /// Replication of partitions.
    pub partition_replication: Option<String>,
    /// Where logs live.
    pub log_provider: String,
    /// Replication of logs.
    pub log_replication: Option<String>,
    /// How many nodes hold one log; 0: Restate decides.
    pub target_nodeset_size: u32,
}

/// What was seen of the cluster's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Configured {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// Nobody could tell.
    Unknown {
        /// Why, for people.
        why: String,
    },
    /// It is this.
    Known(Configuration),
}

/// How many copies, by how far they must be apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replication(BTreeMap<Scope, u8>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::EnumString, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Scope {
    Region,
    Zone,
    Node,
}

/// Not a replication.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no replication; allowed is a number or {{zone: 2, node: 3}}")]
pub(super) struct NoReplication(String);

impl Replication {
    pub(super) fn of_nodes(copies: u8) -> Self {
        Self([(Scope::Node, copies)].into())
    }

    /// Copies that are at least so far apart.
    pub(super) fn at(&self, scope: Scope) -> u8 {
        self.0.range(..=scope).map(|(_, copies)| *copies).max().unwrap_or(1)
    }

    /// Whether these nodes are as many and as far apart.
    pub(super) fn is_spread_over(&self, members: &[&Member]) -> bool {
        let places =
            |scope| members.iter().filter_map(|member| place(member, scope)).collect::<BTreeSet<_>>().len();
        self.0.iter().all(|(scope, copies)| places(*scope) >= usize::from(*copies))
    }

    /// How many there are.
    pub(super) fn copies(&self) -> u8 {
        self.at(Scope::Node)
    }

    /// Whether Restate would take it: some copies, not too many, and the nearer the more.
    pub(super) fn makes_sense(&self) -> bool {
        let copies: Vec<u8> = self.0.values().copied().collect();
        copies.iter().all(|copies| (1..=9).contains(copies)) && copies.is_sorted()
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        [Scope::Region, Scope::Zone, Scope::Node].into_iter().all(|scope| self.at(scope) >= other.at(scope))
    }
}

impl FromStr for Replication {
    type Err = NoReplication;

    fn from_str(text: &str) -> Result<Self, NoReplication> {
        let no = || NoReplication(text.to_owned());
        if let Ok(copies) = text.trim().parse() {
            return Ok(Self::of_nodes(copies));
        }
        let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(no)?;
        let pair = |part: &str| {
            let (scope, copies) = part.split_once(':')?;
            Some((scope.trim().parse().ok()?, copies.trim().parse().ok()?))
        };
        let pairs: Option<BTreeMap<_, _>> = inner.split(',').map(pair).collect();
        pairs.filter(|pairs| !pairs.is_empty()).map(Self).ok_or_else(no)
    }
}

impl fmt::Display for Replication {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<_> = self.0.iter().map(|(scope, copies)| format!("{scope}: {copies}")).collect();
        write!(out, "{{{}}}", pairs.join(", "))
    }
}

/// Whether a pass must ask for the configuration: where somebody wants one, the nodes run, and it is not known to be
/// as wanted since the spec changed.
pub fn asks_configuration(valid: &Valid, seen: &Seen) -> bool {
    valid.provisioned
        && !valid.said.configuration_settled
        && valid.replicas > 0
        && wanted(valid).is_some()
        && status::is_rolled_out(valid, &seen.children)
}

/// The replication for a cluster that is about to be provisioned with so many nodes.
pub(super) fn at_first(valid: &Valid) -> Option<String> {
    let copies = valid.wished.as_ref()?.copies().min(u8::try_from(valid.replicas).unwrap_or(u8::MAX)).max(1);
    Some(Replication::of_nodes(copies).to_string())
}

/// Raises what is too low, where that is wanted and every node that is needed is there.
pub(super) fn step(valid: &Valid, seen: &Seen) -> Option<Step> {
    let Configured::Known(found) = &seen.configuration else { return None };
    let wanted = valid.wished.clone()?;
    if found.log_provider != "replicated" || allows(&wanted, valid, seen).is_err() {
        return None;
    }
    let raised = Configuration {
        partition_replication: raised(&wanted, found.partition_replication.as_ref()),
        log_replication: raised(&wanted, found.log_replication.as_ref()),
        ..found.clone()
    };
    let node = node_addresses(&valid.name, 1, &seen.operator.dns_suffix).pop()?;
    let configure =
        Configure { cluster: valid.name.clone(), node, found: found.clone(), wanted: raised.clone() };
    (raised != *found).then_some(Step::Configure(configure))
}

/// Whether another look is needed although nothing changes: what is to be done waits for nodes.
pub(super) fn is_awaited(valid: &Valid, seen: &Seen) -> bool {
    let differs = verdict(valid, seen).is_some_and(|verdict| verdict.status != ConditionStatus::False);
    valid.replication.is_some() && asks_configuration(valid, seen) && differs
}

/// Whether the configuration is known to be as wanted.
pub(super) fn is_settled(valid: &Valid, seen: &Seen) -> bool {
    let now = verdict(valid, seen).map(|verdict| verdict.status);
    wanted(valid).is_some()
        && now.map_or(valid.said.configuration_settled, |now| now == ConditionStatus::False)
}

/// What differs; none where nobody wants anything or nobody asked.
pub(super) fn verdict(valid: &Valid, seen: &Seen) -> Option<Verdict> {
    let wanted = wanted(valid)?;
    let found = match &seen.configuration {
        Configured::NotAsked => return None,
        Configured::Unknown { why } => {
            return Some(Verdict::new(ConditionStatus::Unknown, Reason::RestateUnreachable, why.clone()));
        }
        Configured::Known(found) => found,
    };
    let differs = |reason, message| Some(Verdict::new(ConditionStatus::True, reason, message));
    if found.log_provider != "replicated" && valid.replicas > 1 {
        let message =
            format!("logs live on one node (provider {}), and {wanted} is wanted", found.log_provider);
        return differs(Reason::LogsAreLocal, message);
    }
    let parts = [("logs", &found.log_replication), ("partitions", &found.partition_replication)];
    let parsed = parts.map(|(what, text)| (what, text.as_deref().unwrap_or("1"), read(text.as_ref())));
    let other = |(what, text, found): &(&str, &str, Option<Replication>)| {
        (found.as_ref() != Some(&wanted)).then(|| format!("{what} have {text}"))
    };
    let others: Vec<_> = parsed.iter().filter_map(other).collect();
    if others.is_empty() {
        let message = format!("logs and partitions have {wanted}");
        return Some(Verdict::new(ConditionStatus::False, Reason::ReplicationAsWanted, message));
    }
    let message = format!("{}, and {wanted} is wanted", others.join(", "));
    if parsed.iter().all(|(_, _, found)| found.as_ref().is_some_and(|found| found.covers(&wanted))) {
        return differs(
            Reason::ReplicationHigher,
            format!("{message}; replication is never lowered by itself"),
        );
    }
    match (&valid.wished, allows(&wanted, valid, seen)) {
        (None, _) => differs(
            Reason::ReplicationBehind,
            format!("{message}; set spec.cluster.replication to have it raised"),
        ),
        (Some(_), Err((reason, why))) => differs(reason, format!("{message}; {why}")),
        (Some(_), Ok(())) => differs(Reason::ReplicationBehind, format!("{message}; it is being raised")),
    }
}

/// What is wanted: what the spec says, else what the configuration says.
pub(super) fn wanted(valid: &Valid) -> Option<Replication> {
    if let Some(wished) = &valid.wished {
        return Some(wished.clone());
    }
    match valid.settings.get("default-replication")? {
        Value::Integer(copies) => Some(Replication::of_nodes(u8::try_from(*copies).ok()?)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// How many nodes have a copy of everything, by this replication; none where it cannot be read.
pub(super) fn copies(text: Option<&String>) -> Option<u8> {
    read(text).map(|replication| replication.at(Scope::Node))
}

/// How many copies the spec asks for, where it says so.
pub(super) fn copies_wanted(valid: &Valid) -> Option<u8> {
    let env = valid.compute.env.as_deref().unwrap_or_default();
    let said = settings::text(&valid.settings, env, &["default-replication"], "RESTATE_DEFAULT_REPLICATION");
    match (valid.replication, said) {
        (Some(copies), _) => Some(copies),
        (None, settings::Setting::Set(text)) => copies(Some(&text)),
        (None, settings::Setting::Unset | settings::Setting::Unreadable) => None,
    }
}

fn read(text: Option<&String>) -> Option<Replication> {
    text.map_or(Some(Replication::of_nodes(1)), |text| text.parse().ok())
}

/// Higher of the two; what cannot be read or is not lower stays.
fn raised(wanted: &Replication, found: Option<&String>) -> Option<String> {
    let lower = read(found).is_some_and(|found| wanted.covers(&found) && *wanted != found);
    if lower { Some(wanted.to_string()) } else { found.cloned() }
}

/// Whether a pass must ask where the nodes are.
pub(super) fn asks_places(valid: &Valid, seen: &Seen) -> bool {
    let apart = |wished: &Replication| wished.0.keys().any(|scope| *scope != Scope::Node);
    valid.wished.as_ref().is_some_and(apart) && asks_configuration(valid, seen)
}

/// Whether the nodes are there, and far enough apart.
fn allows(wanted: &Replication, valid: &Valid, seen: &Seen) -> Result<(), (Reason, String)> {
    enough_nodes(valid, seen).map_err(|why| (Reason::AwaitingNodes, why))?;
    [Scope::Region, Scope::Zone]
        .into_iter()
        .filter_map(|scope| Some((scope, *wanted.0.get(&scope)?)))
        .try_for_each(|(scope, copies)| far_enough(scope, copies, valid, seen))
        .map_err(|why| (Reason::AwaitingZones, why))
}

/// Whether every node told its place, and these are as many as there will be copies.
fn far_enough(scope: Scope, copies: u8, valid: &Valid, seen: &Seen) -> Result<(), String> {
    let members = seen.members.as_deref().unwrap_or_default();
    let nodes = (0..valid.replicas).map(|ordinal| format!("{NAME}-{ordinal}"));
    let (mut places, mut nowhere) = (BTreeSet::new(), Vec::new());
    for node in nodes {
        match members
            .iter()
            .find(|member| member.name == node && !member.lost)
            .and_then(|found| place(found, scope))
        {
            Some(place) => _ = places.insert(place),
            None => nowhere.push(node),
        }
    }
    if nowhere.is_empty() && places.len() >= usize::from(copies) {
        return Ok(());
    }
    let told =
        if places.is_empty() { "none".to_owned() } else { places.into_iter().collect::<Vec<_>>().join(", ") };
    let silent = match (nowhere.is_empty(), valid.node_location) {
        (true, _) => String::new(),
        (false, None) => format!("; {} told none (spec.cluster.nodeLocation tells them)", nowhere.join(", ")),
        (false, Some(_)) => format!("; {} told none", nowhere.join(", ")),
    };
    Err(format!("{copies} {scope}s are needed, and the nodes have {told}{silent}"))
}

/// The region or zone of a node, where it told one.
fn place(member: &Member, scope: Scope) -> Option<&str> {
    let location = member.location.as_str();
    match scope {
        Scope::Node => Some(member.name.as_str()),
        Scope::Zone => location.split_once('.').is_some_and(|(_, zone)| !zone.is_empty()).then_some(location),
        Scope::Region => location.split('.').next().filter(|region| !region.is_empty()),
    }
}

/// Whether as many nodes as there will be copies say that they belong to the cluster, and no node is silent.
fn enough_nodes(valid: &Valid, seen: &Seen) -> Result<(), String> {
    let expected = node_addresses(&valid.name, valid.replicas, &seen.operator.dns_suffix);
    let is_member = |address: &&String| {
        seen.nodes.iter().any(|node| node.address == **address && node.identity == NodeIdentity::Member)
    };
    let members = expected.iter().filter(is_member).count();
    let needed = usize::from(valid.replication.unwrap_or(1));
    if members < needed.max(expected.len()) {
        return Err(format!(
            "{members} of {} nodes belong to the cluster, and {needed} are needed",
            expected.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2", Some("{node: 2}"))]
    #[case("{node: 1}", Some("{node: 1}"))]
    #[case("{zone: 2, node: 3}", Some("{zone: 2, node: 3}"))]
    #[case("{}", None)]
    #[case("{rack: 2}", None)]
    #[case("-1", None)]
    fn replications_are_read_as_restate_writes_them(#[case] text: &str, #[case] expected: Option<&str>) {
        let parsed = text.parse::<Replication>().ok().map(|parsed| parsed.to_string());
        assert_eq!(parsed.as_deref(), expected);
    }

    #[rstest]
    #[case("3", "2", true)]
    #[case("2", "{zone: 2}", false)]
    #[case("{zone: 2}", "2", true)]
    #[case("{zone: 2, node: 3}", "3", true)]
    #[case("{zone: 2}", "3", false)]
    fn copies_far_apart_cover_copies_nearby(#[case] one: &str, #[case] other: &str, #[case] covers: bool) {
        let (one, other): (Replication, Replication) = (one.parse().unwrap(), other.parse().unwrap());
        assert_eq!(one.covers(&other), covers);
    }
}
