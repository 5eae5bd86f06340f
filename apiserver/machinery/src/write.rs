//! Creating: from the bytes of a body to an object that a handler can act on (C1–C6, C16).
//!
//! The order: media type, options, namespace, syntax, unknown fields, kind, metadata. The handler sees a whole object
//! or is not called. The limit of a body is the server's (E7).

mod complaints;
mod decode;
mod draft;
mod options;

pub(crate) use draft::{Draft, Target};
pub use options::{CreateOptions, FieldValidation};

use axum::body::{Body, to_bytes};
use http::{Request, Uri};

use crate::{
    query::Query,
    resource::{Call, Namespaces, Phase},
    serve::body::is_over_the_limit,
    status::{Cause, Named, Status},
};

/// Limit of a body, also where no server put one around the router (E7).
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Options and draft of a request to create.
pub(crate) async fn read(
    request: Request<Body>,
    (call, target): (&Call, Target),
    namespaces: Option<&dyn Namespaces>,
) -> Result<(Draft, CreateOptions), Status> {
    let (parts, body) = request.into_parts();
    let media_type = decode::MediaType::of(&parts.headers)?;
    let options = CreateOptions::of(&Query::of(&parts.uri))?;
    if let (Some(namespaces), Some(namespace)) = (namespaces, call.namespace()) {
        check_namespace(namespaces, call, namespace).await?;
    }
    let bytes = to_bytes(body, BODY_LIMIT).await.map_err(|error| unread(&error))?;
    let decoded = decode::decode(media_type, &bytes)?;
    Ok((Draft::new(decoded, target), options))
}

/// A body that is too large, or one that broke off.
fn unread(error: &axum::Error) -> Status {
    if is_over_the_limit(error) {
        return Status::too_large(format!("limit is {BODY_LIMIT}"));
    }
    Status::bad_request(format!("unable to read the body of the request: {error}"))
}

/// For connections, where a dry run has no meaning (C3).
pub(crate) fn refuse_dry_run(uri: &Uri) -> Result<(), Status> {
    match Query::of(uri).first("dryRun") {
        Some(_) => Err(Status::bad_request("dryRun is not supported for connections")),
        None => Ok(()),
    }
}

async fn check_namespace(namespaces: &dyn Namespaces, call: &Call, namespace: &str) -> Result<(), Status> {
    match namespaces.phase(namespace).await? {
        Phase::Active => Ok(()),
        Phase::Absent => Err(Status::not_found(Named { group: "", resource: "namespaces", name: namespace })),
        Phase::Terminating => {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            Err(Status::forbidden(Named::from(&call.info), why).caused_by(Cause {
                reason: "NamespaceTerminating".to_owned(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".to_owned(),
            }))
        }
    }
}
