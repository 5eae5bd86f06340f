//! One function per verb: options in, handler called, answer rendered.

use std::sync::Arc;

use apiserver_kind::Descriptor;
use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderName, Request, StatusCode, header, request::Parts};

use super::mount::{Mount, Reader, SubMount};
use crate::{
    list::{Bound, ListMeta, ListOptions, Reading, version_of},
    metrics::Metrics,
    query::Query,
    render::Render,
    request_info::RequestInfo,
    resource::{Call, ErasedConnect, Gathered, Namespaces, Wanted},
    serve::Verbatim,
    shutdown::Draining,
    status::Status,
    watch,
    write::{self, Target},
};

pub(super) async fn get(mount: &Mount, call: &Call, request: &Parts) -> Result<Response, Status> {
    let render = Render::of(&request.headers, &request.uri, mount.shape)?;
    let version = version_of(&Query::of(&request.uri))?;
    match &mount.reader {
        Some(Reader::Stored(stored)) => {
            let wanted = Wanted { namespace: call.info.namespace.clone(), name: call.info.name.clone() };
            let object =
                stored.get(version, (&wanted, &call.warnings)).await?.ok_or_else(|| call.not_found())?;
            render.object(StatusCode::OK, &object)
        }
        Some(Reader::Computed(computed)) => {
            computed.reaches(version, None)?;
            let object = computed.get(call).await?.ok_or_else(|| call.not_found())?;
            render.object(StatusCode::OK, &object)
        }
        None => Err(Status::no_such_path()),
    }
}

pub(super) async fn list(mount: &Mount, call: &Call, request: &Parts) -> Result<Response, Status> {
    let reading = reading(mount, call, request)?;
    match &mount.reader {
        Some(Reader::Stored(stored)) => stored.list(&reading, &call.warnings).await,
        Some(Reader::Computed(computed)) => {
            let ListOptions { version, version_match, .. } = reading.options;
            computed.reaches(version, version_match)?;
            let request = reading.options.request()?;
            let mut gathered = computed.list(call, &request).await?;
            gathered.resume = gathered.resume.map(|at| Bound::encode(at, &request.selection));
            render_list(&reading.render, gathered)
        }
        None => Err(Status::no_such_path()),
    }
}

pub(super) async fn watch(mount: &Mount, call: &Call, request: &Parts) -> Result<Response, Status> {
    let Some(Reader::Stored(stored)) = &mount.reader else { return Err(Status::no_such_path()) };
    let draining = request.extensions.get::<Draining>().cloned().unwrap_or_else(Draining::never);
    let metrics = request.extensions.get::<Metrics>().cloned().unwrap_or_else(Metrics::unread);
    let Descriptor { gvk, plural, .. } = mount.descriptor;
    let counter = watch::Counter { metrics, gvk, plural };
    watch::watch(stored, reading(mount, call, request)?, (call, draining, counter)).await
}

pub(super) async fn create(
    mount: &Mount,
    (call, namespaces): (&Call, Option<&dyn Namespaces>),
    request: Request<Body>,
) -> Result<Response, Status> {
    let Some(creator) = &mount.creator else { return Err(Status::no_such_path()) };
    let render = Render::of(request.headers(), request.uri(), mount.shape)?;
    let (draft, options) = write::read(request, (call, Target::Collection), namespaces).await?;
    render.object(StatusCode::CREATED, &creator.create(call, draft, &options).await?)
}

pub(super) async fn get_subresource(
    sub: &SubMount,
    call: &Call,
    request: &Parts,
) -> Result<Response, Status> {
    let (Some(handler), Some(shape)) = (&sub.reader, sub.shape) else { return Err(Status::no_such_path()) };
    let render = Render::of(&request.headers, &request.uri, shape)?;
    version_of(&Query::of(&request.uri))?;
    let gathered = handler.get(call).await?;
    match gathered.items.as_slice() {
        [one] if !gathered.is_list => render.object(StatusCode::OK, one),
        _ => render_list(&render, gathered),
    }
}

pub(super) async fn create_subresource(
    sub: &SubMount,
    (call, namespaces): (&Call, Option<&dyn Namespaces>),
    request: Request<Body>,
) -> Result<Response, Status> {
    let (Some(creator), Some(shape)) = (&sub.creator, sub.shape) else { return Err(Status::no_such_path()) };
    let render = Render::of(request.headers(), request.uri(), shape)?;
    let (draft, options) = write::read(request, (call, Target::Subresource), namespaces).await?;
    render.object(StatusCode::CREATED, &creator.create(call, draft, &options).await?)
}

pub(super) async fn connect(
    connection: &dyn ErasedConnect,
    call: &Call,
    mut request: Request<Body>,
) -> Result<Response, Status> {
    write::refuse_dry_run(request.uri())?;
    if call.info.verb == "get" && request.headers().contains_key(header::UPGRADE) {
        may_write(call).await?;
    }
    strip_identity(request.headers_mut());
    let mut response = connection.connect(call, request).await?;
    response.extensions_mut().insert(Verbatim);
    Ok(response)
}

/// What is upgraded carries writes as well, so the right to read is not enough (Z8).
async fn may_write(call: &Call) -> Result<(), Status> {
    let info = RequestInfo { verb: "create".to_owned(), ..call.info.clone() };
    call.may(&info.attributes()).await
}

fn reading(mount: &Mount, call: &Call, request: &Parts) -> Result<Reading, Status> {
    Ok(Reading {
        options: ListOptions::of(&Query::of(&request.uri), &call.info, &mount.descriptor)?,
        render: Render::of(&request.headers, &request.uri, mount.shape)?,
    })
}

fn render_list(render: &Render, gathered: Gathered) -> Result<Response, Status> {
    let meta = ListMeta { resume: gathered.resume, ..ListMeta::at(gathered.version) };
    render.list(meta, gathered.items.into_iter().map(Arc::new).collect())
}

/// Takes out everything that tells who asks, and how they proved it (A13).
fn strip_identity(headers: &mut HeaderMap) {
    let tells = |name: &HeaderName| {
        let name = name.as_str();
        matches!(name, "authorization" | "proxy-authorization" | "cookie")
            || ["x-remote-", "impersonate-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix))
    };
    let telling: Vec<HeaderName> = headers.keys().filter(|name| tells(name)).cloned().collect();
    for name in telling {
        headers.remove(name);
    }
}
