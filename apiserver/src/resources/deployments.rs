//! `restatedeployments` in our group: a thin mirror, and its versions.

use apiserver_machinery::resource::{Call, Computed, Given, ReadableSubresource};
use apiserver_machinery::status::Status;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use restate_apiservice::{RestateDeploymentMirror, RestateDeploymentVersion};

use super::versions::Versions;
use crate::restates::Restates;
use crate::world::World;

/// The mirror.
pub(crate) struct Deployments(pub(crate) World);

impl Computed for Deployments {
    type Object = RestateDeploymentMirror;

    async fn get(&self, call: &Call) -> Result<Option<Self::Object>, Status> {
        let found = self.0.deployment(call.namespace().unwrap_or_default(), call.name());
        Ok(found.map(|found| RestateDeploymentMirror { metadata: mirrored(&found.metadata) }))
    }
}

/// What a mirror shows of the stored object's metadata: who it is, not what others keep on it.
pub(crate) fn mirrored(stored: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: stored.name.clone(),
        namespace: stored.namespace.clone(),
        uid: stored.uid.clone(),
        labels: stored.labels.clone(),
        creation_timestamp: stored.creation_timestamp.clone(),
        deletion_timestamp: stored.deletion_timestamp.clone(),
        ..ObjectMeta::default()
    }
}

/// `restatedeployments/versions`.
pub(crate) struct VersionsOf {
    pub(crate) world: World,
    pub(crate) restates: Restates,
    pub(crate) versions: Versions,
}

impl ReadableSubresource for VersionsOf {
    type Object = RestateDeploymentVersion;

    async fn get(&self, call: &Call) -> Result<Given<Self::Object>, Status> {
        let found = self.world.deployment(call.namespace().unwrap_or_default(), call.name());
        let parent = found.ok_or_else(|| call.not_found())?;
        if let Some(admin) = self.world.admin(&parent) {
            self.restates.recent(std::slice::from_ref(&admin)).await;
            if let Some(warning) = self.restates.warning_of(&admin) {
                call.warnings.add(warning);
            }
        }
        Ok(Given::Many(self.versions.of(&parent, Timestamp::now())))
    }
}
