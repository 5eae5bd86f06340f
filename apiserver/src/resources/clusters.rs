//! `restateclusters` in our group: a thin mirror, parent of what can be asked of a cluster.

use apiserver_machinery::resource::{Call, Computed};
use apiserver_machinery::status::Status;
use restate_apiservice::RestateClusterMirror;

use super::deployments::mirrored;
use crate::world::World;

/// The mirror.
pub(crate) struct Clusters(pub(crate) World);

impl Computed for Clusters {
    type Object = RestateClusterMirror;

    async fn get(&self, call: &Call) -> Result<Option<Self::Object>, Status> {
        let found = self.0.cluster(call.name());
        Ok(found.map(|found| RestateClusterMirror { metadata: mirrored(&found.metadata) }))
    }
}
