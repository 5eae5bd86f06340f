//! The last look at an answer: whatever a router, an extractor or a handler made of it, clients get what they
//! understand (E11), and no redirect leaves (P8).

use std::any::Any;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use crate::status::{Reason, Status};

/// In the extensions of an answer: its body is not ours, leave it as it is. For proxied answers and probes.
#[derive(Clone, Copy, Debug)]
pub struct Verbatim;

/// Around the handler.
pub(super) async fn seal(request: Request, next: Next) -> Response {
    sealed(next.run(request).await)
}

/// A panic in a handler is a fault of ours, said as such.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands over the box")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    tracing::error!(panic = text, "a handler panicked");
    Status::internal("this request caused the server to panic; its log has the details").into_response()
}

fn sealed(response: Response) -> Response {
    let code = response.status();
    if code.is_redirection() && response.headers().contains_key(LOCATION) {
        tracing::error!(%code, "a redirect was answered; the aggregation layer would refuse it");
        return Status::internal("the server answered with a redirect").into_response();
    }
    if code.is_client_error() || code.is_server_error() { explained(response) } else { response }
}

fn explained(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let parts = response.extensions();
    if parts.get::<Status>().is_some() || parts.get::<Verbatim>().is_some() || is_json(&response) {
        return response;
    }
    let mut status = status(response.status()).into_response();
    let (from, to) = (response.headers(), status.headers_mut());
    for name in [http::header::ALLOW, http::header::RETRY_AFTER, http::header::WWW_AUTHENTICATE] {
        if let Some(value) = from.get(&name) {
            to.insert(name, value.clone());
        }
    }
    status
}

fn is_json(response: &Response<Body>) -> bool {
    let of = response.headers().get(CONTENT_TYPE);
    of.is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

fn status(code: StatusCode) -> Status {
    let text = code.canonical_reason().unwrap_or("failed");
    match code.as_u16() {
        401 => Status::unauthorized(),
        403 => Status::new(Reason::Forbidden, "forbidden"),
        404 => Status::no_such_path(),
        405 => Status::new(
            Reason::MethodNotAllowed,
            "the server does not allow this method on the requested resource",
        ),
        406 => Status::new(Reason::NotAcceptable, text),
        409 => Status::new(Reason::Conflict, text),
        410 => Status::new(Reason::Gone, text),
        413 => Status::too_large("the body is over the limit"),
        415 => Status::new(Reason::UnsupportedMediaType, text),
        422 => Status::new(Reason::Invalid, text),
        429 => Status::too_many_requests(text, 1),
        503 => Status::unavailable(text),
        504 => Status::timeout(text, 0),
        _ if code.is_client_error() => Status::bad_request(text),
        _ => Status::internal(text),
    }
}
