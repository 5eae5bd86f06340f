//! Stages that say who the request is from (A10) and who they want to be (A15).

use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Version;
use jiff::Timestamp;

use super::admission::Unanswered;
use super::{Answer, Stages, connection, either};
use crate::audit::Note;
use crate::authn::{Impersonation, live_chain};
use crate::authz::forbidden;
use crate::metrics::Outcome;
use crate::serve::connection::Connection;
use crate::status::Status;
use crate::user::User;

/// Puts the `User` into the extensions, or answers 401 (A12).
pub(super) async fn authenticate(State(stages): State<Stages>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let note = Note::of(&request);
    let open = Unanswered::new(&stages, &request, note.clone());
    let (mut parts, body) = request.into_parts();
    let authenticated = stages.0.authn.authenticate(&mut parts, Timestamp::now()).await;
    let outcome = if authenticated.is_ok() { Outcome::Success } else { Outcome::Failure };
    stages.0.metrics.authentication(outcome, start.elapsed());
    let mut request = Request::from_parts(parts, body);
    close_if_unknown(&request, authenticated.as_ref().ok());
    match authenticated {
        Ok(user) => {
            open.passed_on();
            note.user(&user);
            request.extensions_mut().insert(user);
            request.extensions_mut().insert(note);
            next.run(request).await
        }
        Err(error) => {
            tracing::info!(error = live_chain(&error), "authentication failed");
            let response = Status::unauthorized().into_response();
            open.answered(response.status());
            response
        }
    }
}

/// A12: whoever is not known gets one round of HTTP/2, then a new connection.
fn close_if_unknown(request: &Request, user: Option<&User>) {
    let unknown = user.is_none_or(User::is_anonymous);
    if unknown && request.version() == Version::HTTP_2 {
        connection(request).inspect(Connection::close);
    }
}

/// Replaces the `User` by the one whom the headers name, if that is allowed.
pub(super) async fn impersonate(State(stages): State<Stages>, request: Request, next: Next) -> Response {
    either(impersonated(&stages, request, next).await)
}

async fn impersonated(stages: &Stages, mut request: Request, next: Next) -> Answer {
    let wanted = Impersonation::take(request.headers_mut());
    let wanted = wanted.map_err(|error| Box::new(Status::bad_request(error.to_string())))?;
    let Some(wanted) = wanted else { return Ok(next.run(request).await) };
    let caller = request.extensions().get::<User>().cloned().unwrap_or_else(User::anonymous);
    for right in wanted.rights() {
        let decision = stages.0.authz.check(&caller, &right).await;
        let decision = decision.map_err(|error| Box::new(super::admission::failed(&error)))?;
        forbidden::unless_allowed(&caller, &right, &decision)?;
    }
    let user = wanted.user();
    if let Some(note) = request.extensions().get::<Note>() {
        note.impersonated(&user);
    }
    request.extensions_mut().insert(user);
    Ok(next.run(request).await)
}
