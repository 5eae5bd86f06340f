//! The Services of a RestateDeployment: one per version, at which Restate calls it, and by option one of a fixed name
//! that leads to the version that Restate routes to.
//!
//! Stage in the flow: plan. Invariants: a version's Service always serves port 9080, whatever the port of its pods,
//! and goes with its replica set; a Service of somebody else is never taken over. Not for network policies.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use super::target::SERVICE_PORT;
use super::validate::Spec;
use super::version::Version;

/// The Service at which Restate calls `version`.
pub(super) fn version_service(spec: &Spec, version: &Version) -> Service {
    let owner = metadata::owner_of::<ReplicaSet>(&version.name, &version.uid);
    Service {
        metadata: metadata::child(spec, &version.name, owner),
        spec: Some(leading_to(version)),
        status: None,
    }
}

/// The Service of a fixed name that leads to `version`.
pub(super) fn stable_service(spec: &Spec, name: &str, version: &Version) -> Service {
    Service {
        metadata: metadata::child(spec, name, metadata::owner(spec)),
        spec: Some(leading_to(version)),
        status: None,
    }
}

fn leading_to(version: &Version) -> ServiceSpec {
    let port = ServicePort {
        name: Some("restate".to_owned()),
        port: SERVICE_PORT,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::Int(version.port)),
        ..ServicePort::default()
    };
    ServiceSpec {
        ports: Some(vec![port]),
        selector: Some(version.selector.clone()),
        type_: Some("ClusterIP".to_owned()),
        ..ServiceSpec::default()
    }
}
