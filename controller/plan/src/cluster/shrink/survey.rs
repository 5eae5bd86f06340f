//! What a cluster says of itself while it shrinks: its nodes, and everything that may still name one of them. Plain
//! data. Invariant: a survey is whole; where anything could not be told, there is none.

use std::collections::BTreeSet;

use super::super::{Configuration, NAME};

/// What was seen of where things are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Surveyed {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// Nobody could tell, or not everything.
    Unknown {
        /// Why, for people.
        why: String,
    },
    /// This, all of it asked in this pass.
    Known(Box<Survey>),
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Version of the nodes' configuration, which was read before everything else.
    pub version: u32,
    /// All nodes that the cluster has.
    pub nodes: Vec<Placed>,
    /// Ids of the nodes that live.
    pub alive: BTreeSet<u32>,
    /// All partitions.
    pub partitions: Vec<Partition>,
    /// All logs.
    pub logs: Vec<Log>,
    /// Who holds the metadata.
    pub metadata: Metadata,
    /// The cluster's configuration.
    pub configuration: Configuration,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its id.
    pub id: u32,
    /// Its name, which is the pod's.
    pub name: String,
    /// State of its log server.
    pub storage: Storage,
    /// State of its worker.
    pub worker: Worker,
    /// Where it is, as `region.zone`; empty where nobody said.
    pub location: String,
    /// Whether the nodes' configuration says that it holds metadata. The servers themselves know it a moment earlier.
    pub listed_for_metadata: bool,
}

/// State of a log server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Takes part in new and old logs.
    ReadWrite,
    /// Takes part in old logs alone.
    ReadOnly,
    /// Its disk was lost.
    Lost,
    /// Takes part in nothing new: not started yet, disabled, gone.
    Out,
    /// Not known to us.
    Unknown,
}

/// State of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// Takes partitions.
    Active,
    /// Takes no more.
    Draining,
    /// Takes none: not started yet, disabled.
    Out,
    /// Not known to us.
    Unknown,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub id: u32,
    /// Every node that processes it, will, or still runs it.
    pub nodes: BTreeSet<u32>,
    /// Whether somebody froze where it is.
    pub frozen: bool,
    /// How far the newest snapshot reaches.
    pub archived: Option<u64>,
}

/// One log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its number, which is its partition's.
    pub id: u32,
    /// Its segments, oldest first.
    pub segments: Vec<Segment>,
}

/// One segment of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The number of its first record.
    pub from: u64,
    /// The nodes that hold it; `None` where nobody names them, as with logs that live on one node.
    pub nodes: Option<BTreeSet<u32>>,
}

/// Who holds the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// No node: it lives elsewhere.
    Elsewhere,
    /// These.
    Servers {
        /// Who leads them.
        leader: Option<u32>,
        /// Each with when it joined.
        members: Vec<(u32, i64)>,
    },
}

impl Placed {
    /// The pod's ordinal; none where the name is none of ours.
    pub(super) fn ordinal(&self) -> Option<i32> {
        self.name.strip_prefix(NAME)?.strip_prefix('-')?.parse().ok()
    }

    /// `N5 (restate-4)`
    pub(super) fn title(&self) -> String {
        format!("N{} ({})", self.id, self.name)
    }
}

impl Survey {
    /// The nodes of these ordinals.
    pub(super) fn of(&self, ordinals: impl Fn(i32) -> bool) -> Vec<&Placed> {
        self.nodes.iter().filter(|node| node.ordinal().is_some_and(&ordinals)).collect()
    }

    /// Partitions that name any of these nodes.
    pub(super) fn partitions_of(&self, ids: &BTreeSet<u32>) -> Vec<&Partition> {
        self.partitions.iter().filter(|partition| !partition.nodes.is_disjoint(ids)).collect()
    }

    /// Logs of which a segment names any of these nodes, each with the first number after the last such segment;
    /// `None` where it is the segment that takes what is new.
    pub(super) fn logs_of(&self, ids: &BTreeSet<u32>) -> Vec<(&Log, Option<u64>)> {
        let is_on = |segment: &Segment| segment.nodes.as_ref().is_none_or(|nodes| !nodes.is_disjoint(ids));
        let last = |log: &Log| log.segments.iter().rposition(is_on);
        let named = self.logs.iter().filter_map(|log| Some((log, last(log)?)));
        named.map(|(log, last)| (log, log.segments.get(last + 1).map(|next| next.from))).collect()
    }

    /// Which of these hold the metadata, with when they joined.
    pub(super) fn metadata_of(&self, ids: &BTreeSet<u32>) -> Vec<(u32, i64)> {
        match &self.metadata {
            Metadata::Elsewhere => Vec::new(),
            Metadata::Servers { leader: _, members } => {
                members.iter().copied().filter(|(id, _)| ids.contains(id)).collect()
            }
        }
    }

    /// Whether every partition that there is has been told of, and its log.
    pub(super) fn is_whole(&self) -> bool {
        let numbers = || 0..self.configuration.partitions;
        let partition = |id| self.partitions.iter().any(|partition| partition.id == id);
        let log = |id| self.logs.iter().any(|log| log.id == id && !log.segments.is_empty());
        self.configuration.partitions > 0 && numbers().all(partition) && numbers().all(log)
    }
}
