//! Where a cluster stands by its own word: whether it can do without one of its nodes for a moment.
//!
//! Facts, seen on 1.6.1 and 1.7.12: a node that ends hands its leaders over, and others take up its copies within
//! seconds. A pod is ready before its node follows any partition, and taking the next node away then may stop the
//! cluster. The cluster's state has a node's generation, which rises with every start; it is up to two seconds old.

use std::collections::BTreeSet;

use super::replication;

/// What the nodes say before another pod is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// Nobody could tell, or not everybody did.
    Unknown {
        /// Why, for people.
        why: String,
    },
    /// It is this.
    Known(Health),
}

/// What every node and the cluster say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What each expected node says of itself.
    pub nodes: Vec<NodeWord>,
    /// Nodes that the cluster counts as alive.
    pub alive: Vec<Incarnation>,
    /// How many partitions there are.
    pub partitions: u32,
    /// Replication of partitions, as the cluster's configuration says it.
    pub replication: Option<String>,
    /// What the nodes do for the partitions.
    pub processors: Vec<Processor>,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeWord {
    /// Its pod.
    pub pod: String,
    /// Which node it is.
    pub node: Incarnation,
    /// What it does not serve, of what it is there for.
    pub unfit: Vec<String>,
}

/// One start of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// The node's id.
    pub id: u32,
    /// How often it has started.
    pub generation: u32,
}

/// One node's part in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// The partition.
    pub partition: u32,
    /// The node.
    pub node: u32,
    /// Whether it leads.
    pub leads: bool,
    /// How far it has come.
    pub progress: Progress,
}

/// How far a node has come with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has read the log to its end.
    CaughtUp,
    /// It still reads what it has missed.
    CatchingUp,
    /// It starts, or does not say.
    Starting,
    /// It was given up until somebody mends it.
    Broken,
}

/// How many things are named before the rest is counted.
const NAMED: usize = 3;

impl Health {
    /// What must pass before a node may be taken away, in words; none where nothing must.
    pub(super) fn awaits(&self) -> Option<String> {
        if self.nodes.is_empty() || self.partitions == 0 {
            return Some("the cluster does not say what it is made of".to_owned());
        }
        let lacks: Vec<_> = self
            .nodes()
            .chain((0..self.partitions).flat_map(|partition| self.partition(partition)))
            .collect();
        let (named, rest) = lacks.split_at(lacks.len().min(NAMED));
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        (!lacks.is_empty()).then(|| format!("{}{more}", named.join(", ")))
    }

    fn nodes(&self) -> impl Iterator<Item = String> {
        self.nodes.iter().filter_map(|word| {
            if !word.unfit.is_empty() {
                return Some(format!("{} is not up yet ({})", word.pod, word.unfit.join(", ")));
            }
            let heard = self.alive.contains(&word.node);
            (!heard).then(|| format!("the cluster has not heard of {} since it started", word.pod))
        })
    }

    fn partition(&self, partition: u32) -> Vec<String> {
        let here: Vec<_> = self.processors.iter().filter(|found| found.partition == partition).collect();
        let mut lacks: Vec<_> = here.iter().filter_map(|found| found.behind()).collect();
        match here.iter().filter(|found| found.leads).count() {
            0 => lacks.push(format!("partition {partition} has no leader")),
            1 => {}
            _ => lacks.push(format!("partition {partition} changes its leader")),
        }
        let Some(copies) = replication::copies(self.replication.as_ref()) else {
            lacks.push("the replication of partitions cannot be read".to_owned());
            return lacks;
        };
        let nodes: BTreeSet<_> = here.iter().map(|found| found.node).collect();
        let wanted = usize::from(copies).min(self.nodes.len());
        if nodes.len() < wanted {
            lacks.push(format!("partition {partition} runs on {} of {wanted} nodes", nodes.len()));
        }
        lacks
    }
}

impl Processor {
    fn behind(&self) -> Option<String> {
        let Self { partition, node, leads: _, progress } = self;
        match progress {
            Progress::CaughtUp => None,
            Progress::CatchingUp => Some(format!("N{node} catches up on partition {partition}")),
            Progress::Starting => Some(format!("N{node} starts on partition {partition}")),
            Progress::Broken => Some(format!("N{node} has given up partition {partition}")),
        }
    }
}
