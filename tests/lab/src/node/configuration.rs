//! The files that components read at their start, as pure functions of the site. Each deviation from a default says
//! which trap it cures.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    base_images,
    site::{ADDRESS, BRIDGE, DNS_SERVICE, LAST_POD_ADDRESS, POD_RANGE, Site, text},
};
use crate::Result;

/// Every configuration file with its place.
pub(super) fn files(site: &Site) -> Result<Vec<(PathBuf, String)>> {
    Ok(vec![
        (site.configuration("containerd.toml"), toml::to_string(&containerd(site))?),
        (site.configuration("kubelet.json"), pretty(&kubelet(site))?),
        (site.configuration("audit.json"), pretty(&audit())?),
        (site.configuration("storage.json"), pretty(&storage(site))?),
        (site.configuration("helper-pod.yaml"), pretty(&helper_pod())?),
        (site.network_configuration().join("10-lab.conflist"), pretty(&network(site))?),
    ])
}

fn pretty(value: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}

fn containerd(site: &Site) -> Value {
    let place = |name: &str| text(&site.state.data("containerd").join(name));
    json!({
        "version": 3,
        "root": place("root"),
        "state": text(&site.run.join("containerd")),
        "grpc": { "address": text(&site.socket()) },
        "plugins": {
            // Its default makes a directory below /opt.
            "io.containerd.internal.v1.opt": { "path": place("opt") },
            "io.containerd.nri.v1.nri": { "disable": true },
            "io.containerd.cri.v1.images": {
                "snapshotter": "overlayfs",
                "pinned_images": { "sandbox": base_images::PAUSE },
            },
            "io.containerd.cri.v1.runtime": {
                // Without CAP_SYS_RESOURCE a sandbox cannot get a lower score than its parent.
                "restrict_oom_score_adj": true,
                "netns_mounts_under_state_dir": true,
                "cni": {
                    "bin_dirs": [text(&site.plugins)],
                    "conf_dir": text(&site.network_configuration()),
                },
                "containerd": { "runtimes": { "runc": { "runtime_type": "io.containerd.runc.v2" } } },
            },
        },
    })
}

fn kubelet(site: &Site) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "port": site.ports.kubelet_port,
        "healthzPort": 0,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": site.pki("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": site.pki("kubelet.crt"),
        "tlsPrivateKeyFile": site.pki("kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", text(&site.socket())),
        // Machines with cgroup v1 are fine for a lab.
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "failSwapOn": false,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        // The machine's own search domains would slow down every look-up of a pod.
        "resolvConf": "",
        "podLogsDir": text(&site.state.logs().join("pods")),
        "volumePluginDir": text(&site.state.data("kubelet-plugins")),
        "maxPods": 250,
        "serializeImagePulls": false,
        // Images are imported, not pulled: one that was removed would never come back.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        // Files that a build has read count as memory in use; pods must not be evicted over them.
        "evictionHard": { "memory.available": "0%", "nodefs.available": "1%", "imagefs.available": "1%" },
    })
}

fn audit() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "None", "resources": [{ "group": "coordination.k8s.io", "resources": ["leases"] }] },
            { "level": "Metadata" },
        ],
    })
}

fn storage(site: &Site) -> Value {
    let paths = [text(&site.state.data("volumes"))];
    json!({ "nodePathMap": [{ "node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": paths }] })
}

fn helper_pod() -> Value {
    let container = json!({
        "name": "helper-pod",
        "image": base_images::BUSYBOX,
        "imagePullPolicy": "Never",
    });
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "helper-pod" },
        "spec": { "containers": [container] },
    })
}

/// No masquerading: what pods send stays on this machine.
fn network(site: &Site) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "restate-lab",
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": text(&site.state.data("addresses")),
                "ranges": [[{ "subnet": POD_RANGE, "rangeEnd": LAST_POD_ADDRESS, "gateway": ADDRESS }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::site;

    #[test]
    fn every_configuration_file() {
        for (path, text) in files(&site()).expect("all can be written") {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            insta::assert_snapshot!(name, text);
        }
    }

    #[test]
    fn containerd_reads_what_we_meant() {
        let (_, text) = files(&site()).expect("all can be written").swap_remove(0);
        let read: toml::Table = toml::from_str(&text).expect("TOML");
        let runtime = &read["plugins"]["io.containerd.cri.v1.runtime"];
        assert_eq!(runtime["restrict_oom_score_adj"].as_bool(), Some(true));
    }
}
