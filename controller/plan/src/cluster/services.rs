//! The two services: one for clients, one headless through which the nodes find each other before they are ready.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{NAME, PEERS, Valid, metadata};

/// Where services are called.
pub const INGRESS_PORT: i32 = 8080;
/// The admin API and the web UI.
pub const ADMIN_PORT: i32 = 9070;
/// gRPC between nodes, and metrics.
pub const NODE_PORT: i32 = 5122;

/// For clients.
pub(super) fn client_service(valid: &Valid) -> Service {
    let mut metadata = metadata::child(valid, NAME);
    let own = valid.security.service_annotations.clone().unwrap_or_default();
    metadata.annotations.get_or_insert_default().extend(own);
    let ports = [("ingress", INGRESS_PORT), ("admin", ADMIN_PORT), ("metrics", NODE_PORT)];
    let spec = ServiceSpec {
        ports: Some(ports.into_iter().map(port).collect()),
        selector: Some(metadata::selector_labels(&valid.name)),
        ..ServiceSpec::default()
    };
    Service { metadata, spec: Some(spec), status: None }
}

/// For the nodes themselves.
pub(super) fn peer_service(valid: &Valid) -> Service {
    let spec = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        ports: Some(vec![port(("node", NODE_PORT))]),
        publish_not_ready_addresses: Some(true),
        selector: Some(metadata::selector_labels(&valid.name)),
        ..ServiceSpec::default()
    };
    Service { metadata: metadata::child(valid, PEERS), spec: Some(spec), status: None }
}

fn port((name, number): (&str, i32)) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::Int(number)),
        protocol: Some("TCP".to_owned()),
        app_protocol: Some("kubernetes.io/h2c".to_owned()),
        node_port: None,
    }
}
