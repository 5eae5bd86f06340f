//! Changes of a cluster's configuration. Invariant: only what the decision rested on is changed; Restate has no
//! compare-and-swap for it, so it is read once more just before.

use std::time::Duration;

use restate_crd::RestateCluster;
use restate_plan::{Configure, ObjectRef};

use super::{Error, Executor};

/// How long reading and writing may take together.
const DEADLINE: Duration = Duration::from_secs(12);

impl Executor {
    /// Writes the cluster's configuration, unless it is another by now.
    pub(super) async fn configure(&self, wanted: &Configure) -> Result<(), Error> {
        let Configure { cluster, node, found, wanted } = wanted;
        let call = async {
            let failed = |source| Error::Configure { cluster: cluster.clone(), source: Box::new(source) };
            if self.restates.configuration(node).await.map_err(failed)? != *found {
                let object = ObjectRef::of::<RestateCluster>(None, cluster);
                return Err(Error::Overtaken { object: Box::new(object) });
            }
            tracing::info!(cluster, ?wanted, "changes the cluster's configuration");
            self.restates.configure(node, wanted).await.map_err(failed)
        };
        let answer = tokio::time::timeout(DEADLINE, call).await;
        answer.map_err(|_| Error::Deadline { what: "configuring the cluster" })?
    }
}
