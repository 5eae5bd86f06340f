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
    /// Where it is, as region and zone; empty where nobody said.
    pub location: String,
    /// Version of the server that it ran last; empty where it never said.
    pub version: String,
}

/// State of a log server's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageState {
    /// It was lost: the node does not start until somebody decides what becomes of it.
    DataLoss,
    /// Any other, as Restate spells it.
    Other(String),
}

/// Why metadata cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another encoding than what is known here.
    #[error("the metadata has an unknown encoding")]
    Encoding,
    /// A log without a segment.
    #[error("log {log} has no segment")]
    Empty {
        /// Which.
        log: u32,
    },
    /// A segment is not described as it should be.
    #[error("a segment is not what is expected")]
    Segment {
        /// Where it differs.
        source: serde_json::Error,
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
}

#[derive(Deserialize)]
struct LogServer {
    storage_state: String,
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
    let storage = match node.log_server_config.storage_state.as_str() {
        "data-loss" => StorageState::DataLoss,
        other => StorageState::Other(other.to_owned()),
    };
    let version = node.binary_version.unwrap_or_default();
    Some(Listed { id, name: node.name, storage, location: node.location, version })
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
        let fine = StorageState::Other("read-write".to_owned());
        assert_eq!(
            members.iter().map(|member| &member.storage).collect::<Vec<_>>(),
            [&fine, &StorageState::DataLoss, &fine]
        );
        assert_eq!(members[0].version, "1.7.12");
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
