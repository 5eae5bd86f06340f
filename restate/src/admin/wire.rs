//! The admin API's JSON, and what we make of it.
//!
//! Invariant: a field that decides is required; a field that is only shown is not, so that an older or newer
//! server does not make everything unknown.

use std::borrow::Cow;

use jiff::Timestamp;
use restate_model::{DeploymentId, Registered, ServiceKind, ServiceName, ServiceRevision};
use serde::Deserialize;
use url::form_urlencoded;

use super::{Accepted as AcceptedModel, Error};

#[derive(Deserialize)]
pub(super) struct Deployments {
    pub(super) deployments: Vec<Deployment>,
}

#[derive(Deserialize)]
pub(super) struct Deployment {
    id: String,
    uri: Option<String>,
    arn: Option<String>,
    created_at: Option<Timestamp>,
    http_version: Option<String>,
    services: Vec<Revision>,
}

#[derive(Deserialize)]
struct Revision {
    name: String,
    revision: u32,
}

#[derive(Deserialize)]
pub(super) struct Services {
    pub(super) services: Vec<Service>,
}

#[derive(Deserialize)]
pub(super) struct Service {
    name: String,
    ty: String,
    deployment_id: String,
    revision: u32,
    #[serde(default)]
    public: bool,
    #[serde(default)]
    handlers: Vec<Handler>,
    idempotency_retention: Option<String>,
    workflow_completion_retention: Option<String>,
}

#[derive(Deserialize)]
struct Handler {
    name: String,
}

#[derive(Deserialize)]
pub(super) struct Accepted {
    id: String,
    services: Vec<Revision>,
}

impl Deployment {
    pub(super) fn into_model(self) -> Result<(DeploymentId, Registered), Error> {
        let Self { id, uri, arn, created_at, http_version, services } = self;
        let endpoint = uri.or(arn).ok_or(Error::Lacks("uri or arn of a deployment"))?;
        let http11 = http_version.is_some_and(|version| version.ends_with("/1.1"));
        let services = services.into_iter().map(Revision::into_model).collect();
        Ok((DeploymentId::from(id), Registered { endpoint, created_at, services, http11 }))
    }
}

impl Revision {
    fn into_model(self) -> ServiceRevision {
        ServiceRevision { name: ServiceName::from(self.name), revision: self.revision }
    }
}

impl Service {
    pub(super) fn into_model(self) -> restate_model::Service {
        let mut handlers: Vec<_> = self.handlers.into_iter().map(|handler| handler.name).collect();
        handlers.sort_unstable(); // The server's order changes from answer to answer.
        restate_model::Service {
            name: ServiceName::from(self.name),
            revision: self.revision,
            deployment: DeploymentId::from(self.deployment_id),
            kind: kind(&self.ty),
            public: self.public,
            handlers,
            idempotency_retention: self.idempotency_retention,
            workflow_retention: self.workflow_completion_retention,
        }
    }
}

impl Accepted {
    pub(super) fn into_model(self, new: bool) -> AcceptedModel {
        let services = self.services.into_iter().map(Revision::into_model).collect();
        AcceptedModel { id: DeploymentId::from(self.id), new, services }
    }
}

fn kind(ty: &str) -> ServiceKind {
    match ty {
        "Service" => ServiceKind::Service,
        "VirtualObject" => ServiceKind::VirtualObject,
        "Workflow" => ServiceKind::Workflow,
        _ => ServiceKind::Other,
    }
}

/// One segment of a path: an id from outside must not name another path.
pub(crate) fn segment(text: &str) -> Cow<'_, str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if plain {
        Cow::Borrowed(text)
    } else {
        form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().into()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("dp_17tCVIzne35IiyhI4Bcrnyx", "dp_17tCVIzne35IiyhI4Bcrnyx")]
    #[case("../services/x?y", "..%2Fservices%2Fx%3Fy")]
    fn an_id_stays_in_its_segment(#[case] id: &str, #[case] expected: &str) {
        assert_eq!(segment(id), expected);
    }
}
