//! How each component is started: its program and options, as a pure function of the site.

use super::{
    Component,
    site::{ADDRESS, KWOK_ADDRESS, KWOK_RANGE, NODE_NAME, POD_RANGE, SERVICE_RANGE, Site, text},
};
use crate::process::Launch;

/// Requests per second that Kubernetes' own controllers may make. Their default of 20 is what a rollout of many
/// objects would wait for.
const CONTROLLER_QPS: &str = "300";

/// All that decides how this component runs.
pub(super) fn launch(site: &Site, component: Component) -> Launch {
    let (arguments, configuration) = match component {
        Component::Etcd => (etcd(site), vec![]),
        Component::Containerd => (containerd(site), vec![site.configuration("containerd.toml")]),
        Component::KubeApiserver => (apiserver(site), vec![site.configuration("audit.json")]),
        Component::KubeControllerManager => (controller_manager(site), vec![]),
        Component::KubeScheduler => (scheduler(site), vec![]),
        Component::Kubelet => (kubelet(site), vec![site.configuration("kubelet.json")]),
        Component::KubeProxy => (proxy(site), vec![]),
        Component::LocalPathProvisioner => (provisioner(site), vec![site.configuration("storage.json")]),
        Component::Kwok => (kwok(site), vec![site.configuration("kwok.yaml")]),
    };
    let program = site.tools.path(component.name());
    let environment = site.environment(&program);
    Launch { program, arguments, environment, configuration }
}

/// The ports that a component listens on.
pub(super) fn ports(site: &Site, component: Component) -> Vec<u16> {
    match component {
        Component::Etcd => vec![site.ports.etcd_port, site.ports.etcd_peer_port],
        Component::KubeApiserver => vec![site.ports.api_port],
        Component::KubeControllerManager => vec![10257],
        Component::KubeScheduler => vec![10259],
        Component::Kubelet => vec![site.ports.kubelet_port],
        Component::KubeProxy => vec![10249, 10256],
        Component::Containerd | Component::LocalPathProvisioner | Component::Kwok => vec![],
    }
}

fn etcd(site: &Site) -> Vec<String> {
    let client = site.etcd();
    let peer = format!("http://127.0.0.1:{}", site.ports.etcd_peer_port);
    options(&[
        ("name", NODE_NAME),
        ("data-dir", &text(&site.state.data("etcd"))),
        ("listen-client-urls", &client),
        ("advertise-client-urls", &client),
        ("listen-peer-urls", &peer),
        ("initial-advertise-peer-urls", &peer),
        ("initial-cluster", &format!("{NODE_NAME}={peer}")),
        // A lab that loses its power is made anew.
        ("unsafe-no-fsync", "true"),
        ("log-level", "warn"),
    ])
}

fn containerd(site: &Site) -> Vec<String> {
    options(&[("config", &text(&site.configuration("containerd.toml"))), ("log-level", "info")])
}

fn apiserver(site: &Site) -> Vec<String> {
    options(&[
        ("etcd-servers", &site.etcd()),
        ("bind-address", "0.0.0.0"),
        ("advertise-address", ADDRESS),
        ("secure-port", &site.ports.api_port.to_string()),
        ("service-cluster-ip-range", SERVICE_RANGE),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("allow-privileged", "true"),
        ("client-ca-file", &site.pki("ca.crt")),
        ("tls-cert-file", &site.pki("apiserver.crt")),
        ("tls-private-key-file", &site.pki("apiserver.key")),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("service-account-key-file", &site.pki("service-accounts.pub")),
        ("service-account-signing-key-file", &site.pki("service-accounts.key")),
        // Extension API servers: who may speak for a user, and straight to their pods from this process.
        ("requestheader-client-ca-file", &site.pki("front-proxy-ca.crt")),
        ("requestheader-allowed-names", "front-proxy-client"),
        ("requestheader-username-headers", "X-Remote-User"),
        ("requestheader-group-headers", "X-Remote-Group"),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        ("proxy-client-cert-file", &site.pki("front-proxy-client.crt")),
        ("proxy-client-key-file", &site.pki("front-proxy-client.key")),
        ("enable-aggregator-routing", "true"),
        // Logs and exec dial the node by name unless told otherwise.
        ("kubelet-preferred-address-types", "InternalIP"),
        ("kubelet-client-certificate", &site.pki("admin.crt")),
        ("kubelet-client-key", &site.pki("admin.key")),
        ("audit-policy-file", &text(&site.configuration("audit.json"))),
        ("audit-log-path", &text(&site.state.logs().join("audit.log"))),
        ("audit-log-maxsize", "100"),
        ("audit-log-maxbackup", "2"),
    ])
}

fn controller_manager(site: &Site) -> Vec<String> {
    let kubeconfig = text(&site.kubeconfig("kube-controller-manager"));
    options(&[
        ("kubeconfig", &kubeconfig),
        ("authentication-kubeconfig", &kubeconfig),
        ("authorization-kubeconfig", &kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("leader-elect", "false"),
        ("use-service-account-credentials", "true"),
        ("root-ca-file", &site.pki("ca.crt")),
        ("service-account-private-key-file", &site.pki("service-accounts.key")),
        ("cluster-signing-cert-file", &site.pki("ca.crt")),
        ("cluster-signing-key-file", &site.pki("ca.key")),
        ("cluster-cidr", POD_RANGE),
        ("kube-api-qps", CONTROLLER_QPS),
        ("kube-api-burst", CONTROLLER_QPS),
    ])
}

fn scheduler(site: &Site) -> Vec<String> {
    let kubeconfig = text(&site.kubeconfig("kube-scheduler"));
    options(&[
        ("kubeconfig", &kubeconfig),
        ("authentication-kubeconfig", &kubeconfig),
        ("authorization-kubeconfig", &kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("leader-elect", "false"),
        ("kube-api-qps", CONTROLLER_QPS),
        ("kube-api-burst", CONTROLLER_QPS),
    ])
}

fn kubelet(site: &Site) -> Vec<String> {
    options(&[
        ("config", &text(&site.configuration("kubelet.json"))),
        ("kubeconfig", &text(&site.kubeconfig("kubelet"))),
        ("hostname-override", NODE_NAME),
        ("node-ip", ADDRESS),
        ("root-dir", &text(&site.state.data("kubelet"))),
    ])
}

fn proxy(site: &Site) -> Vec<String> {
    options(&[
        ("kubeconfig", &text(&site.kubeconfig("kube-proxy"))),
        ("hostname-override", NODE_NAME),
        ("proxy-mode", "iptables"),
        ("cluster-cidr", POD_RANGE),
        // A node port answers on this machine only.
        ("nodeport-addresses", &format!("{ADDRESS}/32")),
        ("metrics-bind-address", "127.0.0.1:10249"),
        ("healthz-bind-address", "127.0.0.1:10256"),
        // The machine's own connection tracking limits are left alone.
        ("conntrack-max-per-core", "0"),
        ("conntrack-tcp-timeout-established", "0"),
        ("conntrack-tcp-timeout-close-wait", "0"),
    ])
}

fn provisioner(site: &Site) -> Vec<String> {
    let mut arguments = vec!["start".to_owned()];
    arguments.extend(options(&[
        ("config", &text(&site.configuration("storage.json"))),
        ("kubeconfig", &text(&site.state.kubeconfig())),
        ("namespace", "local-path-storage"),
        ("configmap-name", "local-path-config"),
        ("service-account-name", "default"),
        ("helper-image", super::base_images::BUSYBOX),
        ("helper-pod-file", &text(&site.configuration("helper-pod.yaml"))),
    ]));
    arguments
}

fn kwok(site: &Site) -> Vec<String> {
    options(&[
        ("kubeconfig", &text(&site.state.kubeconfig())),
        ("config", &text(&site.configuration("kwok.yaml"))),
        ("manage-nodes-with-label-selector", super::kwok::SELECTOR),
        ("node-lease-duration-seconds", "40"),
        ("cidr", KWOK_RANGE),
        ("node-ip", KWOK_ADDRESS),
    ])
}

fn options(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use strum::IntoEnumIterator;

    use super::*;
    use crate::node::tests::site;

    #[rstest]
    fn every_component_has_its_command_line() {
        for component in Component::iter() {
            let Launch { program, arguments, .. } = launch(&site(), component);
            let line = format!("{}\n{}", program.display(), arguments.join("\n"));
            insta::assert_snapshot!(component.name(), line);
        }
    }

    #[rstest]
    fn no_two_components_share_a_port() {
        let all: Vec<_> = Component::iter().flat_map(|component| ports(&site(), component)).collect();
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
