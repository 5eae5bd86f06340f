//! Why a RestateDeployment cannot be acted on.
//!
//! Stage in the flow: validate. Invariant: each text names the field, what was wrong and what is allowed, and repeats
//! no secret. Not for what may pass by itself.

use restate_crd::condition::Reason;

/// Why a RestateDeployment cannot be acted on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stored object lacks what every stored object has.
    #[error("metadata.{field} is missing")]
    Unstored {
        /// Which field.
        field: &'static str,
    },
    /// `<name>-<hash>` must fit into a Service's name and a label's value.
    #[error(
        "metadata.name: {name:?} is too long: with the hash of its version it must be a DNS label of at most 63 characters that starts with a letter"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// No selector.
    #[error(
        "spec.selector is missing: it is needed in replicaset mode and must match the labels of spec.template"
    )]
    SelectorMissing,
    /// A selector that selects everything.
    #[error("spec.selector is empty: it would select every pod of the namespace")]
    SelectorEmpty,
    /// The selector has a requirement that cannot be read.
    #[error("spec.selector.matchExpressions: {problem}")]
    SelectorInvalid {
        /// What is wrong.
        problem: String,
    },
    /// The selector does not match the template.
    #[error("spec.selector ({selector}) does not match the labels of spec.template.metadata ({labels})")]
    SelectorMismatch {
        /// The selector as text.
        selector: String,
        /// The labels as text.
        labels: String,
    },
    /// The template is not one of pods.
    #[error("spec.template.spec is not a pod's: {source}")]
    TemplateSpec {
        /// What the decoder says.
        source: serde_json::Error,
    },
    /// No container.
    #[error("spec.template.spec.containers is empty: at least one container is needed")]
    NoContainers,
    /// Replica sets keep their pods running.
    #[error("spec.template.spec.restartPolicy is {policy:?}: only Always is allowed")]
    RestartPolicy {
        /// What was written.
        policy: String,
    },
    /// A number below zero.
    #[error("{field} is {value}: it must be from 0 to {most}")]
    Range {
        /// Which field.
        field: &'static str,
        /// What was written.
        value: i64,
        /// The greatest value allowed.
        most: i64,
    },
    /// The cluster's name.
    #[error(
        "spec.restate.register.cluster is {name:?}: it must be the name of a RestateCluster (a DNS label)"
    )]
    ClusterName {
        /// What was written.
        name: String,
    },
    /// The service's name or namespace.
    #[error("spec.restate.register.service.{field} is {value:?}: it must be a DNS label")]
    ServiceName {
        /// Which field.
        field: &'static str,
        /// What was written.
        value: String,
    },
    /// The admin port.
    #[error("spec.restate.register.service.port is {port}: it must be from 1 to 65535")]
    AdminPort {
        /// What was written.
        port: i32,
    },
    /// A path.
    #[error("{field} is {path:?}: it must be an URL path without query, fragment and white space")]
    Path {
        /// Which field.
        field: &'static str,
        /// What was written.
        path: String,
    },
    /// Not an URL.
    #[error("{field} gives no URL: {source}")]
    Url {
        /// Which field.
        field: &'static str,
        /// What the parser says.
        source: url::ParseError,
    },
    /// An URL, but not that of an admin API.
    #[error(
        "spec.restate.register.url ({url}) cannot be used: {problem}; it must be like http://HOST:9070/PATH"
    )]
    AdminUrl {
        /// The URL without its secrets.
        url: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The autoscaler's template.
    #[error("spec.autoscaling is not the spec of a HorizontalPodAutoscaler: {source}")]
    Autoscaling {
        /// What the decoder says.
        source: serde_json::Error,
    },
    /// The autoscaler's bounds.
    #[error("spec.autoscaling.maxReplicas is {most}: it must be at least 1 and not below minReplicas")]
    AutoscalingBounds {
        /// What was written.
        most: i32,
    },
    /// The autoscaler's target is ours to choose.
    #[error("spec.autoscaling.scaleTargetRef must be left out: each draining version gets its own")]
    AutoscalingTarget,
    /// Knative scales by itself.
    #[error("spec.autoscaling is for deploymentMode replicaset only: Knative scales by itself")]
    AutoscalingKnative,
    /// The stable service's name.
    #[error("spec.stableService.name is {name:?}: it must be a DNS label that starts with a letter")]
    StableName {
        /// What was written.
        name: String,
    },
    /// In-process tunnels lead to Restate Cloud only.
    #[error("spec.restate.tunnelMode is for spec.restate.register.cloud only")]
    TunnelWithoutCloud,
}

impl Error {
    /// The reason for conditions.
    pub fn reason(&self) -> Reason {
        match self {
            Self::SelectorMissing
            | Self::SelectorEmpty
            | Self::SelectorInvalid { .. }
            | Self::SelectorMismatch { .. } => Reason::SelectorMismatch,
            Self::TemplateSpec { .. } | Self::NoContainers | Self::RestartPolicy { .. } => {
                Reason::InvalidTemplate
            }
            Self::Unstored { .. }
            | Self::Name { .. }
            | Self::Range { .. }
            | Self::ClusterName { .. }
            | Self::ServiceName { .. }
            | Self::AdminPort { .. }
            | Self::Path { .. }
            | Self::Url { .. }
            | Self::AdminUrl { .. }
            | Self::Autoscaling { .. }
            | Self::AutoscalingBounds { .. }
            | Self::AutoscalingTarget
            | Self::AutoscalingKnative
            | Self::StableName { .. }
            | Self::TunnelWithoutCloud => Reason::InvalidSpec,
        }
    }
}
