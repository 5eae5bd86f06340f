//! Snapshots of partitions, when somebody asks for one.
//!
//! Stage in the flow: under `restateclusters/snapshots`. Invariant: nothing is asked twice; a partition is asked for
//! only where the cluster's state names it.
//!
//! Facts, seen on 1.7.12:
//! - Any node with the admin role takes the request and finds a node that processes the partition, mostly its leader.
//! - The answer comes when the snapshot lies in the store: a fraction of a second for an empty partition, 4 s until a
//!   store that refuses connections is given up. Who asks again gets another snapshot, also where nothing is new.
//! - A number that the partition table does not have makes the handler panic, and the stream is reset (`CANCELLED`):
//!   that is no answer.
//! - Where nobody can make it, the code is `INTERNAL` and the words tell why: no node, no store configured on the node
//!   that was chosen, or the store's own words.
//! - The server takes no `file:` address for its snapshots: it does not start.

use std::time::Duration;

use super::{Error, Node, SNAPSHOT_DEADLINE, Snapshot, wire};

const CREATE: &str = "/restate.cluster_ctrl.ClusterCtrlSvc/CreatePartitionSnapshot";
/// What the node says that has no store for snapshots.
const NO_STORE: &str = "epository is not configured";

impl Node {
    /// Has a snapshot of a partition made, and waits this long for it. The node must have the admin role, and the
    /// cluster the partition.
    pub async fn create_snapshot_within(
        &self,
        partition: u32,
        deadline: Duration,
    ) -> Result<Snapshot, Error> {
        self.snapshot(wire::CreateSnapshot { partition, min_target_lsn: None, trim_log: false }, deadline)
            .await
    }

    /// The same, of every record up to `covers`; and trims the log to it if `trim`.
    pub async fn create_snapshot(
        &self,
        partition: u32,
        covers: Option<u64>,
        trim: bool,
    ) -> Result<Snapshot, Error> {
        let asked = wire::CreateSnapshot { partition, min_target_lsn: covers, trim_log: trim };
        self.snapshot(asked, SNAPSHOT_DEADLINE).await
    }

    async fn snapshot(&self, asked: wire::CreateSnapshot, deadline: Duration) -> Result<Snapshot, Error> {
        let wire::SnapshotMade { id, log, covers } = self.call(CREATE, asked, deadline).await?;
        if id.is_empty() {
            return Err(Error::Lacks { address: self.address.clone(), what: "the name of the snapshot" });
        }
        Ok(Snapshot { id, log, covers })
    }
}

impl Error {
    /// Whether the node refused because it has no store for snapshots.
    pub fn lacks_snapshot_store(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.message().contains(NO_STORE))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use rstest::rstest;
    use tonic::Status;

    use super::*;

    #[test]
    fn a_snapshot_has_the_field_numbers_of_the_service() {
        let asked = wire::CreateSnapshot { partition: 3, min_target_lsn: None, trim_log: false };
        assert_eq!(asked.encode_to_vec(), [8, 3]);
        // 1 name, 2 log, 3 position.
        let made = wire::SnapshotMade::decode([10, 1, b's', 16, 9, 24, 7].as_slice()).unwrap();
        assert_eq!((made.id.as_str(), made.log, made.covers), ("s", 9, 7));
    }

    #[rstest]
    #[case::said(Status::internal("… Snapshot repository is not configured for partition 0"), true)]
    #[case::another(Status::internal("Can not find a suitable node to take snapshot of partition 0"), false)]
    fn a_missing_store_is_told_from_other_refusals(#[case] status: Status, #[case] expected: bool) {
        let error = Error::Refused { address: "http://a".to_owned(), source: Box::new(status) };
        assert_eq!(error.lacks_snapshot_store(), expected, "{error}");
    }
}
