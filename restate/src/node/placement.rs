//! Where a cluster's logs and partitions live, and how that changes: snapshots and trimming.
//!
//! Stage in the flow: the controller's shrinking asks whether anything still names a node. Invariants: answers come
//! from the metadata servers, not from one node's memory; what cannot be read is an error, never "nowhere".
//!
//! Facts, seen on 1.7.12:
//! - Partitions have the numbers 0 to n-1, and the log of a partition has its number.
//! - A log's segments name the nodes that hold them. A node that is read-only is replaced in the newest segment within
//!   seconds; the older segments go once the log is trimmed to where they end.
//! - Trimming does not always take the old segments along at once; asked again it does.
//! - A snapshot of a partition that does not exist ends the server's call without an answer: only numbers that the
//!   cluster has may be asked for.
//! - Without a destination for snapshots, making one is refused.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::flex::{self, Value};
use super::life::two;
use super::{Error, Node, READ_DEADLINE, listed, wire};

/// A snapshot of a large partition takes minutes; Restate goes on when nobody waits any more.
pub const SNAPSHOT_DEADLINE: std::time::Duration = std::time::Duration::from_secs(15);

const TRIM: &str = "/restate.cluster_ctrl.ClusterCtrlSvc/TrimLog";

/// Where the logs are stored in the metadata.
const LOGS: &str = "bifrost_config";
/// Where one partition's replicas are.
const REPLICAS: &str = "pp_epoch_";

/// All logs as they are stored now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// Grows with every change.
    pub version: u32,
    /// The logs, by number.
    pub logs: Vec<LogChain>,
}

/// One log, from its oldest segment that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChain {
    /// Its number, which is its partition's.
    pub id: u32,
    /// Its segments, oldest first; the last takes what is new.
    pub segments: Vec<Segment>,
}

/// One segment of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The number of its first record.
    pub from: u64,
    /// Who holds it.
    pub held: Held,
    /// On how many of these nodes each record surely is. Absent where Restate does not say.
    pub copies: Option<u32>,
    /// How it is replicated, as `{zone: 2}`. Absent where Restate does not say.
    pub replication: Option<String>,
}

/// Who holds a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// These nodes.
    By(Vec<u32>),
    /// Nobody: it marks an end.
    Nobody,
    /// The node that wrote it alone, which nobody names; or a kind that is not known to us, as Restate spells it.
    Unnamed(String),
}

/// Who processes one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// The partition.
    pub partition: u32,
    /// The nodes that do.
    pub current: Vec<u32>,
    /// The nodes that will, where that is under way.
    pub next: Option<Vec<u32>>,
    /// Whether somebody froze where it is, so that it is not moved.
    pub frozen: bool,
}

/// A snapshot that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// The log that it stands for.
    pub log: u32,
    /// Every record up to this one is in it.
    pub covers: u64,
}

#[derive(Deserialize)]
struct Params {
    nodeset: Vec<u32>,
    /// A number for each kind of place, as nodes and zones.
    #[serde(default)]
    replication: BTreeMap<String, u32>,
}

impl Node {
    /// All logs and who holds them.
    pub async fn logs(&self) -> Result<Logs, Error> {
        let stored = self.stored(LOGS).await?;
        let logs = logs(&stored.bytes).map_err(|source| self.unreadable(source))?;
        Ok(Logs { version: stored.version, logs })
    }

    /// Who processes a partition.
    pub async fn replicas(&self, partition: u32) -> Result<Replicas, Error> {
        let stored = self.stored(&format!("{REPLICAS}{partition}")).await?;
        replicas(partition, &stored.bytes).map_err(|source| self.unreadable(source))
    }

    /// Forgets a log's records up to this one. They must be in a snapshot. The node must have the admin role.
    pub async fn trim_log(&self, log: u32, up_to: u64) -> Result<(), Error> {
        let wire::Empty {} = self.call(TRIM, wire::Trim { log, up_to }, READ_DEADLINE).await?;
        Ok(())
    }
}

fn logs(encoded: &[u8]) -> Result<Vec<LogChain>, listed::Error> {
    let content = flex::decode(encoded)?;
    let logs = content.get("logs")?.list("logs")?.iter().map(|pair| {
        let [id, chain] = two(pair.list("logs")?)?;
        let segments = chain.get("chain")?.list("chain")?.iter().map(segment);
        let mut segments = segments.collect::<Result<Vec<_>, _>>()?;
        segments.sort_by_key(|segment| segment.from);
        Ok(LogChain { id: id.id("log")?, segments })
    });
    let mut logs = logs.collect::<Result<Vec<_>, listed::Error>>()?;
    logs.sort_by_key(|log| log.id);
    Ok(logs)
}

fn segment(pair: &Value) -> Result<Segment, listed::Error> {
    let [from, config] = two(pair.list("chain")?)?;
    let (held, replication) = match config.get("kind")?.text("kind")? {
        "replicated" => {
            let params = config.get("params")?.text("params")?;
            let unread = |_| listed::Error::Missing { field: "nodeset" };
            let Params { nodeset, replication } = serde_json::from_str(params).map_err(unread)?;
            (Held::By(nodeset), replication)
        }
        "sealed" => (Held::Nobody, BTreeMap::new()),
        other => (Held::Unnamed(other.to_owned()), BTreeMap::new()),
    };
    let pairs: Vec<_> = replication.iter().map(|(scope, copies)| format!("{scope}: {copies}")).collect();
    let text = (!pairs.is_empty()).then(|| format!("{{{}}}", pairs.join(", ")));
    let copies = replication.into_values().max();
    Ok(Segment { from: from.number("from")?, held, copies, replication: text })
}

fn replicas(partition: u32, encoded: &[u8]) -> Result<Replicas, listed::Error> {
    let content = flex::decode(encoded)?;
    let nodes = |configuration: &Value| {
        let set = configuration.get("replica_set")?.list("replica_set")?;
        set.iter().map(|id| id.id("replica_set")).collect::<Result<Vec<_>, listed::Error>>()
    };
    let next = match content.get("next")? {
        Value::Null => None,
        next => Some(nodes(next)?),
    };
    let policy = content.get("placement_policy").and_then(|policy| policy.get("freeze"));
    Ok(Replicas {
        partition,
        current: nodes(content.get("current")?)?,
        next,
        frozen: policy.is_ok_and(|freeze| *freeze != Value::Null),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four logs of five nodes, one of them in two segments.
    const LOGS: &[u8] = include_bytes!("testdata/logs-1.7.12.bin");

    #[test]
    fn logs_name_the_nodes_that_hold_each_segment() {
        let logs = logs(LOGS).unwrap();
        assert_eq!(logs.iter().map(|log| log.id).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let first = |log: &LogChain| log.segments[0].held.clone();
        let expected = [[4, 3, 1], [4, 5, 1], [4, 3, 2], [4, 1, 2]].map(|nodes| Held::By(nodes.to_vec()));
        assert_eq!(logs.iter().map(first).collect::<Vec<_>>(), expected);
        assert!(logs.iter().all(|log| log.segments[0].from == 1));
        assert!(logs.iter().all(|log| log.segments[0].copies == Some(2)));
    }

    /// Four logs of 1.7.12, a moment after their replication became three.
    #[test]
    fn each_log_tells_how_it_is_written_now() {
        let logs = logs(include_bytes!("testdata/raised-logs-1.7.12.bin")).unwrap();
        let newest = |log: &LogChain| log.segments.last().unwrap().replication.clone().unwrap();
        let seen: Vec<_> = logs.iter().map(|log| (log.id, log.segments.len(), newest(log))).collect();
        let [two, three] = ["{zone: 2}", "{node: 3}"].map(str::to_owned);
        assert_eq!(seen, [(0, 2, two.clone()), (1, 2, two.clone()), (2, 3, three), (3, 2, two)]);
    }

    #[test]
    fn a_partition_names_its_replicas() {
        let read = replicas(0, include_bytes!("testdata/replicas-1.7.12.bin")).unwrap();
        assert_eq!((read.partition, read.next, read.frozen), (0, None, false));
        assert!(read.current.contains(&4), "{:?}", read.current);
    }

    /// A kind that we do not know is held by somebody whom we do not know.
    #[test]
    fn what_nobody_names_is_said_so() {
        let config = |kind: &str| {
            let fields = [("kind", kind), ("params", "{}")];
            let fields = fields.map(|(key, text)| (key.to_owned(), Value::Text(text.to_owned())));
            Value::List(vec![Value::UInt(7), Value::Map(fields.into())])
        };
        let held = |kind| segment(&config(kind)).map(|segment| segment.held);
        assert_eq!(held("sealed").unwrap(), Held::Nobody);
        assert_eq!(held("local").unwrap(), Held::Unnamed("local".to_owned()));
        assert_eq!(held("new").unwrap(), Held::Unnamed("new".to_owned()));
        assert!(held("replicated").is_err(), "a nodeset that cannot be read is no empty one");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(logs(&LOGS[..90]).is_err() && logs(&[]).is_err());
        assert!(replicas(0, LOGS).is_err(), "another kind of metadata");
    }
}
