//! Provisioning, after the claim. Invariant: never sent again by itself, and never where a node belongs to a
//! cluster already.

use std::time::Duration;

use restate_plan::Provision;
use restate_plan::cluster::NodeIdentity;

use super::{Error, Executor};

/// How long the call and the last look at the nodes may take together. Shorter than what a claim lasts.
pub(super) const DEADLINE: Duration = Duration::from_secs(12);

impl Executor {
    /// Provisions a cluster on node 0. That it is provisioned already is what was wanted.
    pub(super) async fn provision(&self, wanted: &Provision) -> Result<(), Error> {
        let call = async {
            // Between the plan and the claim somebody may have done it by hand.
            for node in self.restates.identities(&wanted.expected).await {
                match node.identity {
                    NodeIdentity::Blank => {}
                    NodeIdentity::Member => return Ok(()),
                    NodeIdentity::Silent { why } => return Err(Error::Silent { node: node.address, why }),
                }
            }
            tracing::info!(cluster = wanted.cluster, node = wanted.node, "provisions the cluster");
            let answer = self.restates.provision(wanted).await;
            let failed =
                |source| Error::Provision { cluster: wanted.cluster.clone(), source: Box::new(source) };
            answer.map_err(failed)
        };
        let answer = tokio::time::timeout(DEADLINE, call).await;
        answer.map_err(|_| Error::Deadline { what: "provisioning" })?
    }
}
