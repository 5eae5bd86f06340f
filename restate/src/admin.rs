//! Typed calls of the admin API.
//!
//! Stage in the flow: the executor registers and deregisters through it, the poller reads through it. Invariant:
//! nothing is retried here: whoever asks decides that, and a DELETE is never sent twice by us. Not for SQL
//! (`query.rs`).
//!
//! Facts, seen on 1.7.12:
//! - The paths without a version exist on every server and mean its newest version; `/v1` is refused there with 400,
//!   `/v2` to `/v4` answer alike. Defaults differ by version, so `force` and `breaking` are always sent.
//! - `force: true` implies `breaking: true`, also for an endpoint that Restate has never seen: force only what is
//!   registered already, or a changed service type goes through.
//! - A new endpoint is 201; a known one is 200 with the same id, without `force` routing stays where it is.
//! - Endpoints come back with a slash at their end; `created_at` is reset by an overwrite.
//! - No connection and no SDK are both 500 with META0003; HTTP/1.1 where HTTP/2 was tried is 500 with META0014; a
//!   changed service type is 409 with META0006; a request that cannot be read is 400 or 422 with plain text.
//! - DELETE of an unknown id is 404, of a malformed one 400, without `force=true` 501.

mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use restate_model::{
    DeploymentId, EndpointKey, Reading, Registered, Registry, Service, ServiceName, ServiceRevision,
};
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::transport::{Answer, Question, Transport};

pub use crate::transport::{Error, Refused};
pub(crate) use wire::segment;

/// For calls that only read Restate's metadata, which it holds in memory.
pub const READ_DEADLINE: Duration = Duration::from_secs(10);
/// Restate calls the endpoint before it answers.
pub const REGISTER_DEADLINE: Duration = Duration::from_secs(12);
/// A lease must outlive this (architecture, "What must never happen", 6).
pub const DEREGISTER_DEADLINE: Duration = Duration::from_secs(5);
/// A thousand deployments are well below 10 MB.
const REGISTRY_LIMIT: usize = 64 * 1024 * 1024;
const SMALL: usize = 1024 * 1024;

/// The admin API of one Restate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    transport: Transport,
    endpoint: Endpoint,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// The server's version.
    pub version: String,
    /// The oldest admin API that it serves.
    pub min_admin_api_version: u16,
    /// The newest admin API that it serves.
    pub max_admin_api_version: u16,
    /// Features that are on or off.
    #[serde(default)]
    pub features: std::collections::BTreeMap<String, bool>,
}

/// A wish to register an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Registration {
    /// Where Restate shall call it.
    pub uri: String,
    /// Whether a deployment that is registered with this address is overwritten, which moves routing to it. Implies
    /// `breaking`: only for an address that Restate knows.
    pub force: bool,
    /// Whether a service may change its type.
    pub breaking: bool,
    /// Whether Restate speaks HTTP/1.1 to it.
    pub use_http_11: bool,
}

/// One that is not written down.
#[derive(Serialize)]
struct Rehearsal<'a> {
    #[serde(flatten)]
    registration: &'a Registration,
    dry_run: bool,
}

/// An accepted registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id, also where it was known already.
    pub id: DeploymentId,
    /// Whether the address was new to Restate, so that routing moved even without force.
    pub new: bool,
    /// What it offers, with the revisions of this deployment.
    pub services: Vec<ServiceRevision>,
}

/// What came of a wish to deregister.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Deregistered {
    /// Restate acknowledged the removal.
    Acknowledged,
    /// Restate does not know the id. That is no proof that it never comes back: a Restate that lost its metadata
    /// says the same.
    NotFound,
}

impl Admin {
    /// The admin API at this endpoint.
    pub fn new(transport: &Transport, endpoint: &Endpoint) -> Self {
        Self { transport: transport.clone(), endpoint: endpoint.clone() }
    }

    /// Which Restate this is.
    pub fn key(&self) -> &EndpointKey {
        self.endpoint.key()
    }

    /// Which server this is and what it can.
    pub async fn version(&self) -> Result<Version, Error> {
        self.read("version", SMALL).await?.json()
    }

    /// Whether the admin API answers at all. It says nothing of partitions.
    pub async fn health(&self) -> Result<(), Error> {
        self.read("health", SMALL).await.map(drop)
    }

    /// What is registered and where new calls go. Deployments are asked for first: a service may then name a
    /// deployment that the list lacks, but never the other way round.
    pub async fn registry(&self) -> Result<Reading<Arc<Registry>>, Error> {
        let asked_at = Timestamp::now();
        let deployments = self.deployments().await?.into_iter().map(|(id, it)| (id, Arc::new(it))).collect();
        let services = self.services().await?.into_iter();
        let services = services.map(|service| (service.name.clone(), Arc::new(service))).collect();
        Ok(Reading { asked_at, value: Arc::new(Registry { deployments, services }) })
    }

    /// Everything registered.
    pub async fn deployments(&self) -> Result<Vec<(DeploymentId, Registered)>, Error> {
        let wire::Deployments { deployments } = self.read("deployments", REGISTRY_LIMIT).await?.json()?;
        deployments.into_iter().map(wire::Deployment::into_model).collect()
    }

    /// Every service with the deployment that new calls go to.
    pub async fn services(&self) -> Result<Vec<Service>, Error> {
        let wire::Services { services } = self.read("services", REGISTRY_LIMIT).await?.json()?;
        Ok(services.into_iter().map(wire::Service::into_model).collect())
    }

    /// One service with the deployment that new calls go to; none where Restate does not know it.
    pub async fn service(&self, name: &ServiceName) -> Result<Option<Service>, Error> {
        let path = format!("services/{}", segment(name.as_str()));
        match self.read(&path, REGISTRY_LIMIT).await {
            Ok(answer) => answer.json().map(|service: wire::Service| Some(service.into_model())),
            Err(Error::Refused(refused)) if unknown(&refused, "service") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Registers an endpoint. Harmless to send again; see [`Error::is_final`] for a refusal that stays.
    pub async fn register(&self, registration: &Registration) -> Result<Accepted, Error> {
        let answer = self.post_deployment(registration).await?;
        let accepted: wire::Accepted = answer.json()?;
        Ok(accepted.into_model(answer.status == StatusCode::CREATED))
    }

    /// Everything that [`Self::register`] does except for writing it down: Restate calls the endpoint, and says what it
    /// would refuse.
    pub async fn rehearse(&self, registration: &Registration) -> Result<(), Error> {
        self.post_deployment(&Rehearsal { registration, dry_run: true }).await.map(drop)
    }

    /// Takes a deployment out, whatever is pinned to it: the proof that nothing is, is the caller's. One request,
    /// never repeated. After an error other than [`Error::Refused`] nobody knows whether it happened.
    pub async fn deregister(&self, id: &DeploymentId) -> Result<Deregistered, Error> {
        let path = format!("deployments/{}?force=true", segment(id.as_str()));
        let question =
            Question { method: Method::DELETE, path: &path, deadline: DEREGISTER_DEADLINE, limit: SMALL };
        match self.transport.ask(&self.endpoint, &question, None::<&()>).await {
            Ok(_) => Ok(Deregistered::Acknowledged),
            Err(Error::Refused(refused)) if unknown(&refused, "deployment") => Ok(Deregistered::NotFound),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    async fn post_deployment(&self, body: &(impl Serialize + Sync)) -> Result<Answer, Error> {
        let question = Question {
            method: Method::POST,
            path: "deployments",
            deadline: REGISTER_DEADLINE,
            limit: REGISTRY_LIMIT,
        };
        self.transport.ask(&self.endpoint, &question, Some(body)).await
    }

    async fn read(&self, path: &str, limit: usize) -> Result<Answer, Error> {
        let question = Question { method: Method::GET, path, deadline: READ_DEADLINE, limit };
        self.transport.ask(&self.endpoint, &question, None::<&()>).await
    }
}

/// Restate's own 404 says what it does not know; one of a proxy without a body does not.
fn unknown(refused: &Refused, what: &str) -> bool {
    refused.status == StatusCode::NOT_FOUND && refused.message.contains(what)
}

#[cfg(test)]
pub(crate) mod tests;
