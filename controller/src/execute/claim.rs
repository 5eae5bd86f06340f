//! The claim to provision: a compare-and-swap on the stored cluster.

use restate_crd::RestateCluster;
use restate_plan::cluster::{CLAIM, Claimed};
use restate_plan::{Claim, ObjectRef};
use serde_json::json;

use super::{Error, Executor};

impl Executor {
    /// Writes who provisions, unless anything about the cluster changed since it was seen.
    pub(super) async fn claim(&self, claim: &Claim) -> Result<(), Error> {
        let object = ObjectRef::of::<RestateCluster>(None, &claim.cluster);
        let text = Claimed::text(&claim.holder, claim.at);
        let patch = json!({"metadata": {
            "uid": claim.uid.0,
            "resourceVersion": claim.resource_version,
            "annotations": {CLAIM: text},
        }});
        self.merge(&object, &patch).await
    }
}
