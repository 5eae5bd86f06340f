//! Invocations themselves, bounded: what a scope admits, what a selection asks for, one page at a time.
//!
//! Stage in the flow: under the aggregated API's `restateinvocations`. Invariants: whose invocations may be seen is
//! the scope's, and every text is asked within it; whatever comes from outside is a literal, never a part of the
//! statement; a page is in the order of ids, so that the next one begins where it ended.
//!
//! Facts, seen on 1.7.12 and 1.6.1: `sys_invocation` calls `pending` what `sys_invocation_status` calls `inboxed`;
//! comparing an id with a text that is none is a 500 ("non valid invocation id"), but `id > 'text'` compares texts;
//! a backslash means nothing in a literal.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;
use restate_model::{
    AttemptFailure, Attempts, Caller, DeploymentId, Invocation, InvocationId, InvocationState, ServiceKind,
    ServiceName, Status, Target, Times,
};
use serde::Deserialize;

use super::sql::Literal;
use crate::admin::{Admin, Error};

/// People wait for it; what takes longer needs a narrower selection.
pub const INVOCATIONS_DEADLINE: Duration = Duration::from_secs(10);
/// Some thousand rows with long failures.
const LIMIT: usize = 16 * 1024 * 1024;

/// Restate's words about a text that looks like an id and is none.
const NO_ID: &str = "non valid invocation id";

const COLUMNS: &str = "id, target_service_name, target_service_key, target_handler_name, target_service_ty, \
    status, pinned_deployment_id, last_attempt_deployment_id, created_at, modified_at, scheduled_start_at, \
    running_at, completed_at, retry_count, next_retry_at, last_failure, last_failure_error_code, \
    completion_failure, invoked_by, invoked_by_service_name, invoked_by_id, restarted_from";

/// Bound to nothing that Restate knows at the moment of asking: where such a one goes is a matter of routing.
const HOMELESS: &str = "(pinned_deployment_id IS NULL OR \
    pinned_deployment_id NOT IN (SELECT id FROM sys_deployment))";

/// Whose invocations: those that are pinned to one of `deployments`; and of those that are pinned to nothing, or to
/// what Restate does not know any more, those of `services`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Deployments that are ours.
    pub deployments: BTreeSet<DeploymentId>,
    /// Services that Restate routes to one of them.
    pub services: BTreeSet<ServiceName>,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The id of the invocation.
    Id,
    /// The service's name.
    Service,
    /// The handler's name.
    Handler,
    /// The key; the empty text where there is none.
    Key,
    /// The state; see [`word`].
    State,
}

/// One of these values, or none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What it is about.
    pub column: Column,
    /// Whether it is to be one of the values, or none.
    pub is: bool,
    /// The values.
    pub values: Vec<String>,
}

/// A page of invocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Whose.
    pub scope: Scope,
    /// All of these hold.
    pub conditions: Vec<Condition>,
    /// Only what comes after this id.
    pub after: Option<InvocationId>,
    /// At most so many.
    pub limit: usize,
}

#[derive(Deserialize)]
struct Row {
    id: InvocationId,
    target_service_name: ServiceName,
    target_service_key: Option<String>,
    target_handler_name: String,
    target_service_ty: Option<String>,
    status: String,
    pinned_deployment_id: Option<DeploymentId>,
    last_attempt_deployment_id: Option<DeploymentId>,
    created_at: Option<Timestamp>,
    modified_at: Option<Timestamp>,
    scheduled_start_at: Option<Timestamp>,
    running_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    retry_count: Option<u64>,
    next_retry_at: Option<Timestamp>,
    last_failure: Option<String>,
    last_failure_error_code: Option<String>,
    completion_failure: Option<String>,
    invoked_by: Option<String>,
    invoked_by_service_name: Option<ServiceName>,
    invoked_by_id: Option<InvocationId>,
    restarted_from: Option<InvocationId>,
}

impl Admin {
    /// One page, in the order of ids. A text that is no id names no invocation.
    pub async fn invocations(&self, wanted: &Wanted) -> Result<Vec<Invocation>, Error> {
        let named: Vec<_> = wanted.conditions.iter().filter(|condition| condition.names_ids()).collect();
        if wanted.scope.is_empty() || named.iter().any(|named| !named.values.iter().any(|text| is_id(text))) {
            return Ok(Vec::new());
        }
        match self.rows::<Row>(&wanted.text(), INVOCATIONS_DEADLINE, LIMIT).await {
            Ok(rows) => Ok(rows.into_iter().map(Row::into_model).collect()),
            Err(Error::Refused(refused)) if !named.is_empty() && refused.message.contains(NO_ID) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// The invocation of this id, where the scope admits it.
    pub async fn invocation(&self, scope: &Scope, id: &InvocationId) -> Result<Option<Invocation>, Error> {
        let is_this = Condition { column: Column::Id, is: true, values: vec![id.to_string()] };
        let wanted = Wanted { scope: scope.clone(), conditions: vec![is_this], after: None, limit: 1 };
        Ok(self.invocations(&wanted).await?.pop())
    }
}

/// Restate's own word for a state; none for those that it does not tell from each other.
pub fn word(state: InvocationState) -> &'static str {
    match state {
        InvocationState::Unfinished(Status::Scheduled) => "scheduled",
        InvocationState::Unfinished(Status::Inboxed) => "pending",
        InvocationState::Unfinished(Status::Ready) => "ready",
        InvocationState::Unfinished(Status::Running) => "running",
        InvocationState::Unfinished(Status::BackingOff) => "backing-off",
        InvocationState::Unfinished(Status::Suspended) => "suspended",
        InvocationState::Unfinished(Status::Paused) => "paused",
        InvocationState::Unfinished(Status::Other) => "",
        InvocationState::Completed => "completed",
    }
}

fn state(text: &str) -> InvocationState {
    let known = InvocationState::ALL.into_iter().find(|state| word(*state) == text);
    known.unwrap_or(InvocationState::Unfinished(Status::Other))
}

fn is_id(text: &str) -> bool {
    text.strip_prefix("inv_").is_some_and(|rest| {
        (20..=64).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

impl Scope {
    /// Whether nothing can be in it.
    pub fn is_empty(&self) -> bool {
        self.deployments.is_empty() && self.services.is_empty()
    }

    fn text(&self) -> String {
        let pinned = one_of("pinned_deployment_id", &self.deployments);
        format!("({pinned} OR ({} AND {HOMELESS}))", one_of("target_service_name", &self.services))
    }
}

impl Wanted {
    fn text(&self) -> String {
        let mut all = vec![self.scope.text()];
        all.extend(self.conditions.iter().map(Condition::text));
        all.extend(self.after.as_ref().map(|id| format!("id > {}", Literal(id.as_str()))));
        format!(
            "SELECT {COLUMNS} FROM sys_invocation WHERE {} ORDER BY id LIMIT {}",
            all.join(" AND "),
            self.limit
        )
    }
}

impl Condition {
    fn names_ids(&self) -> bool {
        self.column == Column::Id && self.is
    }

    fn text(&self) -> String {
        let column = match self.column {
            Column::Id => "id",
            Column::Service => "target_service_name",
            Column::Handler => "target_handler_name",
            Column::Key => "COALESCE(target_service_key, '')",
            Column::State => "status",
        };
        let one_of = one_of(column, &self.values);
        if self.is { one_of } else { format!("NOT {one_of}") }
    }
}

/// `column IN (…)`, which no value can break out of.
fn one_of<'a, T: Display + 'a>(column: &str, values: impl IntoIterator<Item = &'a T>) -> String {
    let literals: Vec<String> =
        values.into_iter().map(|value| Literal(&value.to_string()).to_string()).collect();
    if literals.is_empty() {
        return "FALSE".to_owned();
    }
    format!("({column} IN ({}))", literals.join(", "))
}

impl Row {
    fn into_model(self) -> Invocation {
        Invocation {
            id: self.id,
            target: Target {
                service: self.target_service_name,
                key: self.target_service_key,
                handler: self.target_handler_name,
                kind: kind(self.target_service_ty.as_deref()),
            },
            state: state(&self.status),
            pinned: self.pinned_deployment_id,
            times: Times {
                created: self.created_at,
                modified: self.modified_at,
                scheduled_start: self.scheduled_start_at,
                started: self.running_at,
                completed: self.completed_at,
            },
            attempts: Attempts {
                count: self.retry_count.unwrap_or_default(),
                deployment: self.last_attempt_deployment_id,
                next: self.next_retry_at,
                failure: self
                    .last_failure
                    .map(|message| AttemptFailure { message, code: self.last_failure_error_code }),
            },
            caller: Caller {
                kind: self.invoked_by.unwrap_or_default(),
                service: self.invoked_by_service_name,
                invocation: self.invoked_by_id,
            },
            failure: self.completion_failure,
            restarted_from: self.restarted_from,
        }
    }
}

fn kind(ty: Option<&str>) -> ServiceKind {
    match ty {
        Some("service") => ServiceKind::Service,
        Some("virtual_object") => ServiceKind::VirtualObject,
        Some("workflow") => ServiceKind::Workflow,
        _ => ServiceKind::Other,
    }
}

#[cfg(test)]
mod tests;
