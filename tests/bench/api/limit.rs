//! The limit: a server behind the same aggregation layer that looks at nothing and sends bytes that it was given.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use restate_tests::Result;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::broadcast, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

pub(super) const GROUP: &str = "limit.bench.restate.dev";
pub(super) const PLURAL: &str = "things";
/// Lines that a watcher may be behind; a benchmark sends fewer.
const BEHIND: usize = 4096;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What is sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Replies {
    pub(super) list: Bytes,
    pub(super) table: Bytes,
    pub(super) object: Bytes,
    pub(super) created: Bytes,
}

/// The server; it ends with the value.
pub(super) struct Limit {
    pub(super) address: SocketAddr,
    replies: Arc<Mutex<Replies>>,
    lines: broadcast::Sender<Bytes>,
    task: JoinHandle<()>,
}

impl Limit {
    pub(super) async fn new(address: &str) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?;
        let replies = Arc::<Mutex<Replies>>::default();
        let lines = broadcast::Sender::new(BEHIND);
        let acceptor = TlsAcceptor::from(Arc::new(tls()?));
        let task = tokio::spawn(accept(listener, acceptor, (Arc::clone(&replies), lines.clone())));
        Ok(Self { address, replies, lines, task })
    }

    pub(super) fn set(&self, replies: Replies) {
        *self.replies.lock().unwrap_or_else(PoisonError::into_inner) = replies;
    }

    /// Sends a line to every watcher.
    pub(super) fn send(&self, line: &Bytes) {
        // Without watchers there is nobody to miss it.
        let _ = self.lines.send(line.clone());
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Nobody verifies it: the APIService says so.
fn tls() -> Result<ServerConfig> {
    let own = rcgen::generate_simple_self_signed(["limit".to_owned()])?;
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    (replies, lines): (Arc<Mutex<Replies>>, broadcast::Sender<Bytes>),
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, replies, lines) = (acceptor.clone(), Arc::clone(&replies), lines.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request: Request<Incoming>| {
                let replies = replies.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let answer = answer(&request, replies, &lines);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http2().max_concurrent_streams(2000);
            // How a client leaves is its own affair.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(request: &Request<Incoming>, replies: Replies, lines: &broadcast::Sender<Bytes>) -> Response<Body> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let is_table = request
        .headers()
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().windows(8).any(|w| w == b"as=Table"));
    let depth = path.split('/').filter(|part| !part.is_empty()).count();
    let of_all = path.ends_with(PLURAL);
    match (depth, of_all) {
        (0..=2, _) => plain(StatusCode::NOT_FOUND, Bytes::new()),
        (3, _) => plain(StatusCode::OK, discovery()),
        _ if *request.method() == Method::POST => plain(StatusCode::CREATED, replies.created),
        (_, true) if query.contains("watch=") => watch(lines),
        (_, true) if is_table => plain(StatusCode::OK, replies.table),
        (_, true) => plain(StatusCode::OK, replies.list),
        (_, false) => plain(StatusCode::OK, replies.object),
    }
}

fn plain(code: StatusCode, body: Bytes) -> Response<Body> {
    respond(code, Full::new(body).boxed_unsync())
}

fn watch(lines: &broadcast::Sender<Bytes>) -> Response<Body> {
    let stream = futures::stream::unfold(lines.subscribe(), |mut lines| async move {
        let line = lines.recv().await.ok()?;
        Some((Ok(Frame::data(line)), lines))
    });
    respond(StatusCode::OK, BodyExt::boxed_unsync(StreamBody::new(stream)))
}

fn respond(code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn discovery() -> Bytes {
    let resource = json!({
        "name": PLURAL, "singularName": "thing", "namespaced": true, "kind": "Thing",
        "verbs": ["create", "get", "list", "watch"],
    });
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/v1"),
        "resources": [resource],
    });
    list.to_string().into()
}

/// What makes kube-apiserver send requests for the group here.
pub(super) fn objects(namespace: &str, address: SocketAddr) -> Vec<Value> {
    let port = json!({"name": "https", "port": 443, "targetPort": address.port()});
    vec![
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "limit", "namespace": namespace},
            "spec": {"ports": [port]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": "limit", "namespace": namespace, "labels": {"kubernetes.io/service-name": "limit"},
            },
            "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": address.port(), "protocol": "TCP"}],
        }),
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("v1.{GROUP}")},
            "spec": {
                "group": GROUP, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 1,
                "insecureSkipTLSVerify": true, "service": {"name": "limit", "namespace": namespace},
            },
        }),
    ]
}
