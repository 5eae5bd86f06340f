//! Stages that decide and record: may the user (Z1–Z10), and what was answered (M8).

use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::framing::Waited;
use super::{Answer, Stages, either, info};
use crate::audit::Note;
use crate::authn::live_chain;
use crate::authz::{self, Decision, forbidden};
use crate::metrics::Outcome;
use crate::status::Status;
use crate::user::User;

/// Writes one line once the answer is known.
pub(super) async fn audit(State(stages): State<Stages>, request: Request, next: Next) -> Response {
    let note = request.extensions().get::<Note>().cloned().unwrap_or_else(|| Note::of(&request));
    let response = next.run(request).await;
    stages.0.audit.record(&note, response.status());
    response
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
