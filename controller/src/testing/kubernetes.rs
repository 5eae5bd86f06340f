//! An API server in memory: it keeps what is written, as far as steps need that, and every request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// Refuses some requests, by method and path.
type Refusal = Arc<dyn Fn(&Method, &str) -> Option<(StatusCode, Value)> + Send + Sync>;

/// An API server in memory.
#[derive(Clone, Default)]
pub(crate) struct Kubernetes {
    state: Arc<Mutex<State>>,
    refusal: Option<Refusal>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    requests: Vec<String>,
    version: u64,
}

impl Kubernetes {
    /// It refuses what `refusal` says.
    pub(crate) fn refusing(
        refusal: impl Fn(&Method, &str) -> Option<(StatusCode, Value)> + Send + Sync + 'static,
    ) -> Self {
        Self { refusal: Some(Arc::new(refusal)), ..Self::default() }
    }

    /// An answer that refuses.
    pub(crate) fn no(code: u16, message: &str) -> (StatusCode, Value) {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": if code == 404 { "NotFound" } else { "No" },
                          "message": message, "details": {"name": "x", "kind": "things"}});
        (StatusCode::from_u16(code).unwrap(), body)
    }

    /// It has this object at this path.
    pub(crate) fn with(self, path: &str, object: Value) -> Self {
        self.state.lock().unwrap().objects.insert(path.to_owned(), object);
        self
    }

    /// The object at this path.
    pub(crate) fn object(&self, path: &str) -> Value {
        self.state.lock().unwrap().objects.get(path).cloned().unwrap_or_default()
    }

    /// What was asked since the last time, events left out.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.requests(|request| !request.contains("/events"))
    }

    /// The events that were written since the last time.
    pub(crate) fn told(&self) -> Vec<String> {
        self.requests(|request| request.contains("/events"))
    }

    /// What was asked since the last time, as far as it is wanted.
    pub(crate) fn requests(&self, wanted: impl FnMut(&String) -> bool) -> Vec<String> {
        let requests = std::mem::take(&mut self.state.lock().unwrap().requests);
        requests.into_iter().filter(wanted).collect()
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let content = head.headers.get("content-type").and_then(|value| value.to_str().ok());
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (status, answer) =
                    server.answer(&head.method, &head.uri.to_string(), content.unwrap_or_default(), &body);
                let answer = Body::from(serde_json::to_vec(&answer).unwrap());
                Ok::<_, tower::BoxError>(Response::builder().status(status).body(answer).unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, method: &Method, uri: &str, content: &str, body: &Value) -> (StatusCode, Value) {
        let mut state = self.state.lock().unwrap();
        state.requests.push(written(method, uri, content, body));
        let path = uri.split('?').next().unwrap_or_default();
        if let Some(refused) = self.refusal.as_ref().and_then(|refusal| refusal(method, path)) {
            return refused;
        }
        state.version += 1;
        let version = state.version.to_string();
        let (path, object) = match *method {
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
                (path, body.clone())
            }
            Method::PATCH => {
                let path = path.trim_end_matches("/status").to_owned();
                let mut object = state.objects.get(&path).cloned().unwrap_or_default();
                if !change(&mut object, content, body) {
                    return Self::no(422, "the server rejected our request due to an error in our request");
                }
                (path, object)
            }
            Method::DELETE => {
                state.objects.remove(path);
                return (StatusCode::OK, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}));
            }
            _ => {
                let found = state.objects.get(path).cloned();
                return found.map_or_else(|| Self::no(404, "not found"), |found| (StatusCode::OK, found));
            }
        };
        let object = kept(object, &path, &version);
        state.objects.insert(path, object.clone());
        (StatusCode::OK, object)
    }
}

/// Whether the change could be made.
fn change(object: &mut Value, content: &str, body: &Value) -> bool {
    if content != "application/json-patch+json" {
        json_patch::merge(object, body);
        return true;
    }
    // What is absent is null to the API server's tests.
    if object["metadata"].get("finalizers").is_none() {
        object["metadata"]["finalizers"] = Value::Null;
    }
    let patch: json_patch::Patch = serde_json::from_value(body.clone()).unwrap();
    json_patch::patch(object, &patch).is_ok()
}

fn kept(mut object: Value, path: &str, version: &str) -> Value {
    let metadata = &mut object["metadata"];
    metadata["resourceVersion"] = version.into();
    if metadata["uid"].is_null() {
        metadata["uid"] = format!("uid of {path}").into();
    }
    object
}

fn written(method: &Method, uri: &str, content: &str, body: &Value) -> String {
    let content = content.trim_start_matches("application/");
    let text = if body.is_null() { String::new() } else { format!(" {body}") };
    format!("{method} {uri} {content}{text}")
}
