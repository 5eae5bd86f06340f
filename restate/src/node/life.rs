//! A node's life in its cluster: the states of its log server and its worker, its place among the metadata servers,
//! and its end.
//!
//! Stage in the flow: the controller's shrinking and recovering. Invariants: the nodes' configuration is written by
//! compare-and-swap alone, on the version that the decision rests on, and only the wanted fields differ; what cannot
//! be read is an error and nothing is written; nothing is retried.
//!
//! Facts, seen on 1.7.12:
//! - Ids are given in the order in which nodes joined, not by ordinal: a node is known by its name.
//! - Restate checks nothing of what is written here. A removed node that still runs ends itself.
//! - Only the leader of the metadata servers removes one; the member that leaves becomes a standby.
//! - A node keeps its id for ever: an entry that was removed leaves a mark, and a new disk gets a new id.

use tonic::Code;

use super::flex::{self, Value};
use super::listed::{self, Listed, StorageState, WorkerState};
use super::wire;
use super::{Error, Node, READ_DEADLINE};

/// One write of the nodes' configuration, or one change of the metadata servers. A lease must outlive this
/// (architecture, "What must never happen", 6).
pub const CHANGE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

const GET: &str = "/restate.metadata_proxy_svc.MetadataProxySvc/Get";
const PUT: &str = "/restate.metadata_proxy_svc.MetadataProxySvc/Put";
const SERVERS: &str = "/restate.metadata_server_svc.MetadataServerSvc/Status";
const LEAVE: &str = "/restate.metadata_server_svc.MetadataServerSvc/RemoveNode";

/// Where the nodes' configuration is stored.
const NODES: &str = "nodes_config";
/// What a removed node leaves.
const GONE: &str = "Tombstone";

/// The nodes' configuration as it is stored now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// Grows with every change.
    pub version: u32,
    /// The nodes, by id; those that were removed are not among them.
    pub nodes: Vec<Listed>,
}

/// One change of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its id.
    pub node: u32,
    /// Its name: where the id has another, nothing is written.
    pub name: String,
    /// What becomes of it.
    pub to: Become,
}

/// What becomes of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Become {
    /// Its log server gets this state.
    Storage(StorageState),
    /// Its worker gets this state.
    Worker(WorkerState),
    /// It is no node of the cluster any more. For ever.
    Removed,
}

/// Who holds the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataServers {
    /// Grows with every change of the members.
    pub version: u32,
    /// The id of the node that leads, where there is one.
    pub leader: Option<u32>,
    /// The members by id.
    pub members: Vec<MetadataMember>,
}

/// One that holds the cluster's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataMember {
    /// The node's id.
    pub id: u32,
    /// When it joined, in milliseconds: with the id, which membership this is.
    pub joined: i64,
}

impl Node {
    /// The nodes' configuration as the metadata servers have it.
    pub async fn nodes(&self) -> Result<Nodes, Error> {
        let stored = self.stored(NODES).await?;
        let nodes = listed::read(&stored.bytes).map_err(|source| self.unreadable(source))?;
        Ok(Nodes { version: stored.version, nodes })
    }

    /// Changes nodes, all of these at once or none. `at` is the version that the decision rests on: where the stored
    /// one is another, nothing is written ([`Error::Changed`]). Answers the new version.
    pub async fn change_nodes(&self, at: u32, changes: &[Change]) -> Result<u32, Error> {
        let stored = self.stored(NODES).await?;
        let overtaken = || Error::Changed { address: self.address.clone(), what: "nodes' configuration" };
        if stored.version != at {
            return Err(overtaken());
        }
        let (version, bytes) =
            changed(&stored.bytes, at, changes).map_err(|source| self.unreadable(source))?;
        let put = wire::Put::of(NODES, version, bytes, at);
        match self.call::<_, wire::Empty>(PUT, put, CHANGE_DEADLINE).await {
            Ok(wire::Empty {}) => Ok(version),
            Err(Error::Refused { source, .. }) if source.code() == Code::FailedPrecondition => {
                Err(overtaken())
            }
            Err(error) => Err(error),
        }
    }

    /// Who holds the metadata, by this node's word; it must be one of them.
    pub async fn metadata_servers(&self) -> Result<MetadataServers, Error> {
        let answer: wire::MetadataServers = self.call(SERVERS, wire::Empty {}, READ_DEADLINE).await?;
        let lacks = || Error::Lacks { address: self.address.clone(), what: "the metadata servers" };
        answer.into_model().ok_or_else(lacks)
    }

    /// Takes a member out of those who hold the metadata. To be sent to their leader.
    pub async fn leave_metadata(&self, member: MetadataMember) -> Result<(), Error> {
        let leave = wire::Leave { node: member.id, joined: Some(member.joined) };
        let wire::Empty {} = self.call(LEAVE, leave, CHANGE_DEADLINE).await?;
        Ok(())
    }

    /// A value of the metadata store.
    pub(super) async fn stored(&self, key: &str) -> Result<Stored, Error> {
        let key = wire::Key { key: key.to_owned() };
        let answer: wire::Stored = self.call(GET, key, READ_DEADLINE).await?;
        let lacks = || Error::Lacks { address: self.address.clone(), what: "the stored value" };
        answer.into_model().ok_or_else(lacks)
    }

    pub(super) fn unreadable(&self, source: listed::Error) -> Error {
        Error::Unreadable { address: self.address.clone(), source: Box::new(source) }
    }
}

/// A value of the metadata store with its version.
pub(super) struct Stored {
    pub(super) version: u32,
    pub(super) bytes: Vec<u8>,
}

/// The nodes' configuration with these changes, and its version.
fn changed(encoded: &[u8], at: u32, changes: &[Change]) -> Result<(u32, Vec<u8>), listed::Error> {
    let mut configuration = flex::decode(encoded)?;
    let version = configuration.get_mut("version")?;
    if version.id("version")? != at {
        return Err(listed::Error::Missing { field: "version" });
    }
    let next = at.checked_add(1).ok_or(listed::Error::Missing { field: "version" })?;
    *version = Value::UInt(next.into());
    for change in changes {
        apply(&mut configuration, change)?;
    }
    Ok((next, flex::encode(&configuration)?))
}

fn apply(configuration: &mut Value, change: &Change) -> Result<(), listed::Error> {
    let Change { node, name, to } = change;
    let entry = entry(configuration.get_mut("nodes")?, *node, name)?;
    match to {
        Become::Storage(state) => {
            set(entry.get_mut("Node")?.get_mut("log_server_config")?, "storage_state", &state.to_string())
        }
        Become::Worker(state) => {
            set(entry.get_mut("Node")?.get_mut("worker_config")?, "worker_state", &state.to_string())
        }
        Become::Removed => {
            *entry = Value::Text(GONE.to_owned());
            forget_name(configuration.get_mut("name_lookup")?, *node, name)
        }
    }
}

/// The entry of the node with this id and this name.
fn entry<'a>(nodes: &'a mut Value, node: u32, name: &str) -> Result<&'a mut Value, listed::Error> {
    let Value::List(nodes) = nodes else { return Err(listed::Error::Missing { field: "nodes" }) };
    let is_it = |pair: &Value| -> bool {
        let Ok([id, entry]) = pair.list("nodes").and_then(two) else { return false };
        let found = entry.get("Node").and_then(|entry| entry.get("name")?.text("name"));
        id.id("node").ok() == Some(node) && found.ok() == Some(name)
    };
    let pair = nodes.iter_mut().find(|pair| is_it(pair));
    match pair {
        Some(Value::List(pair)) => pair.get_mut(1).ok_or(listed::Error::Missing { field: "nodes" }),
        _ => Err(listed::Error::NoSuchNode { node, name: name.to_owned() }),
    }
}

pub(super) fn two(pair: &[Value]) -> Result<&[Value; 2], listed::Error> {
    pair.try_into().map_err(|_| listed::Error::Missing { field: "a pair" })
}

/// Sets a text that is there already.
fn set(fields: &mut Value, key: &'static str, to: &str) -> Result<(), listed::Error> {
    match fields.get_mut(key)? {
        Value::Text(text) => {
            to.clone_into(text);
            Ok(())
        }
        _ => Err(listed::Error::Missing { field: key }),
    }
}

/// The name is free again.
fn forget_name(names: &mut Value, node: u32, name: &str) -> Result<(), listed::Error> {
    let Value::Map(names) = names else { return Err(listed::Error::Missing { field: "name_lookup" }) };
    match names.remove(name).map(|id| id.id("name_lookup")) {
        Some(Ok(id)) if id == node => Ok(()),
        _ => Err(listed::Error::NoSuchNode { node, name: name.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use rstest::rstest;

    use super::*;

    /// Five nodes of 1.7.12 in their first minute, version 20.
    const FIVE: &[u8] = include_bytes!("testdata/nodes-five-1.7.12.bin");
    /// The same after two were drained and N5 was removed by Restate's own tool, version 24.
    const REMOVED: &[u8] = include_bytes!("testdata/nodes-removed-1.7.12.bin");

    fn change(node: u32, name: &str, to: Become) -> Change {
        Change { node, name: name.to_owned(), to }
    }

    fn fields(value: &Value) -> Value {
        let Value::Map(mut fields) = value.clone() else { panic!("{value:?}") };
        fields.remove("version");
        fields.remove("modified_at");
        if let Some(Value::List(nodes)) = fields.get_mut("nodes") {
            nodes.sort_by_key(|pair| pair.list("").unwrap()[0].id("").unwrap());
        }
        Value::Map(fields)
    }

    /// What we write is what Restate's own tool wrote for the same changes, but for the stamp.
    #[test]
    fn changes_are_those_that_restate_itself_writes() {
        let changes = [
            change(4, "restate-4", Become::Storage(StorageState::ReadOnly)),
            change(5, "restate-3", Become::Storage(StorageState::ReadOnly)),
            change(4, "restate-4", Become::Worker(WorkerState::Draining)),
            change(5, "restate-3", Become::Worker(WorkerState::Draining)),
        ];
        let (version, drained) = changed(FIVE, 20, &changes).unwrap();
        assert_eq!(version, 21);
        let listed = listed::read(&drained).unwrap();
        let states = |id: usize| (listed[id].storage.clone(), listed[id].worker.clone());
        assert_eq!(states(0), (StorageState::ReadWrite, WorkerState::Active));
        assert_eq!(states(4), (StorageState::ReadOnly, WorkerState::Draining));
        let (version, removed) = changed(&drained, 21, &[change(5, "restate-3", Become::Removed)]).unwrap();
        assert_eq!((version, listed::read(&removed).unwrap().len()), (22, 4));
        let (ours, theirs) = (flex::decode(&removed).unwrap(), flex::decode(REMOVED).unwrap());
        let as_left = |value: &Value| {
            let mut value = fields(value);
            // Its metadata server left in between.
            let entry = entry(value.get_mut("nodes").unwrap(), 4, "restate-4").unwrap();
            let Value::Map(node) = entry.get_mut("Node").unwrap() else { panic!() };
            node.remove("metadata_server_config");
            value
        };
        assert_eq!(as_left(&ours), as_left(&theirs));
    }

    /// Only the wanted field and the version differ.
    #[test]
    fn everything_else_stays_as_it_was_written() {
        let (_, written) =
            changed(FIVE, 20, &[change(2, "restate-2", Become::Storage(StorageState::Gone))]).unwrap();
        let mut expected = flex::decode(FIVE).unwrap();
        *expected.get_mut("version").unwrap() = Value::UInt(21);
        let node = entry(expected.get_mut("nodes").unwrap(), 2, "restate-2").unwrap();
        let state = node.get_mut("Node").unwrap().get_mut("log_server_config").unwrap();
        *state.get_mut("storage_state").unwrap() = Value::Text("gone".to_owned());
        assert_eq!(flex::decode(&written).unwrap(), expected);
    }

    #[rstest]
    #[case::another_version(21, change(5, "restate-3", Become::Removed))]
    #[case::another_name(20, change(5, "restate-4", Become::Removed))]
    #[case::no_such_id(20, change(6, "restate-3", Become::Removed))]
    fn what_is_not_as_was_decided_is_not_written(#[case] at: u32, #[case] wanted: Change) {
        assert!(changed(FIVE, at, &[wanted]).is_err());
    }

    #[test]
    fn a_node_that_was_removed_is_not_touched_again() {
        for to in [Become::Removed, Become::Worker(WorkerState::Active)] {
            let again = changed(REMOVED, 24, &[change(5, "restate-3", to)]);
            assert!(matches!(again, Err(listed::Error::NoSuchNode { node: 5, .. })), "{again:?}");
        }
    }

    #[test]
    fn the_metadata_servers_are_told_with_their_leader() {
        let bytes: &[u8] = include_bytes!("testdata/metadata-servers-1.7.12.bin");
        let servers = wire::MetadataServers::decode(bytes).unwrap().into_model().unwrap();
        assert_eq!((servers.version, servers.leader, servers.members.len()), (5, Some(1), 5));
        assert!(servers.members.iter().all(|member| member.joined > 1_700_000_000_000));
        // A standby knows none.
        let standby = wire::MetadataServers::decode([8, 4].as_slice()).unwrap();
        assert_eq!(standby.into_model(), None);
    }
}
