//! A kube-apiserver that stores some kinds of objects: list, watch, create, replace, apply, versions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

#[derive(Clone)]
pub(crate) struct Cluster(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    length: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    /// By `plural/name`.
    objects: BTreeMap<String, Value>,
    /// `plural/name`, type and object; the version is the position plus one.
    log: Vec<(String, &'static str, Value)>,
    writes: BTreeMap<String, usize>,
    /// Nobody may read anything.
    denies: bool,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), length: watch::Sender::new(0) }))
    }

    pub(crate) fn client(&self) -> kube::Client {
        let own = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let own = own.clone();
            let router =
                Router::new().fallback(move |request: Request| async move { own.answer(request).await });
            router.oneshot(request.map(Body::new))
        });
        kube::Client::new(service, "shop")
    }

    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        self.0.state.lock().unwrap().objects.get(key).cloned()
    }

    pub(crate) fn writes(&self, key: &str) -> usize {
        self.0.state.lock().unwrap().writes.get(key).copied().unwrap_or_default()
    }

    pub(crate) fn put(&self, key: &str, mut object: Value) -> Value {
        let mut state = self.0.state.lock().unwrap();
        let kind = if state.objects.contains_key(key) { "MODIFIED" } else { "ADDED" };
        object["metadata"]["resourceVersion"] = json!((state.log.len() + 1).to_string());
        state.objects.insert(key.to_owned(), object.clone());
        state.log.push((key.to_owned(), kind, object.clone()));
        *state.writes.entry(key.to_owned()).or_default() += 1;
        self.0.length.send_replace(state.log.len());
        object
    }

    pub(crate) fn deny(&self, denies: bool) {
        self.0.state.lock().unwrap().denies = denies;
    }

    pub(crate) fn delete(&self, key: &str) {
        let mut state = self.0.state.lock().unwrap();
        let object = state.objects.remove(key).unwrap();
        state.log.push((key.to_owned(), "DELETED", object));
        self.0.length.send_replace(state.log.len());
    }

    async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().trim_start_matches('/').to_owned();
        let (plural, name) = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["api", "v1", "namespaces", _, plural @ ("secrets" | "configmaps"), rest @ ..] => {
                (*plural, rest.first().copied())
            }
            ["apis", "apiregistration.k8s.io", "v1", "apiservices", rest @ ..] => {
                ("apiservices", rest.first().copied())
            }
            _ => return failure(404),
        };
        let query = parts.uri.query().unwrap_or_default();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if self.0.state.lock().unwrap().denies {
            return failure(403);
        }
        match (parts.method, name) {
            (Method::GET, None) if query.contains("watch=true") => self.watch(plural, query),
            (Method::GET, None) => self.list(plural, query),
            (Method::GET, Some(name)) => self.get(&format!("{plural}/{name}")).map_or(failure(404), ok),
            (Method::POST, None) => self.create(plural, body),
            (Method::PUT, Some(name)) => self.replace(&format!("{plural}/{name}"), body),
            (Method::PATCH, Some(name)) => self.apply(&format!("{plural}/{name}"), &body),
            _ => failure(405),
        }
    }

    fn list(&self, plural: &str, query: &str) -> Response {
        let state = self.0.state.lock().unwrap();
        let wanted = |key: &&String| is_wanted(key, plural, query);
        let items: Vec<_> =
            state.objects.keys().filter(wanted).map(|key| state.objects[key].clone()).collect();
        ok(json!({"metadata": {"resourceVersion": state.log.len().to_string()}, "items": items}))
    }

    fn watch(&self, plural: &str, query: &str) -> Response {
        let from = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")).unwrap_or("0");
        let (plural, query, own) = (plural.to_owned(), query.to_owned(), self.clone());
        let start = (from.parse::<usize>().unwrap(), self.0.length.subscribe());
        let lines = futures::stream::unfold(start, move |(mut seen, mut length)| {
            let (own, plural, query) = (own.clone(), plural.clone(), query.clone());
            async move {
                length.wait_for(|length| *length > seen).await.ok()?;
                let (key, kind, object) = own.0.state.lock().unwrap().log[seen].clone();
                seen += 1;
                let line = if is_wanted(&key, &plural, &query) {
                    format!("{}\n", json!({"type": kind, "object": object}))
                } else {
                    String::new()
                };
                Some((Ok::<_, std::convert::Infallible>(line), (seen, length)))
            }
        });
        Body::from_stream(lines).into_response()
    }

    fn create(&self, plural: &str, mut body: Value) -> Response {
        let key = format!("{plural}/{}", body["metadata"]["name"].as_str().unwrap());
        if self.get(&key).is_some() {
            return failure(409);
        }
        body["metadata"]["namespace"] = json!("shop");
        ok(self.put(&key, body))
    }

    fn replace(&self, key: &str, body: Value) -> Response {
        let Some(old) = self.get(key) else { return failure(404) };
        if old["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
            return failure(409);
        }
        ok(self.put(key, body))
    }

    fn apply(&self, key: &str, body: &Value) -> Response {
        let Some(mut object) = self.get(key) else { return failure(404) };
        if object["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
            return failure(409);
        }
        let fields: Vec<_> = body["spec"].as_object().unwrap().keys().collect();
        assert_eq!(fields, ["caBundle"], "H2: only this field is ours");
        object["spec"]["caBundle"] = body["spec"]["caBundle"].clone();
        ok(self.put(key, object))
    }
}

fn is_wanted(key: &str, plural: &str, query: &str) -> bool {
    let (own, name) = key.split_once('/').unwrap();
    own == plural && query.contains(&format!("fieldSelector=metadata.name%3D{name}"))
}

fn ok(object: Value) -> Response {
    Json(object).into_response()
}

fn failure(code: u16) -> Response {
    let status = json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "", "code": code});
    (StatusCode::from_u16(code).unwrap(), Json(status)).into_response()
}
