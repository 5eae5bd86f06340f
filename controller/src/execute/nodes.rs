//! Changes of a cluster's nodes: their states, their entries, who holds metadata; snapshots and trimmed logs.
//! Invariant: what the decision rested on is compared by Restate or by the call itself; nothing is sent twice.

use std::time::Duration;

use restate_crd::RestateCluster;
use restate_plan::{ChangeNodes, LeaveMetadata, ObjectRef, Snapshot, TrimLog};

use super::{Error, Executor};
use crate::restates;

/// How long reading and writing may take together.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

impl Executor {
    /// Writes the nodes' configuration, unless it is another by now.
    pub(super) async fn change_nodes(&self, change: &ChangeNodes) -> Result<(), Error> {
        tracing::info!(cluster = change.cluster, at = change.at, changes = ?change.changes, "changes nodes");
        of_nodes("change the nodes", &change.cluster, self.restates.change_nodes(change)).await
    }

    /// Takes a node out of those that hold metadata.
    pub(super) async fn leave_metadata(&self, leave: &LeaveMetadata) -> Result<(), Error> {
        tracing::info!(cluster = leave.cluster, node = leave.id, "takes a node out of the metadata servers");
        of_nodes("change the metadata servers", &leave.cluster, self.restates.leave_metadata(leave)).await
    }

    /// Lets a node hold metadata again.
    pub(super) async fn join_metadata(&self, cluster: &str, node: &str) -> Result<(), Error> {
        of_nodes("change the metadata servers", cluster, self.restates.join_metadata(node)).await
    }

    /// Makes a snapshot. One that takes longer goes on without us.
    pub(super) async fn snapshot(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let call = self.restates.make_snapshot(snapshot);
        let failed = |source| failed("make a snapshot", &snapshot.cluster, source);
        call.await.map_err(failed)
    }

    /// Trims a log to a snapshot.
    pub(super) async fn trim_log(&self, trim: &TrimLog) -> Result<(), Error> {
        of_nodes("trim a log", &trim.cluster, self.restates.trim_log(trim)).await
    }
}

async fn of_nodes<F>(verb: &'static str, cluster: &str, call: F) -> Result<(), Error>
where
    F: Future<Output = Result<(), restates::Error>>,
{
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(answer) => answer.map_err(|source| failed(verb, cluster, source)),
        Err(_) => Err(Error::Deadline { what: verb }),
    }
}

fn failed(verb: &'static str, cluster: &str, source: restates::Error) -> Error {
    if source.is_overtaken() {
        let object = ObjectRef::of::<RestateCluster>(None, cluster);
        return Error::Overtaken { object: Box::new(object) };
    }
    Error::Nodes { verb, cluster: cluster.to_owned(), source: Box::new(source) }
}
