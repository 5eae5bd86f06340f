//! One file per virtual kind: the object and its table row.

mod cluster;
mod deployment;
mod invocations;
mod provision;
mod version;

pub use cluster::RestateClusterMirror;
pub use deployment::RestateDeploymentMirror;
pub use invocations::{HandlerInvocations, RestateDeploymentInvocations, RestateDeploymentInvocationsStatus};
pub use provision::{RestateClusterProvision, RestateClusterProvisionSpec, RestateClusterProvisionStatus};
pub use version::{
    Counts, Replicas, RestateDeploymentVersion, RestateDeploymentVersionStatus, ServedService,
};

use apiserver_kind::{Descriptor, Gvk, Resource};

/// A kind of ours.
const fn gvk(kind: &'static str) -> Gvk {
    Gvk { group: crate::GROUP, version: crate::VERSION, kind }
}

/// Everything that is served, in the order of the documentation.
pub const DESCRIPTORS: [Descriptor; 4] = [
    RestateDeploymentVersion::DESCRIPTOR,
    RestateDeploymentMirror::DESCRIPTOR,
    RestateClusterMirror::DESCRIPTOR,
    RestateClusterProvision::DESCRIPTOR,
];
