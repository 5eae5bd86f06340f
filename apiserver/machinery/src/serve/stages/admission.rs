//! Stages that decide and record: may the user (Z1–Z10), and what was answered (M8).

use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;

use super::bounds::Deadline;
use super::framing::Waited;
use super::{Answer, Stages, either, info};
use crate::audit::{self, Note};
use crate::authn::live_chain;
use crate::authz::{self, Decision, forbidden};
use crate::metrics::Outcome;
use crate::status::Status;
use crate::user::User;

/// Writes one line once the answer is known, or once it is known that there will be none.
pub(super) async fn audit(State(stages): State<Stages>, request: Request, next: Next) -> Response {
    let note = request.extensions().get::<Note>().cloned().unwrap_or_else(|| Note::of(&request));
    let open = Unanswered::new(&stages, &request, note);
    let response = next.run(request).await;
    open.answered(response.status());
    response
}

/// What no client sees: it has left. The number is that of other servers' logs; there is none in any standard.
const CLIENT_LEFT: u16 = 499;

/// A request between its arrival and its answer: whatever becomes of it, it has a line (M8).
pub(super) struct Unanswered {
    log: audit::Log,
    note: Option<Note>,
    deadline: Option<Deadline>,
}

impl Unanswered {
    pub(super) fn new(stages: &Stages, request: &Request, note: Note) -> Self {
        let deadline = request.extensions().get::<Deadline>().copied();
        Self { log: stages.0.audit.clone(), note: Some(note), deadline }
    }

    /// Writes the line.
    pub(super) fn answered(mut self, code: StatusCode) {
        self.note.take().inspect(|note| self.log.record(note, code));
    }

    /// Leaves the line to a later stage.
    pub(super) fn passed_on(mut self) {
        self.note = None;
    }

    fn why(&self) -> StatusCode {
        let left = || StatusCode::from_u16(CLIENT_LEFT).unwrap_or(StatusCode::BAD_REQUEST);
        match self.deadline {
            _ if std::thread::panicking() => StatusCode::INTERNAL_SERVER_ERROR,
            Some(deadline) if deadline.has_passed() => StatusCode::GATEWAY_TIMEOUT,
            Some(_) | None => left(),
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(note) = self.note.take() {
            self.log.record(&note, self.why());
        }
    }
}

/// Lets through who may; the authorizer goes along for checks that only the handler can make (Z8).
pub(super) async fn authorize(State(stages): State<Stages>, request: Request, next: Next) -> Response {
    either(authorized(&stages, request, next).await)
}

async fn authorized(stages: &Stages, mut request: Request, next: Next) -> Answer {
    let start = Instant::now();
    let user = request.extensions().get::<User>().cloned().unwrap_or_else(User::anonymous);
    let attributes = info(&request).attributes();
    let decision = stages.0.authz.check(&user, &attributes).await;
    let waited = start.elapsed();
    stages.0.metrics.authorization(outcome(&decision), waited);
    let decision = decision.map_err(|error| Box::new(failed(&error)))?;
    if let Some(note) = request.extensions().get::<Note>() {
        note.decision(&decision);
    }
    forbidden::unless_allowed(&user, &attributes, &decision)?;
    request.extensions_mut().insert(stages.0.authz.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Waited(waited));
    Ok(response)
}

fn outcome(decision: &Result<Decision, authz::Error>) -> Outcome {
    match decision {
        Ok(Decision::Allowed { .. }) => Outcome::Allowed,
        Ok(Decision::Denied { .. }) => Outcome::Denied,
        Err(_) => Outcome::Error,
    }
}

/// Z10: no answer is no permission; the caller learns nothing about why.
pub(super) fn failed(error: &authz::Error) -> Status {
    tracing::warn!(error = live_chain(error), "authorization failed");
    Status::internal("authorization could not be checked")
}
