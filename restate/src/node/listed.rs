//! The nodes of a cluster, from its own metadata: a codec's number, a length, then a `FlexBuffer` that says its own
//! structure. Invariant: what cannot be read is an error, never an empty list; a field that is not there is not made
//! up. (Seen on 1.7.12.)

use serde::Deserialize;

/// The nodes' configuration among the kinds of metadata.
pub(super) const KIND: i32 = 1;

/// Codec of `FlexBuffer`s.
const FLEXBUFFER: u8 = 2;

/// A node that a cluster has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: u32,
    /// Its name: the pod's.
    pub name: String,
    /// State of its log server's disk.
    pub storage: StorageState,
    /// Whether it processes partitions.
    pub worker: WorkerState,
    /// Whether it holds the cluster's metadata, as Restate spells it: `member`, `standby`, `provisioning`.
    pub metadata: String,
    /// Where it is, as region and zone; empty where nobody said.
    pub location: String,
    /// Version of the server that it ran last; empty where it never said.
    pub version: String,
}

/// State of a log server's disk. Its text is as Restate spells it.
#[derive(Clone, Debug, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum StorageState {
    /// Not in use yet: the node makes itself [`StorageState::ReadWrite`] once its disk is marked.
    Provisioning,
    /// Takes part in new and old logs.
    ReadWrite,
    /// Takes part in old logs, and is chosen for no new ones.
    ReadOnly,
    /// Lost for good with all that it held; counts as [`StorageState::ReadOnly`] else.
    Gone,
    /// It was lost: the node does not start until somebody decides what becomes of it.
    DataLoss,
    /// Holds nothing: neither read nor written.
    Disabled,
    /// Any other, as Restate spells it.
    #[strum(default, to_string = "{0}")]
    Other(String),
}

/// Whether a node processes partitions. Its text is as Restate spells it.
#[derive(Clone, Debug, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum WorkerState {
    /// Starts for the first time.
    Provisioning,
    /// Takes partitions.
    Active,
    /// Takes no more; those that it has are moved away.
    Draining,
    /// Has none.
    Disabled,
    /// Any other, as Restate spells it.
    #[strum(default, to_string = "{0}")]
    Other(String),
}

/// Why metadata cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another encoding than what is known here.
    #[error("the metadata has an unknown encoding")]
    Encoding,
    /// Not the structure that its encoding promises.
    #[error("the metadata cannot be read")]
    Structure {
        /// Where it breaks.
        source: flexbuffers::ReaderError,
    },
    /// A field is not there, or is something else.
    #[error("the metadata has no {field} as it is known here")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A node is not there, or is another one.
    #[error("the cluster has no node {node} of the name {name}")]
    NoSuchNode {
        /// Its id.
        node: u32,
        /// Its name.
        name: String,
    },
    /// Not what its encoding says.
    #[error("the metadata is not what is expected")]
    Content {
        /// Where it differs.
        source: flexbuffers::DeserializationError,
    },
}

#[derive(Deserialize)]
struct Configuration {
    nodes: Vec<(u32, Entry)>,
}

/// Nodes that were removed leave a mark, which is not ours to read.
#[derive(Deserialize)]
enum Entry {
    Node(Node),
    #[serde(other)]
    Gone,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    binary_version: Option<String>,
    log_server_config: LogServer,
    #[serde(default)]
    worker_config: Option<Worker>,
    #[serde(default)]
    metadata_server_config: Option<MetadataServer>,
}

#[derive(Deserialize)]
struct LogServer {
    storage_state: String,
}

#[derive(Deserialize)]
struct Worker {
    worker_state: String,
}

#[derive(Deserialize)]
struct MetadataServer {
    metadata_server_state: String,
}

pub(super) fn read(encoded: &[u8]) -> Result<Vec<Listed>, Error> {
    let configuration: Configuration = content(encoded)?;
    let mut members: Vec<_> =
        configuration.nodes.into_iter().filter_map(|(id, entry)| member(id, entry)).collect();
    members.sort_by_key(|member| member.id);
    Ok(members)
}

/// What metadata says, whatever it is of.
pub(super) fn content<T: for<'de> Deserialize<'de>>(encoded: &[u8]) -> Result<T, Error> {
    let [FLEXBUFFER, a, b, c, d, content @ ..] = encoded else { return Err(Error::Encoding) };
    let length = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).map_err(|_| Error::Encoding)?;
    let content = content.get(..length).ok_or(Error::Encoding)?;
    flexbuffers::from_slice(content).map_err(|source| Error::Content { source })
}

fn member(id: u32, entry: Entry) -> Option<Listed> {
    let Entry::Node(node) = entry else { return None };
    let Node { name, location, binary_version, log_server_config, worker_config, metadata_server_config } =
        node;
    let storage = log_server_config.storage_state;
    let worker = worker_config.map(|worker| worker.worker_state).unwrap_or_default();
    Some(Listed {
        id,
        name,
        storage: storage.parse().unwrap_or(StorageState::Other(storage)),
        worker: worker.parse().unwrap_or(WorkerState::Other(worker)),
        metadata: metadata_server_config.map(|server| server.metadata_server_state).unwrap_or_default(),
        location,
        version: binary_version.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three nodes of 1.7.12, one of which started with an empty disk.
    const THREE: &[u8] = include_bytes!("testdata/nodes-1.7.12.bin");

    #[test]
    fn a_node_that_lost_its_disk_is_told_from_the_others() {
        let members = read(THREE).unwrap();
        let seen: Vec<_> = members
            .iter()
            .map(|member| (member.id, member.name.as_str(), member.location.as_str()))
            .collect();
        assert_eq!(seen, [(1, "restate-0", "r1.z0"), (2, "restate-1", "r1.z1"), (3, "restate-2", "r1.z2")]);
        let fine = StorageState::ReadWrite;
        assert_eq!(
            members.iter().map(|member| &member.storage).collect::<Vec<_>>(),
            [&fine, &StorageState::DataLoss, &fine]
        );
        assert_eq!((members[0].version.as_str(), members[0].metadata.as_str()), ("1.7.12", "member"));
        assert_eq!(members[0].worker, WorkerState::Active);
    }

    #[test]
    fn states_are_spelt_as_restate_spells_them() {
        for text in ["provisioning", "read-write", "read-only", "gone", "data-loss", "disabled", "new-one"] {
            assert_eq!(text.parse::<StorageState>().unwrap().to_string(), text);
        }
        for text in ["provisioning", "active", "draining", "disabled", "new-one"] {
            assert_eq!(text.parse::<WorkerState>().unwrap().to_string(), text);
        }
        assert_eq!("new-one".parse(), Ok(StorageState::Other("new-one".to_owned())));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(matches!(read(&[]), Err(Error::Encoding)));
        assert!(matches!(read(&THREE[..100]), Err(Error::Encoding)), "cut off");
        let mut other = THREE.to_vec();
        other[0] = 3;
        assert!(matches!(read(&other), Err(Error::Encoding)), "another codec");
        let nonsense = [&[FLEXBUFFER, 4, 0, 0, 0][..], &[1, 2, 3, 4]].concat();
        assert!(read(&nonsense).is_err());
    }
}
