//! Steps that change the nodes of a cluster and what is on them.

/// One write of the nodes' configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeNodes {
    /// The cluster's name.
    pub cluster: String,
    /// gRPC address of the node that is asked.
    pub node: String,
    /// Version of the nodes' configuration that the decision rests on: where it is another by now, nothing is written.
    pub at: u32,
    /// What becomes of which nodes.
    pub changes: Vec<NodeChange>,
}

impl ChangeNodes {
    /// Whether any node is removed: it never comes back.
    pub fn removes(&self) -> bool {
        self.changes.iter().any(|change| change.to == Become::Removed)
    }
}

/// What becomes of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeChange {
    /// Its id.
    pub id: u32,
    /// Its name: where the id has another, nothing is written.
    pub name: String,
    /// What becomes of it.
    pub to: Become,
}

/// What becomes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Become {
    /// Its log server takes part in no new logs.
    ReadOnly,
    /// Its log server takes part in new logs.
    ReadWrite,
    /// Its worker takes no more partitions, and loses those that it has.
    Draining,
    /// Its worker takes partitions.
    Active,
    /// It is no node of the cluster any more.
    Removed,
}

/// `RemoveNode` of the metadata servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveMetadata {
    /// The cluster's name.
    pub cluster: String,
    /// gRPC address of the node that leads them.
    pub node: String,
    /// Who leaves.
    pub id: u32,
    /// When it joined: which membership ends.
    pub joined: i64,
}

/// `CreatePartitionSnapshot`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The cluster's name.
    pub cluster: String,
    /// gRPC address of the node that is asked.
    pub node: String,
    /// Which partition; the cluster has it.
    pub partition: u32,
    /// The last record that must be in it.
    pub covers: u64,
}

/// `TrimLog`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrimLog {
    /// The cluster's name.
    pub cluster: String,
    /// gRPC address of the node that is asked.
    pub node: String,
    /// Which log.
    pub log: u32,
    /// The last record that goes; a snapshot holds it.
    pub up_to: u64,
}
