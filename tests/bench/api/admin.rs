//! A stand-in for Restate's admin API: a Restate of its own could not be given ten thousand registered deployments in
//! the time of a benchmark. It answers what the poller asks, from memory, and counts the questions.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use restate_tests::Result;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// One registered deployment of the stand-in.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    pub(super) id: String,
    pub(super) endpoint: String,
    pub(super) service: String,
    pub(super) revision: usize,
    /// Whether new calls of the service go to it.
    pub(super) latest: bool,
}

/// The stand-in; it ends with the value.
pub(super) struct StandIn {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    registered: Mutex<Vec<Registered>>,
    /// Unfinished invocations pinned to each superseded deployment.
    pinned: AtomicU64,
    /// How many deployments, from the first on, have one more.
    busy: AtomicUsize,
    usage_questions: AtomicUsize,
    answers: Mutex<Answers>,
}

/// Encoded once per change: it is not the stand-in that is measured.
#[derive(Clone, Default)]
struct Answers {
    deployments: Bytes,
    services: Bytes,
    in_flight: Bytes,
    unfinished: Bytes,
}

impl StandIn {
    pub(super) async fn new(address: &str) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { pinned: AtomicU64::new(1), ..State::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, task })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn register(&self, more: Vec<Registered>) {
        self.state.registered.lock().unwrap_or_else(PoisonError::into_inner).extend(more);
        self.state.encode();
    }

    /// From now on the first `count` superseded deployments have another number of invocations.
    pub(super) fn change(&self, count: usize) {
        self.state.busy.store(count, Ordering::SeqCst);
        self.state.pinned.fetch_add(1, Ordering::SeqCst);
        self.state.encode();
    }

    /// How often unfinished work was asked for.
    pub(super) fn usage_questions(&self) -> usize {
        self.state.usage_questions.load(Ordering::SeqCst)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn encode(&self) {
        let registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = Answers {
            deployments: bytes("deployments", registered.iter().map(deployment)),
            services: bytes("services", registered.iter().filter(|it| it.latest).map(service)),
            in_flight: bytes("rows", registered.iter().map(|it| json!({"deployment": it.id, "attempts": 0}))),
            unfinished: bytes("rows", self.unfinished(&registered)),
        };
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers;
    }

    fn unfinished(&self, registered: &[Registered]) -> impl Iterator<Item = Value> {
        let (pinned, busy) = (self.pinned.load(Ordering::SeqCst), self.busy.load(Ordering::SeqCst));
        let named = registered.iter().map(|it| {
            json!({"kind": "deployment", "deployment": it.id, "service": "", "handler": "", "status": "", "count": 0})
        });
        let superseded = registered.iter().filter(|it| !it.latest).enumerate();
        let work = superseded.map(move |(index, it)| {
            let count = if index < busy { pinned + 1 } else { 1 };
            json!({
                "kind": "work", "deployment": it.id, "service": it.service, "handler": "run",
                "status": "suspended", "count": count,
            })
        });
        named.chain(work)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let asked = body.collect().await?.to_bytes();
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let body = match parts.uri.path() {
            "/deployments" => answers.deployments,
            "/services" => answers.services,
            "/query" if contains(&asked, b"in_flight GROUP BY") => marked(&answers.in_flight, &asked),
            "/query" => {
                self.usage_questions.fetch_add(1, Ordering::SeqCst);
                marked(&answers.unfinished, &asked)
            }
            "/health" => Bytes::new(),
            _ => return Ok(status(StatusCode::NOT_FOUND)),
        };
        let mut response = Response::new(Full::new(body));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

/// Rows with the mark of the question that they answer.
fn marked(rows: &Bytes, asked: &[u8]) -> Bytes {
    const START: &str = r#"{"rows":["#;
    let asked = String::from_utf8_lossy(asked);
    let mark = asked.split('\'').find(|word| word.len() == 17 && word.starts_with('q')).unwrap_or_default();
    let row = json!({"kind": "question", "deployment": mark, "attempts": 0});
    let rest = rows.get(START.len()..).unwrap_or_default();
    let comma = if rest.starts_with(b"]") { "" } else { "," };
    [START.as_bytes(), row.to_string().as_bytes(), comma.as_bytes(), rest].concat().into()
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = code;
    response
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}

fn bytes(name: &str, values: impl Iterator<Item = Value>) -> Bytes {
    json!({name: values.collect::<Vec<_>>()}).to_string().into()
}

fn deployment(it: &Registered) -> Value {
    json!({
        "id": it.id, "uri": it.endpoint, "created_at": "2026-01-01T00:00:00Z", "http_version": "HTTP/2.0",
        "services": [{"name": it.service, "revision": it.revision}],
    })
}

fn service(it: &Registered) -> Value {
    json!({
        "name": it.service, "ty": "Service", "deployment_id": it.id, "revision": it.revision, "public": true,
        "handlers": [{"name": "run"}],
    })
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let answer = service_fn(|request| state.answer(request));
            // How a client leaves is its own affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}
