//! The pod template of a cluster's nodes: closed as Kubernetes' restricted profile wants it, then what the user
//! asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    EnvVarSource, HTTPGetAction, Lifecycle, LifecycleHandler, ObjectFieldSelector, PodSecurityContext,
    PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecurityContext, SleepAction, TCPSocketAction, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube_core::ObjectMeta;
use restate_crd::cluster::Compute;

use super::settings::{self, Setting};
use super::{
    ADMIN_PORT, INGRESS_PORT, NAME, NODE_PORT, Operator, PEERS, Valid, config_map, location, memory,
    metadata, trusted_ca,
};
use crate::bookkeeping;

const USER: i64 = 1000;
const GROUP: i64 = 3000;
const FILE_SYSTEM_GROUP: i64 = 2000;

/// Long enough for a node to hand its work over.
const GRACE_SECONDS: i64 = 60;

/// How long a node that is to end goes on serving: until every machine has heard that nothing more goes to it.
const FAREWELL_SECONDS: i64 = 5;
/// Less than this leaves no time for a farewell.
const SHORTEST_GRACE: i64 = 15;

pub(super) fn template(valid: &Valid, operator: &Operator) -> PodTemplateSpec {
    let compute = &valid.compute;
    let mut labels = bookkeeping::copied(valid.labels.as_ref());
    labels.extend(compute.labels.clone().unwrap_or_default());
    labels.extend(metadata::selector_labels(&valid.name));
    let mut annotations = bookkeeping::copied(valid.annotations.as_ref());
    annotations.extend(compute.annotations.clone().unwrap_or_default());
    let annotations = Some(annotations).filter(|annotations: &BTreeMap<_, _>| !annotations.is_empty());
    let metadata = ObjectMeta { labels: Some(labels), annotations, ..ObjectMeta::default() };
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec(valid, operator)) }
}

fn spec(valid: &Valid, operator: &Operator) -> PodSpec {
    let compute = &valid.compute;
    PodSpec {
        automount_service_account_token: Some(false),
        service_account_name: Some(NAME.to_owned()),
        security_context: Some(security_context()),
        init_containers: init_containers(valid, operator),
        containers: vec![container(valid)],
        volumes: Some(volumes(valid)),
        termination_grace_period_seconds: Some(
            compute.termination_grace_period_seconds.unwrap_or(GRACE_SECONDS),
        ),
        affinity: compute.affinity.clone(),
        dns_config: compute.dns_config.clone(),
        dns_policy: compute.dns_policy.clone(),
        image_pull_secrets: compute.image_pull_secrets.clone(),
        node_selector: compute.node_selector.clone(),
        priority_class_name: compute.priority_class_name.clone(),
        tolerations: compute.tolerations.clone(),
        topology_spread_constraints: compute.topology_spread_constraints.clone(),
        ..PodSpec::default()
    }
}

fn security_context() -> PodSecurityContext {
    PodSecurityContext {
        fs_group: Some(FILE_SYSTEM_GROUP),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        run_as_group: Some(GROUP),
        run_as_user: Some(USER),
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// A container that may do nothing but run.
pub(super) fn closed_container() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// Bundles are joined first; side cars are init containers that go on running.
fn init_containers(valid: &Valid, operator: &Operator) -> Option<Vec<Container>> {
    let authorities = valid.security.trusted_ca_certs.as_deref().unwrap_or_default();
    let joined =
        (!authorities.is_empty()).then(|| trusted_ca::init_container(authorities, &operator.ca_image));
    let sidecars = valid.compute.sidecars.iter().flatten().cloned().map(|sidecar| Container {
        restart_policy: sidecar.restart_policy.clone().or_else(|| Some("Always".to_owned())),
        ..sidecar
    });
    Some(joined.into_iter().chain(sidecars).collect()).filter(|all: &Vec<_>| !all.is_empty())
}

fn container(valid: &Valid) -> Container {
    let compute = &valid.compute;
    Container {
        name: NAME.to_owned(),
        image: Some(compute.image.clone()),
        image_pull_policy: compute.image_pull_policy.clone(),
        command: compute.command.clone(),
        args: compute.args.clone(),
        env: Some(environment(valid)),
        ports: Some(
            [("ingress", INGRESS_PORT), ("admin", ADMIN_PORT), ("metrics", NODE_PORT)].map(port).into(),
        ),
        readiness_probe: Some(readiness(valid)),
        resources: compute.resources.clone(),
        lifecycle: compute.lifecycle.clone().or_else(|| farewell(compute)),
        security_context: Some(closed_container()),
        volume_mounts: Some(mounts(valid)),
        ..Container::default()
    }
}

/// Whoever sets `lifecycle` has the last word, an empty one included.
fn farewell(compute: &Compute) -> Option<Lifecycle> {
    let grace = compute.termination_grace_period_seconds.unwrap_or(GRACE_SECONDS);
    let handler = LifecycleHandler {
        sleep: Some(SleepAction { seconds: FAREWELL_SECONDS }),
        ..LifecycleHandler::default()
    };
    (grace >= SHORTEST_GRACE).then(|| Lifecycle { pre_stop: Some(handler), ..Lifecycle::default() })
}

fn port((name, number): (&str, i32)) -> ContainerPort {
    ContainerPort { name: Some(name.to_owned()), container_port: number, ..ContainerPort::default() }
}

/// A node is ready when it answers on a port that its roles serve.
fn readiness(valid: &Valid) -> Probe {
    let env = valid.compute.env.as_deref().unwrap_or_default();
    let probe = Probe {
        initial_delay_seconds: Some(1),
        period_seconds: Some(3),
        timeout_seconds: Some(2),
        ..Probe::default()
    };
    if settings::has_admin_role(&valid.settings, env) {
        let get = HTTPGetAction {
            path: Some("/health".to_owned()),
            port: IntOrString::Int(ADMIN_PORT),
            ..HTTPGetAction::default()
        };
        return Probe { http_get: Some(get), ..probe };
    }
    let socket = TCPSocketAction { port: IntOrString::Int(NODE_PORT), host: None };
    Probe { tcp_socket: Some(socket), ..probe }
}

/// Ours first, the user's after: the later of two of a name counts.
fn environment(valid: &Valid) -> Vec<EnvVar> {
    let mut variables = vec![
        from_field("POD_NAME", "metadata.name"),
        from_field("POD_ZONE", &format!("metadata.labels['{}']", location::ZONE)),
        from_field("POD_REGION", &format!("metadata.labels['{}']", location::REGION)),
        variable("RESTATE_LOG_FORMAT", "json"),
        variable("RESTATE_CLUSTER_NAME", &valid.cluster_name),
        variable("RESTATE_BASE_DIR", "/restate-data"),
        variable("RUST_BACKTRACE", "1"),
        variable("RUST_LIB_BACKTRACE", "0"),
        variable("RESTATE_ADVERTISED_ADDRESS", &format!("http://$(POD_NAME).{PEERS}:{NODE_PORT}")),
        variable("RESTATE_NODE_NAME", "$(POD_NAME)"),
    ];
    if valid.config.is_some() {
        variables.push(variable("RESTATE_CONFIG", &format!("/config/{}", config_map::FILE)));
    }
    if must_not_provision_itself(valid) {
        variables.push(variable("RESTATE_AUTO_PROVISION", "false"));
    }
    if finds_metadata_by_itself(valid) {
        variables.push(variable("RESTATE_METADATA_CLIENT__ADDRESSES", &metadata_addresses()));
    }
    variables.extend(memory::variables(valid));
    let own = valid.compute.env.iter().flatten();
    variables.retain(|ours| !own.clone().any(|theirs| theirs.name == ours.name));
    variables.extend(own.cloned());
    variables.extend(valid.signing_key.as_ref().map(super::signing::SigningKey::variable));
    if valid.security.trusted_ca_certs.as_ref().is_some_and(|authorities| !authorities.is_empty()) {
        variables.push(trusted_ca::variable());
    }
    variables.extend(location::variable(valid));
    variables
}

/// A node that joins must find the others; the server's own default is the node itself.
fn finds_metadata_by_itself(valid: &Valid) -> bool {
    let env = valid.compute.env.as_deref().unwrap_or_default();
    settings::has_replicated_metadata(&valid.settings, env)
        && !settings::has_metadata_addresses(&valid.settings, env)
}

/// The same for any number of nodes, so that growing restarts nobody: the first node, and whoever is there.
fn metadata_addresses() -> String {
    format!(r#"["http://{NAME}-0.{PEERS}:{NODE_PORT}/","http://{PEERS}:{NODE_PORT}/"]"#)
}

/// Where we provision, the server must wait for us unless the user says otherwise.
fn must_not_provision_itself(valid: &Valid) -> bool {
    valid.provisioned_by == restate_crd::cluster::Provisioning::Auto
        && valid.server_provisions() == Setting::Unset
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn from_field(name: &str, path: &str) -> EnvVar {
    let field = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

fn mounts(valid: &Valid) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount("storage", "/restate-data", None), mount("tmp", "/tmp", None)];
    if valid.config.is_some() {
        mounts.push(mount("config", "/config", Some(true)));
    }
    mounts.extend(valid.signing_key.as_ref().map(super::signing::SigningKey::mount));
    if valid.security.trusted_ca_certs.as_ref().is_some_and(|authorities| !authorities.is_empty()) {
        mounts.push(trusted_ca::mount());
    }
    mounts.extend(location::mount(valid));
    mounts.extend(valid.compute.extra_volume_mounts.iter().flatten().cloned());
    mounts
}

fn volumes(valid: &Valid) -> Vec<Volume> {
    let tmp = Volume {
        name: "tmp".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let config = valid.config.as_ref().map(|text| Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map::name(text),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    });
    let mut volumes: Vec<_> = [tmp].into_iter().chain(config).collect();
    volumes.extend(valid.signing_key.as_ref().map(super::signing::SigningKey::volume));
    let authorities = valid.security.trusted_ca_certs.as_deref().unwrap_or_default();
    if !authorities.is_empty() {
        volumes.extend(trusted_ca::volumes(authorities));
    }
    volumes.extend(valid.compute.extra_volumes.iter().flatten().cloned());
    volumes
}
