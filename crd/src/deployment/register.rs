//! Where a RestateDeployment is registered.
//!
//! Stage in the flow: what is stored. Invariant: exactly one target, which the schema enforces and the enum
//! keeps. Not for resolving a target to an address: that is the plan's.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Restate that versions are registered with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Register {
    /// Name of a RestateCluster.
    Cluster(String),
    /// Name of a RestateCloudEnvironment.
    Cloud(String),
    /// A Service that leads to an admin API.
    Service(AdminService),
    /// Address of an admin API.
    Url(String),
}

/// A Service that leads to an admin API.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct AdminService {
    /// Name of the Service.
    pub name: String,
    /// Namespace of the Service.
    pub namespace: String,
    /// Port of the admin API. 9070 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Path before the paths of the admin API, without a slash at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Register {
    /// Name of the RestateCluster, if that is the target.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        match self {
            Self::Cluster(name) => Some(name),
            Self::Cloud(_) | Self::Service(_) | Self::Url(_) => None,
        }
    }
}

/// As people would name it in a message.
impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "RestateCluster {name}"),
            Self::Cloud(name) => write!(f, "RestateCloudEnvironment {name}"),
            Self::Service(service) => write!(f, "Service {}/{}", service.namespace, service.name),
            Self::Url(url) => f.write_str(url),
        }
    }
}
