//! Whether a node may begin anew. Pure.
//!
//! Invariants: all guards are told, those that hold and those that do not; what is not known does not hold. They say
//! together that every record that was on the lost disk is on another disk, whose node says so itself now.

use std::collections::BTreeSet;

use restate_apiservice::RecoveryGuard;
use restate_client::node::{Held, Listed, LogChain, RoleStatus, Segment, StorageState};
use strum::{Display, EnumIter, IntoEnumIterator};

use super::seen::Seen;

/// A role, as Restate's configuration calls it.
const LOG_SERVER: &str = "log-server";
/// Copies of a record, of which one can be lost.
const COPIES: u32 = 2;
/// Logs that a refusal names.
const NAMED: usize = 3;

/// The node that somebody means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: Option<String>,
    pub(super) id: Option<u32>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every guard holds.
    May(Vec<RecoveryGuard>),
    /// It was let begin before, and has not yet.
    Begun,
    /// These guards do not hold.
    Refused(String),
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumIter)]
enum Guard {
    /// The node lost its disk, by the cluster's own word.
    DiskLost,
    /// No other node did, or may have.
    OthersHaveTheirDisks,
    /// Every other node answers now.
    OthersAnswer,
    /// No record was on the lost disk alone.
    LogsAreReplicated,
    /// Every other holder of those records has them and answers for them.
    OtherCopiesAreWhole,
    /// Logs can be written without the node.
    LogServersSuffice,
    /// Metadata can be written without the node.
    MetadataHasMajority,
}

/// The node that is meant.
pub(super) fn find<'a>(target: &Target, nodes: &'a [Listed]) -> Result<&'a Listed, String> {
    let Target { name, id } = target;
    let fits = |node: &&Listed| {
        name.as_ref().is_none_or(|name| node.name == *name) && id.is_none_or(|id| node.id == id)
    };
    nodes.iter().find(fits).ok_or_else(|| {
        let known: Vec<_> = nodes.iter().map(shown).collect();
        let meant = [name.clone(), id.map(|id| format!("N{id}"))];
        let meant: Vec<_> = meant.into_iter().flatten().collect();
        format!("the cluster has no node {}; it has {}", meant.join(" with the id "), known.join(", "))
    })
}

/// Judges by everything that was said.
pub(super) fn verdict(node: &Listed, seen: &Seen) -> Verdict {
    if node.storage == StorageState::Provisioning {
        return Verdict::Begun;
    }
    let judged: Vec<_> = Guard::iter().map(|guard| (guard, judge(guard, node, seen))).collect();
    let broken: Vec<_> = judged
        .iter()
        .filter_map(|(guard, found)| Some(format!("{guard}: {}", found.as_ref().err()?)))
        .collect();
    if !broken.is_empty() {
        return Verdict::Refused(broken.join("; "));
    }
    let guards = judged
        .into_iter()
        .filter_map(|(guard, found)| Some(RecoveryGuard { name: guard.to_string(), message: found.ok()? }));
    Verdict::May(guards.collect())
}

fn judge(guard: Guard, node: &Listed, seen: &Seen) -> Result<String, String> {
    match guard {
        Guard::DiskLost => disk_lost(node),
        Guard::OthersHaveTheirDisks => others_have_their_disks(node, seen),
        Guard::OthersAnswer => others_answer(node, seen),
        Guard::LogsAreReplicated => logs_are_replicated(node, seen),
        Guard::OtherCopiesAreWhole => other_copies_are_whole(node, seen),
        Guard::LogServersSuffice => log_servers_suffice(node, seen),
        Guard::MetadataHasMajority => metadata_has_majority(node, seen),
    }
}

fn disk_lost(node: &Listed) -> Result<String, String> {
    let said = format!("{} is in {}", shown(node), node.storage);
    if node.storage == StorageState::DataLoss { Ok(said) } else { Err(format!("{said}, not in data-loss")) }
}

fn others_have_their_disks(node: &Listed, seen: &Seen) -> Result<String, String> {
    let lacks = |other: &&Listed| match &other.storage {
        // One that is being set up may have been let begin anew a moment ago.
        StorageState::DataLoss | StorageState::Gone | StorageState::Provisioning | StorageState::Other(_) => {
            true
        }
        StorageState::ReadWrite | StorageState::ReadOnly | StorageState::Disabled => false,
    };
    let lost: Vec<_> = others(node, seen)
        .filter(lacks)
        .map(|other| format!("{} is in {}", shown(other), other.storage))
        .collect();
    unless_any(lost, || format!("{} other nodes have theirs", others(node, seen).count()))
}

fn others_answer(node: &Listed, seen: &Seen) -> Result<String, String> {
    let silent = |other: &Listed| match seen.answers.get(&other.id) {
        Some(Ok(_)) => None,
        Some(Err(why)) => Some(format!("{} is silent: {why}", shown(other))),
        None => Some(format!("{} was not asked", shown(other))),
    };
    let silent: Vec<_> = others(node, seen).filter_map(silent).collect();
    unless_any(silent, || format!("{} other nodes answer", others(node, seen).count()))
}

fn logs_are_replicated(node: &Listed, seen: &Seen) -> Result<String, String> {
    let alone = |log: &LogChain, segment: &Segment| match &segment.held {
        Held::Nobody => None,
        Held::By(nodes) if !nodes.contains(&node.id) => None,
        Held::By(_) if segment.copies.is_some_and(|copies| copies >= COPIES) => None,
        Held::By(_) => {
            let copies = segment.copies.map_or("?".to_owned(), |copies| copies.to_string());
            Some(format!(
                "log {} from {} on has {copies} copies, and {COPIES} are needed",
                log.id, segment.from
            ))
        }
        Held::Unnamed(kind) => {
            Some(format!("log {} from {} on is {kind}, on one node", log.id, segment.from))
        }
    };
    unless_any(of_segments(seen, alone), || {
        format!("{} logs, each with {COPIES} copies or more", seen.logs.logs.len())
    })
}

fn other_copies_are_whole(node: &Listed, seen: &Seen) -> Result<String, String> {
    let others_of = |segment: &Segment| -> Vec<u32> {
        match &segment.held {
            Held::By(nodes) if nodes.contains(&node.id) => {
                nodes.iter().copied().filter(|id| *id != node.id).collect()
            }
            Held::By(_) | Held::Nobody | Held::Unnamed(_) => Vec::new(),
        }
    };
    let broken = of_segments(seen, |log, segment| {
        let lacking: Vec<_> = others_of(segment).into_iter().filter(|id| !is_whole(*id, seen)).collect();
        let names = ids(&lacking);
        (!lacking.is_empty())
            .then(|| format!("log {} from {} on: {names} cannot answer for it", log.id, segment.from))
    });
    let segments = seen.logs.logs.iter().flat_map(|log| &log.segments);
    let holders: BTreeSet<u32> = segments.flat_map(others_of).collect();
    unless_any(broken, || match holders.len() {
        0 => "no log names the node".to_owned(),
        _ => format!("{} have all that it had", ids(&holders)),
    })
}

fn ids<'a>(all: impl IntoIterator<Item = &'a u32>) -> String {
    all.into_iter().map(|id| format!("N{id}")).collect::<Vec<_>>().join(", ")
}

fn log_servers_suffice(node: &Listed, seen: &Seen) -> Result<String, String> {
    let writable = others(node, seen)
        .filter(|other| other.storage == StorageState::ReadWrite && serves_logs(other.id, seen));
    let writable = writable.count();
    let newest = seen.logs.logs.iter().filter_map(|log| log.segments.last());
    let needed = newest.filter_map(|segment| segment.copies).max().unwrap_or(COPIES).max(COPIES);
    let said = format!("{writable} other log servers are read-write, and {needed} are needed");
    if u32::try_from(writable).is_ok_and(|writable| writable >= needed) { Ok(said) } else { Err(said) }
}

fn metadata_has_majority(node: &Listed, seen: &Seen) -> Result<String, String> {
    let members = &seen.metadata;
    let answers = |id: &&u32| **id != node.id && matches!(seen.answers.get(id), Some(Ok(_)));
    let answering = members.iter().filter(answers).count();
    if members.is_empty() {
        return Ok("no node holds the metadata".to_owned());
    }
    let said = format!("{answering} of {} metadata servers answer", members.len());
    if answering * 2 > members.len() { Ok(said) } else { Err(said) }
}

fn others<'a>(node: &'a Listed, seen: &'a Seen) -> impl Iterator<Item = &'a Listed> {
    seen.nodes.nodes.iter().filter(|other| other.id != node.id)
}

/// What is amiss with each segment of each log.
fn of_segments(seen: &Seen, amiss: impl Fn(&LogChain, &Segment) -> Option<String>) -> Vec<String> {
    let logs = seen.logs.logs.iter();
    logs.flat_map(|log| log.segments.iter().map(move |segment| (log, segment)))
        .filter_map(|(log, segment)| amiss(log, segment))
        .collect()
}

/// A node that has what it was given, and says now that it serves it.
fn is_whole(id: u32, seen: &Seen) -> bool {
    let listed = seen.nodes.nodes.iter().find(|node| node.id == id);
    let has_disk = listed.is_some_and(|node| match node.storage {
        StorageState::ReadWrite | StorageState::ReadOnly => true,
        StorageState::Provisioning
        | StorageState::Gone
        | StorageState::DataLoss
        | StorageState::Disabled
        | StorageState::Other(_) => false,
    });
    has_disk && serves_logs(id, seen)
}

fn serves_logs(id: u32, seen: &Seen) -> bool {
    let Some(Ok(report)) = seen.answers.get(&id) else { return false };
    report.log_server == RoleStatus::Ready && report.roles.iter().any(|role| role == LOG_SERVER)
}

fn unless_any(amiss: Vec<String>, fine: impl FnOnce() -> String) -> Result<String, String> {
    let more = amiss.len().saturating_sub(NAMED);
    let first = amiss.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    match (first.is_empty(), more) {
        (true, _) => Ok(fine()),
        (false, 0) => Err(first),
        (false, more) => Err(format!("{first}, and {more} more")),
    }
}

fn shown(node: &Listed) -> String {
    format!("N{} ({})", node.id, node.name)
}
