//! From a request to its handler: documents by path, resources by what the request info says (E3, S13).

use std::sync::Arc;

use apiserver_kind::Verb;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Request, StatusCode, header};

use super::{
    Assembled,
    mount::{Mount, SubMount},
    respond,
};
use crate::{
    audit::Note,
    authz::Authorizer,
    negotiate::{self, DiscoveryForm},
    query::Query,
    request_info::RequestInfo,
    resource::{Call, SubAccess},
    serve::warnings::Warnings,
    status::{Named, Status},
    user::User,
};

pub(super) async fn dispatch(api: Arc<Assembled>, request: Request<Body>) -> Response {
    let is_head = request.method() == Method::HEAD;
    let response = answer(&api, request).await.unwrap_or_else(IntoResponse::into_response);
    if is_head { response.map(|_| Body::empty()) } else { response }
}

async fn answer(api: &Assembled, request: Request<Body>) -> Result<Response, Status> {
    let given = request.extensions().get::<RequestInfo>().cloned();
    let info = given.unwrap_or_else(|| RequestInfo::of(request.method(), request.uri()));
    if !info.is_resource_request {
        return api.document(&info.path, &request);
    }
    let mount = api.mount(&info).ok_or_else(Status::no_such_path)?;
    if request.method() == Method::OPTIONS {
        return Ok(options());
    }
    let own_warnings = request.extensions().get::<Warnings>().is_none();
    let call = api.call(info, &request);
    let mut response = match call.info.subresource.clone() {
        None => api.resource(mount, &call, request).await,
        Some(name) => {
            let sub = mount.subresource(&name).ok_or_else(Status::no_such_path)?;
            api.subresource(mount, (sub, &call), request).await
        }
    }
    .unwrap_or_else(IntoResponse::into_response);
    if own_warnings {
        call.warnings.write(response.headers_mut());
    }
    Ok(response)
}

impl Assembled {
    fn document(&self, path: &str, request: &Request<Body>) -> Result<Response, Status> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let headers = request.headers();
        let is_read = [Method::GET, Method::HEAD].contains(request.method());
        let is_own = |group: &str, version: &str| (group, version) == (self.group, self.version);
        let document = match parts.as_slice() {
            ["apis"] if is_read => match negotiate::discovery(headers)? {
                DiscoveryForm::Aggregated => return Ok(self.documents.aggregated.respond(headers)),
                DiscoveryForm::Legacy => &self.documents.groups,
            },
            ["apis"] => &self.documents.groups,
            ["apis", group] if *group == self.group => &self.documents.group,
            ["apis", group, version] if is_own(group, version) => &self.documents.resources,
            ["openapi", "v2"] => &self.documents.openapi.v2,
            ["openapi", "v3"] => &self.documents.openapi.index,
            ["openapi", "v3", "apis", group, version] if is_own(group, version) => {
                if is_read {
                    negotiate::json(headers)?;
                    let query = Query::of(request.uri());
                    return Ok(self.documents.openapi.v3(headers, query.first("hash")));
                }
                &self.documents.openapi.index
            }
            _ => return Err(Status::no_such_path()),
        };
        match *request.method() {
            Method::GET | Method::HEAD => {
                negotiate::json(headers)?;
                Ok(document.respond(headers))
            }
            Method::OPTIONS => Ok(options()),
            _ => Err(not_allowed(Named { group: "", resource: path, name: "" }, request.method().as_str())),
        }
    }

    fn mount(&self, info: &RequestInfo) -> Option<&Mount> {
        if (info.group.as_str(), info.version.as_str()) != (self.group, self.version) {
            return None;
        }
        let mount = self.mounts.iter().find(|mount| mount.descriptor.plural == info.resource)?;
        let across = !info.named_by_path && ["list", "watch"].contains(&info.verb.as_str());
        let place = match (&info.namespace, mount.descriptor.is_namespaced()) {
            (Some(namespace), true) => !namespace.is_empty(),
            (None, true) => across || !info.named_by_path,
            (Some(_), false) => false,
            (None, false) => true,
        };
        place.then_some(mount)
    }

    fn call(&self, info: RequestInfo, request: &Request<Body>) -> Call {
        let extensions = request.extensions();
        Call {
            info,
            user: extensions.get::<User>().cloned().unwrap_or_else(User::anonymous),
            warnings: extensions.get::<Warnings>().cloned().unwrap_or_default(),
            access: self.access.clone().or_else(|| extensions.get::<Authorizer>().cloned().map(asked)),
            note: extensions.get::<Note>().cloned(),
        }
    }

    async fn resource(&self, mount: &Mount, call: &Call, request: Request<Body>) -> Result<Response, Status> {
        let verb: Option<Verb> = call.info.verb.parse().ok();
        let Some(verb) = verb.filter(|verb| mount.descriptor.has(*verb)) else {
            return Err(refused(mount, call));
        };
        let (parts, body) = request.into_parts();
        match verb {
            Verb::Get => respond::get(mount, call, &parts).await,
            Verb::List => respond::list(mount, call, &parts).await,
            Verb::Watch => respond::watch(mount, call, &parts).await,
            Verb::Create if call.info.named_by_path => Err(refused(mount, call)),
            Verb::Create if mount.descriptor.is_namespaced() && call.info.namespace.is_none() => {
                Err(refused(mount, call))
            }
            Verb::Create => {
                let request = Request::from_parts(parts, body);
                respond::create(mount, (call, self.namespaces.as_deref()), request).await
            }
            Verb::Delete | Verb::DeleteCollection | Verb::Patch | Verb::Update => Err(refused(mount, call)),
        }
    }

    async fn subresource(
        &self,
        mount: &Mount,
        (sub, call): (&SubMount, &Call),
        request: Request<Body>,
    ) -> Result<Response, Status> {
        let verb: Option<Verb> = call.info.verb.parse().ok();
        let Some(verb) = verb.filter(|verb| sub.declared.verbs.contains(verb)) else {
            return Err(refused(mount, call));
        };
        if let Some(connection) = &sub.connection {
            return respond::connect(connection.as_ref(), call, request).await;
        }
        if call.info.rest.is_some() {
            return Err(Status::no_such_path());
        }
        let (parts, body) = request.into_parts();
        match verb {
            Verb::Get => respond::get_subresource(sub, call, &parts).await,
            Verb::Create => {
                let request = Request::from_parts(parts, body);
                respond::create_subresource(sub, (call, self.namespaces.as_deref()), request).await
            }
            _ => Err(refused(mount, call)),
        }
    }
}

/// The authorizer that let the request in answers its handler's questions too.
fn asked(authorizer: Authorizer) -> Arc<dyn SubAccess> {
    Arc::new(authorizer)
}

/// 405, with a word on what can be done instead (C7, C8).
fn refused(mount: &Mount, call: &Call) -> Status {
    let served = match call.info.subresource.as_deref().and_then(|name| mount.subresource(name)) {
        Some(sub) => sub.declared.verbs,
        None => mount.descriptor.verbs,
    };
    let names: Vec<&str> = served.iter().map(|verb| verb.name()).collect();
    let resource = call.info.printed_resource();
    let verb = if call.info.verb.is_empty() { "this method" } else { call.info.verb.as_str() };
    let hint = if names.is_empty() { String::new() } else { format!("use {}", names.join(", ")) };
    let about = Named { group: &call.info.group, resource: &resource, name: "" };
    Status::method_not_allowed(about, verb, &hint)
}

fn not_allowed(named: Named<'_>, method: &str) -> Status {
    Status::method_not_allowed(named, method, "use GET")
}

fn options() -> Response {
    let mut response = StatusCode::OK.into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS, POST"));
    response
}
