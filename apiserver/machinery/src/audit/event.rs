//! One line: the fields and names of `audit.k8s.io/v1` that apply.

use std::collections::BTreeMap;

use axum::extract::Request;
use http::StatusCode;
use http::header::USER_AGENT;
use jiff::Timestamp;
use serde::Serialize;

use super::{AuditId, Level};
use crate::authz::Decision;
use crate::health::is_health;
use crate::request_info::RequestInfo;
use crate::serve::remote_address;
use crate::user::User;

const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";
const LATENCY: &str = "apiserver.latency.k8s.io/total";

/// What is known about a request so far.
#[derive(Debug)]
pub(super) struct Fields {
    id: String,
    received: Timestamp,
    info: RequestInfo,
    source: Option<String>,
    agent: String,
    user: User,
    impersonated: Option<User>,
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    kind: &'static str,
    api_version: &'static str,
    level: &'static str,
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    stage: &'static str,
    #[serde(rename = "requestURI")]
    request_uri: &'a str,
    verb: &'a str,
    user: Person<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<Person<'a>>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    source_ips: Vec<&'a str>,
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<ObjectRef<'a>>,
    response_status: ResponseStatus,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
    annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Person<'a> {
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    groups: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef<'a> {
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    api_group: &'a str,
    api_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subresource: Option<&'a str>,
}

#[derive(Serialize)]
struct ResponseStatus {
    code: u16,
}

impl Fields {
    pub(super) fn new(request: &Request, info: RequestInfo) -> Self {
        let agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
        Self {
            id: request.extensions().get::<AuditId>().map(|id| id.0.clone()).unwrap_or_default(),
            received: Timestamp::now(),
            info,
            source: remote_address(request.extensions()).map(|address| address.ip().to_string()),
            agent: agent.unwrap_or_default().to_owned(),
            user: User::default(),
            impersonated: None,
            annotations: BTreeMap::new(),
        }
    }

    pub(super) fn set_user(&mut self, user: &User) {
        self.user = user.clone();
    }

    pub(super) fn set_impersonated(&mut self, user: &User) {
        self.impersonated = Some(user.clone());
    }

    pub(super) fn set_decision(&mut self, decision: &Decision) {
        let word = if decision.is_allowed() { "allow" } else { "forbid" };
        self.annotate(DECISION.to_owned(), word.to_owned());
        self.annotate(REASON.to_owned(), decision.reason().to_owned());
    }

    pub(super) fn annotate(&mut self, key: String, value: String) {
        self.annotations.insert(key, value);
    }

    pub(super) fn is_worth(&self, level: Level, code: StatusCode) -> bool {
        let is_health = is_health(&self.info.path);
        let reads = matches!(self.info.verb.as_str(), "get" | "list" | "watch" | "head" | "options");
        let streams = self.info.subresource.as_deref() == Some("proxy");
        match level {
            Level::None => false,
            Level::Changes => !is_health && (!reads || streams || matches!(code.as_u16(), 401 | 403)),
            Level::Metadata => !is_health,
        }
    }

    pub(super) fn line(&mut self, code: StatusCode) -> String {
        let now = Timestamp::now();
        let took = now.duration_since(self.received).as_millis();
        self.annotate(LATENCY.to_owned(), format!("{took}ms"));
        let mut line = serde_json::to_string(&self.event(code, now)).unwrap_or_default();
        line.push('\n');
        line
    }

    fn event(&self, code: StatusCode, now: Timestamp) -> Event<'_> {
        Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: "Metadata",
            audit_id: &self.id,
            stage: if self.info.is_long_running() { "ResponseStarted" } else { "ResponseComplete" },
            request_uri: &self.info.path,
            verb: &self.info.verb,
            user: Person::of(&self.user),
            impersonated_user: self.impersonated.as_ref().map(Person::of),
            source_ips: self.source.as_deref().into_iter().collect(),
            user_agent: &self.agent,
            object_ref: self.info.is_resource_request.then(|| ObjectRef::of(&self.info)),
            response_status: ResponseStatus { code: code.as_u16() },
            request_received_timestamp: self.received,
            stage_timestamp: now,
            annotations: &self.annotations,
        }
    }
}

impl<'a> Person<'a> {
    fn of(user: &'a User) -> Self {
        Self { username: &user.name, uid: user.uid.as_deref(), groups: &user.groups }
    }
}

impl<'a> ObjectRef<'a> {
    fn of(info: &'a RequestInfo) -> Self {
        Self {
            resource: &info.resource,
            namespace: info.namespace.as_deref(),
            name: info.name.as_deref(),
            api_group: &info.group,
            api_version: &info.version,
            subresource: info.subresource.as_deref(),
        }
    }
}
