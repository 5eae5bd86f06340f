//! Policies evaluated against pods, by Kubernetes' rules: a pod that no policy selects is open; of those that select
//! it one rule must let the traffic pass, on either side. (The lab has no engine that enforces policies.)

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::*;

/// An end of a connection: a pod, or an address outside of the cluster.
#[derive(Clone, Debug)]
struct End {
    pod: Option<(&'static str, BTreeMap<String, String>)>,
    address: Ipv4Addr,
}

#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

fn pod(namespace: &'static str, labels: &[(&str, &str)]) -> End {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    End { pod: Some((namespace, labels)), address: Ipv4Addr::new(10, 244, 0, 9) }
}

fn node() -> End {
    pod("rich", &[("app.kubernetes.io/name", "restate"), ("app.kubernetes.io/instance", "rich")])
}

fn outside(address: &str) -> End {
    End { pod: None, address: address.parse().unwrap() }
}

fn selects(selector: Option<&LabelSelector>, labels: &BTreeMap<String, String>) -> bool {
    let Some(selector) = selector else { return true };
    assert!(selector.match_expressions.as_ref().is_none_or(Vec::is_empty), "none of ours has expressions");
    selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
}

fn in_range(address: Ipv4Addr, range: &str) -> bool {
    let (base, bits) = range.split_once('/').unwrap();
    let (base, bits): (Ipv4Addr, u32) = (base.parse().unwrap(), bits.parse().unwrap());
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    u32::from(base) & mask == u32::from(address) & mask
}

fn in_block(block: &IPBlock, address: Ipv4Addr) -> bool {
    in_range(address, &block.cidr) && !block.except.iter().flatten().any(|range| in_range(address, range))
}

/// A peer without a namespace selector means the policy's own namespace.
fn is_peer(peer: &NetworkPolicyPeer, end: &End) -> bool {
    if let Some(block) = &peer.ip_block {
        return in_block(block, end.address);
    }
    let Some((namespace, labels)) = &end.pod else { return false };
    let of_namespace = match &peer.namespace_selector {
        None => *namespace == "rich",
        selector => {
            let name = [("kubernetes.io/metadata.name".to_owned(), (*namespace).to_owned())].into();
            selects(selector.as_ref(), &name)
        }
    };
    of_namespace && selects(peer.pod_selector.as_ref(), labels)
}

fn is_port(ports: Option<&Vec<NetworkPolicyPort>>, wanted: (i32, &str)) -> bool {
    ports.is_none_or(|ports| {
        ports.is_empty()
            || ports.iter().any(|port| {
                port.protocol.as_deref().unwrap_or("TCP") == wanted.1
                    && match &port.port {
                        None => true,
                        Some(IntOrString::Int(number)) => *number == wanted.0,
                        // Of the other end's container; the services of these tests call 443 so.
                        Some(IntOrString::String(name)) => name == "https" && wanted.0 == 443,
                    }
            })
    })
}

/// Whether `policies` let the node talk to `other` on this port.
fn passes(policies: &[NetworkPolicy], way: Way, subject: &End, other: &End, port: (i32, &str)) -> bool {
    let (namespace, labels) = subject.pod.as_ref().unwrap();
    let word = match way {
        Way::In => "Ingress",
        Way::Out => "Egress",
    };
    let selecting: Vec<_> = policies
        .iter()
        .filter(|policy| policy.metadata.namespace.as_deref() == Some(*namespace))
        .filter_map(|policy| policy.spec.as_ref())
        .filter(|spec| selects(spec.pod_selector.as_ref(), labels))
        .filter(|spec| spec.policy_types.iter().flatten().any(|kind| kind == word))
        .collect();
    let anybody = |peers: Option<&Vec<NetworkPolicyPeer>>| {
        peers.is_none_or(|peers| peers.is_empty() || peers.iter().any(|peer| is_peer(peer, other)))
    };
    selecting.is_empty()
        || selecting.iter().any(|spec| match way {
            Way::In => spec
                .ingress
                .iter()
                .flatten()
                .any(|rule| anybody(rule.from.as_ref()) && is_port(rule.ports.as_ref(), port)),
            Way::Out => spec
                .egress
                .iter()
                .flatten()
                .any(|rule| anybody(rule.to.as_ref()) && is_port(rule.ports.as_ref(), port)),
        })
}

fn policies_with(security: Value) -> Vec<NetworkPolicy> {
    let mut object = json!(fresh(RICH));
    object["spec"]["security"] = security;
    let object: RestateCluster = serde_json::from_value(object).unwrap();
    super::super::policies::policies(&validate(&object).unwrap(), &operator())
}

/// README, network isolation; users.md §1c (admin closed to all but the operator), §2a 0.5.1, 1.7.1, 1.9.0.
#[rstest]
#[case::stranger_ingress(pod("shop", &[]), 8080, false)]
#[case::stranger_admin(pod("shop", &[]), 9070, false)]
#[case::stranger_node(pod("shop", &[]), 5122, false)]
#[case::operator_admin(pod("restate-operator", &[("app", "restate-operator")]), 9070, true)]
#[case::operator_node(pod("restate-operator", &[("app", "restate-operator")]), 5122, true)]
#[case::operator_ingress(pod("restate-operator", &[("app", "restate-operator")]), 8080, false)]
#[case::neighbour_of_the_operator(pod("restate-operator", &[("app", "other")]), 9070, false)]
#[case::claims_to_be_the_operator(pod("shop", &[("app", "restate-operator")]), 9070, false)]
#[case::other_node(node(), 5122, true)]
#[case::other_node_admin(node(), 9070, false)]
#[case::node_of_another_cluster(
    pod("other", &[("app.kubernetes.io/name", "restate"), ("app.kubernetes.io/instance", "rich")]), 5122, false
)]
#[case::neighbour_in_the_namespace(pod("rich", &[("app", "mine")]), 5122, false)]
#[case::internet(outside("8.8.8.8"), 8080, false)]
fn who_gets_in_unless_more_is_said(#[case] from: End, #[case] port: i32, #[case] passes: bool) {
    assert_eq!(self::passes(&policies_with(json!({})), Way::In, &node(), &from, (port, "TCP")), passes);
}

/// README: peers open one port each; users.md §2a 1.7.2 (op#28): peers stand beside the operator's.
#[rstest]
#[case::ingress("ingress", 8080)]
#[case::admin("admin", 9070)]
#[case::node("node", 5122)]
#[case::metrics("metrics", 5122)]
fn a_peer_opens_its_port_alone(#[case] kind: &str, #[case] opened: i32) {
    let peer = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}});
    let policies = policies_with(json!({"networkPeers": {kind: [peer]}}));
    for port in [8080, 9070, 5122] {
        let gets_in = passes(&policies, Way::In, &node(), &pod("shop", &[]), (port, "TCP"));
        assert_eq!(gets_in, port == opened, "{port}");
    }
    let operator = pod("restate-operator", &[("app", "restate-operator")]);
    assert!(passes(&policies, Way::In, &node(), &operator, (9070, "TCP")));
}

/// README: `allowOperatorAccessToAdmin`; what provisions still reaches the node port.
#[test]
fn the_operator_is_kept_from_the_admin_port_by_a_word() {
    let policies = policies_with(json!({"allowOperatorAccessToAdmin": false}));
    let operator = pod("restate-operator", &[("app", "restate-operator")]);
    assert!(!passes(&policies, Way::In, &node(), &operator, (9070, "TCP")));
    assert!(passes(&policies, Way::In, &node(), &operator, (5122, "TCP")));
}

/// README, egress; users.md §2a 0.2.4 (172.16/12 as a whole), op#54 (node-local DNS).
#[rstest]
#[case::other_node(node(), (5122, "TCP"), true)]
#[case::other_node_elsewhere(node(), (9070, "TCP"), false)]
#[case::dns(pod("kube-system", &[("k8s-app", "kube-dns")]), (53, "UDP"), true)]
#[case::dns_tcp(pod("kube-system", &[("k8s-app", "kube-dns")]), (53, "TCP"), true)]
#[case::dns_other_port(pod("kube-system", &[("k8s-app", "kube-dns")]), (9153, "TCP"), false)]
#[case::local_dns(outside("169.254.20.10"), (53, "UDP"), true)]
#[case::metadata_service(outside("169.254.169.254"), (80, "TCP"), false)]
#[case::service(pod("shop", &[("allow.restate.dev/rich", "true")]), (9080, "TCP"), true)]
#[case::service_of_another_cluster(pod("shop", &[("allow.restate.dev/other", "true")]), (9080, "TCP"), false)]
#[case::stranger(pod("shop", &[]), (9080, "TCP"), false)]
#[case::internet_low(outside("8.8.8.8"), (443, "TCP"), true)]
#[case::internet_high(outside("203.0.113.7"), (443, "TCP"), true)]
#[case::ten(outside("10.96.0.1"), (443, "TCP"), false)]
#[case::one_seven_two_first(outside("172.16.0.1"), (443, "TCP"), false)]
#[case::one_seven_two_last(outside("172.31.255.254"), (443, "TCP"), false)]
#[case::one_seven_two_beyond(outside("172.32.0.1"), (443, "TCP"), true)]
#[case::one_nine_two(outside("192.168.1.1"), (443, "TCP"), false)]
fn where_nodes_get_to_unless_more_is_said(#[case] to: End, #[case] port: (i32, &str), #[case] passes: bool) {
    assert_eq!(self::passes(&policies_with(json!({})), Way::Out, &node(), &to, port), passes);
}

/// README: further egress rules; users.md §2a 0.2.3: ports by name and by number.
#[rstest]
#[case::by_number(json!(443), (443, "TCP"), true)]
#[case::by_name(json!("https"), (443, "TCP"), true)]
#[case::other_port(json!(443), (80, "TCP"), false)]
fn a_rule_opens_what_it_names(#[case] named: Value, #[case] port: (i32, &str), #[case] passes: bool) {
    let rule =
        json!({"ports": [{"port": named, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.2.0.0/16"}}]});
    let policies = policies_with(json!({"networkEgressRules": [rule]}));
    assert_eq!(self::passes(&policies, Way::Out, &node(), &outside("10.2.3.4"), port), passes);
    assert!(!self::passes(&policies, Way::Out, &node(), &outside("10.3.3.4"), port));
}

/// An empty rule opens everything, as Kubernetes has it.
#[test]
fn an_empty_egress_rule_opens_everything() {
    let policies = policies_with(json!({"networkEgressRules": [{}]}));
    assert!(passes(&policies, Way::Out, &node(), &outside("10.3.3.4"), (1, "UDP")));
}

/// users.md §2a 1.9.0 (op#70): pods of others in the namespace are as open as before.
#[test]
fn pods_of_others_are_not_selected() {
    let policies = policies_with(json!({}));
    let foreign = pod("rich", &[("app", "mine")]);
    assert!(passes(&policies, Way::In, &foreign, &pod("shop", &[]), (80, "TCP")));
    assert!(passes(&policies, Way::Out, &foreign, &outside("10.0.0.1"), (80, "TCP")));
}

/// README: `disableNetworkPolicies`.
#[test]
fn without_policies_everything_is_open() {
    let policies = policies_with(json!({"disableNetworkPolicies": true}));
    assert!(policies.is_empty() && passes(&policies, Way::In, &node(), &pod("shop", &[]), (9070, "TCP")));
}

/// The `MinIO` guide (docs/clusters/minio.md): the nodes reach its pods on its port, and nothing beside that.
#[rstest]
#[case::minio("minio", "minio", 9000, true)]
#[case::its_console("minio", "minio", 9001, false)]
#[case::a_neighbour("minio", "console", 9000, false)]
#[case::elsewhere("shop", "minio", 9000, false)]
fn nodes_reach_the_minio_of_the_guide(
    #[case] namespace: &'static str,
    #[case] app: &str,
    #[case] port: i32,
    #[case] open: bool,
) {
    let manifest = include_str!("../../../../../tests/manifests/accepted/cluster-minio.yaml");
    let mut object: RestateCluster = serde_saphyr::from_str(manifest).unwrap();
    object.metadata.name = Some("rich".into());
    object.metadata.uid = Some("u".into());
    object.metadata.resource_version = Some("1".into());
    let valid = validate(&object).unwrap();
    let policies = policies::policies(&valid, &operator());
    assert_eq!(passes(&policies, Way::Out, &node(), &pod(namespace, &[("app", app)]), (port, "TCP")), open);
    let guide = include_str!("../../../../../docs/clusters/minio.md");
    let (_, shown) = manifest.split_once('\n').unwrap();
    assert!(guide.contains(shown), "the guide shows this very manifest");
}
