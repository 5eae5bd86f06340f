//! Network policies: everything is closed, then opened one purpose at a time. On unless the spec disables them.
//!
//! A policy is named by its purpose, so that what is wanted no more can be found and removed. Policies select the
//! cluster's own pods only: other pods in a namespace that is not ours are never touched.

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{ADMIN_PORT, INGRESS_PORT, NODE_PORT, Operator, Valid, metadata};

/// Address of the node-local DNS cache, by convention.
const NODE_LOCAL_DNS: &str = "169.254.20.10/32";

/// Ranges that are not the public internet, below and above the middle of the address space.
const PRIVATE_LOW: [&str; 1] = ["10.0.0.0/8"];
const PRIVATE_HIGH: [&str; 3] = ["192.168.0.0/16", "172.16.0.0/12", "169.254.0.0/16"];

/// All names that we ever give: a policy of ours with such a name that is not wanted is removed.
pub(super) const NAMES: [&str; 7] = [
    "deny-all",
    "allow-egress-to-dns",
    "allow-restate-egress-to-public-internet",
    "allow-restate-egress",
    "allow-ingress-access",
    "allow-admin-access",
    "allow-metrics-access",
];

/// The policies that are wanted, none where they are disabled.
pub(super) fn policies(valid: &Valid, operator: &Operator) -> Vec<NetworkPolicy> {
    if valid.security.disable_network_policies == Some(true) || !operator.manages_policies {
        return Vec::new();
    }
    let peers = valid.security.network_peers.clone().unwrap_or_default();
    let node_peers = peers.of_node_port().unwrap_or_default().to_vec();
    let ours = || operator_peers(operator);
    let admin =
        if valid.security.allow_operator_access_to_admin == Some(false) { Vec::new() } else { ours() };
    let own_nodes = vec![peer(&valid.name, metadata::selector(&valid.name))];
    vec![
        deny_all(valid),
        egress(valid, NAMES[1], vec![dns()]),
        egress(valid, NAMES[2], vec![public_internet()]),
        egress(valid, NAMES[3], allowed_egress(valid)),
        ingress(valid, NAMES[4], INGRESS_PORT, peers.ingress.unwrap_or_default()),
        ingress(valid, NAMES[5], ADMIN_PORT, [peers.admin.unwrap_or_default(), admin].concat()),
        ingress(valid, NAMES[6], NODE_PORT, [node_peers, own_nodes, ours()].concat()),
    ]
}

fn deny_all(valid: &Valid) -> NetworkPolicy {
    policy(
        valid,
        NAMES[0],
        NetworkPolicySpec { policy_types: Some(types(&["Egress", "Ingress"])), ..Default::default() },
    )
}

fn policy(valid: &Valid, name: &str, spec: NetworkPolicySpec) -> NetworkPolicy {
    let spec = NetworkPolicySpec { pod_selector: Some(metadata::selector(&valid.name)), ..spec };
    NetworkPolicy { metadata: metadata::child(valid, name), spec: Some(spec) }
}

fn types(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn egress(valid: &Valid, name: &str, rules: Vec<NetworkPolicyEgressRule>) -> NetworkPolicy {
    let spec = NetworkPolicySpec {
        egress: Some(rules),
        policy_types: Some(types(&["Egress"])),
        ..Default::default()
    };
    policy(valid, name, spec)
}

/// An empty list of peers in a rule would mean everybody: without peers there is no rule.
fn ingress(valid: &Valid, name: &str, number: i32, from: Vec<NetworkPolicyPeer>) -> NetworkPolicy {
    let rule = NetworkPolicyIngressRule { from: Some(from), ports: Some(vec![port(number, "TCP")]) };
    let rules = if rule.from.as_ref().is_some_and(Vec::is_empty) { Vec::new() } else { vec![rule] };
    let spec = NetworkPolicySpec {
        ingress: Some(rules),
        policy_types: Some(types(&["Ingress"])),
        ..Default::default()
    };
    policy(valid, name, spec)
}

fn port(number: i32, protocol: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}

fn dns() -> NetworkPolicyEgressRule {
    let labels = [("k8s-app".to_owned(), "kube-dns".to_owned())].into();
    let pods = LabelSelector { match_labels: Some(labels), match_expressions: None };
    NetworkPolicyEgressRule {
        ports: Some(vec![port(53, "UDP"), port(53, "TCP")]),
        to: Some(vec![peer("kube-system", pods), block(NODE_LOCAL_DNS, &[])]),
    }
}

fn public_internet() -> NetworkPolicyEgressRule {
    let to = vec![block("0.0.0.0/1", &PRIVATE_LOW), block("128.0.0.0/1", &PRIVATE_HIGH)];
    NetworkPolicyEgressRule { ports: None, to: Some(to) }
}

/// The user's own rules, the other nodes, and whatever pods anywhere carry the label that allows it.
fn allowed_egress(valid: &Valid) -> Vec<NetworkPolicyEgressRule> {
    let own = valid.security.network_egress_rules.iter().flatten().cloned();
    let mut rules: Vec<_> =
        own.map(|rule| NetworkPolicyEgressRule { ports: rule.ports, to: rule.to }).collect();
    rules.push(NetworkPolicyEgressRule {
        ports: Some(vec![port(NODE_PORT, "TCP")]),
        to: Some(vec![peer(&valid.name, metadata::selector(&valid.name))]),
    });
    let allowed = [(restate_crd::label::allow(&valid.name), "true".to_owned())].into();
    rules.push(NetworkPolicyEgressRule {
        ports: None,
        to: Some(vec![NetworkPolicyPeer {
            namespace_selector: Some(LabelSelector::default()),
            pod_selector: Some(LabelSelector { match_labels: Some(allowed), match_expressions: None }),
            ip_block: None,
        }]),
    });
    rules
}

/// The pods of the controller and of the aggregated API.
fn operator_peers(operator: &Operator) -> Vec<NetworkPolicyPeer> {
    let pods = operator.peers.iter().map(|own| LabelSelector {
        match_labels: Some([(own.label.clone(), own.value.clone())].into()),
        match_expressions: None,
    });
    pods.map(|pods| peer(&operator.namespace, pods)).collect()
}

fn peer(namespace: &str, pods: LabelSelector) -> NetworkPolicyPeer {
    let name = [("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())].into();
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector { match_labels: Some(name), match_expressions: None }),
        pod_selector: Some(pods),
        ip_block: None,
    }
}

fn block(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
    let except = except.iter().map(|range| (*range).to_owned()).collect::<Vec<_>>();
    let block = IPBlock { cidr: cidr.to_owned(), except: (!except.is_empty()).then_some(except) };
    NetworkPolicyPeer { ip_block: Some(block), ..NetworkPolicyPeer::default() }
}
