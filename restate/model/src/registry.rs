//! What is registered with Restate, and to which deployment it sends new calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DeploymentId, ServiceName};

/// The answer to `GET /deployments` and `GET /services`, asked one after the other. What two answers say alike they
/// share: there are thousands of entries, many answers are held at a time, and what is shared is equal at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// Everything registered, also what we do not own.
    pub deployments: BTreeMap<DeploymentId, Arc<Registered>>,
    /// Every service with the deployment that new calls go to.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
}

impl Registry {
    /// An answer that shares with an earlier one what that said alike: all of it, where it says nothing else.
    pub fn shared(now: Arc<Self>, before: &Arc<Self>) -> Arc<Self> {
        let mut now = Arc::unwrap_or_clone(now);
        share(&mut now.deployments, &before.deployments);
        share(&mut now.services, &before.services);
        if now == **before { Arc::clone(before) } else { Arc::new(now) }
    }

    /// The services that Restate routes to this deployment now.
    pub fn routed_to<'a>(&'a self, id: &'a DeploymentId) -> impl Iterator<Item = &'a Service> {
        self.services.values().map(Arc::as_ref).filter(move |service| service.deployment == *id)
    }

    /// The deployment registered under exactly this endpoint URI.
    pub fn at_endpoint(&self, endpoint: &str) -> Option<(&DeploymentId, &Registered)> {
        let mut known = self.deployments.iter().map(|(id, registered)| (id, registered.as_ref()));
        known.find(|(_, registered)| registered.endpoint == endpoint)
    }
}

fn share<K: Ord, V: Eq>(now: &mut BTreeMap<K, Arc<V>>, before: &BTreeMap<K, Arc<V>>) {
    for (key, value) in now {
        if let Some(known) = before.get(key).filter(|known| *known == value) {
            *value = Arc::clone(known);
        }
    }
}

/// One registered deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Where Restate calls it: the URI as Restate stores it, or an ARN.
    pub endpoint: String,
    /// When Restate says that it was registered; an overwrite resets it.
    pub created_at: Option<Timestamp>,
    /// What it offers, with the revision that this deployment has of each service.
    pub services: Vec<ServiceRevision>,
    /// Whether Restate speaks HTTP/1.1 to it.
    pub http11: bool,
}

/// A service at the revision that one deployment offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRevision {
    /// The service.
    pub name: ServiceName,
    /// Its revision in that deployment.
    pub revision: u32,
}

/// A service as Restate routes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// The newest revision: the one that new calls get.
    pub revision: u32,
    /// The deployment that new calls go to.
    pub deployment: DeploymentId,
    /// What kind of service it is.
    pub kind: ServiceKind,
    /// Whether the ingress offers it.
    pub public: bool,
    /// Its handlers' names.
    pub handlers: Vec<String>,
    /// How long completed invocations with an idempotency key are kept, as Restate prints it.
    pub idempotency_retention: Option<String>,
    /// How long a workflow's completed state is kept, as Restate prints it.
    pub workflow_retention: Option<String>,
}

/// Restate's kinds of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceKind {
    /// Stateless handlers.
    Service,
    /// Keyed, with state.
    VirtualObject,
    /// Run once per key.
    Workflow,
    /// A kind that this version of ours does not know.
    Other,
}
