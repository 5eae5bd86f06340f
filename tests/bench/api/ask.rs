//! Requests through kube-apiserver, timed to their last byte.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{Certificate, Client, Identity, Response, header};
use restate_tests::{Lab, Result};
use serde_json::Value;

/// What kubectl asks with for a table.
pub(super) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
pub(super) const JSON: &str = "application/json";
/// As Go's client has it: a list of 20 MB does not wait for windows.
const WINDOW: u32 = 4 * 1024 * 1024;

/// The administrator, over one HTTP/2 connection.
#[derive(Clone)]
pub(super) struct Asker {
    client: Client,
    root: String,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) took: Duration,
    pub(super) body: Vec<u8>,
}

impl Asker {
    pub(super) fn new(lab: &Lab) -> Result<Self> {
        let kubeconfig: Value = serde_json::from_slice(&std::fs::read(lab.kubeconfig())?)?;
        let user = ["client-certificate-data", "client-key-data"]
            .map(|field| material(&kubeconfig, &format!("/users/0/user/{field}")));
        let [certificate, key] = user;
        let identity = Identity::from_pem(&[certificate?, key?].concat())?;
        let authority = material(&kubeconfig, "/clusters/0/cluster/certificate-authority-data")?;
        let server = kubeconfig.pointer("/clusters/0/cluster/server").and_then(Value::as_str);
        let root = server.context("the kubeconfig names no server")?.to_owned();
        let client = Client::builder()
            .tls_certs_only([Certificate::from_pem(&authority)?])
            .identity(identity)
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(WINDOW * 64)
            .http2_max_frame_size(1024 * 1024)
            .timeout(Duration::from_mins(10))
            .build()?;
        Ok(Self { client, root })
    }

    /// GET, to the last byte.
    pub(super) async fn get(&self, path: &str, accept: &str) -> Result<Answer> {
        let start = Instant::now();
        let request = self.client.get(format!("{}{path}", self.root)).header(header::ACCEPT, accept);
        read(path, start, request.send().await?).await
    }

    /// POST, to the last byte.
    pub(super) async fn post(&self, path: &str, object: &Value) -> Result<Answer> {
        let start = Instant::now();
        let request = self.client.post(format!("{}{path}", self.root)).header(header::CONTENT_TYPE, JSON);
        read(path, start, request.body(object.to_string()).send().await?).await
    }

    /// A merge patch, to the last byte.
    pub(super) async fn patch(&self, path: &str, change: &Value) -> Result<Answer> {
        let start = Instant::now();
        let request = self.client.patch(format!("{}{path}", self.root));
        let request = request.header(header::CONTENT_TYPE, "application/merge-patch+json");
        read(path, start, request.body(change.to_string()).send().await?).await
    }

    /// A watch, once its head has come.
    pub(super) async fn watch(&self, path: &str) -> Result<Response> {
        let response =
            self.client.get(format!("{}{path}", self.root)).header(header::ACCEPT, JSON).send().await?;
        ensure!(response.status().is_success(), "GET {path}: {}", response.status());
        Ok(response)
    }
}

impl Answer {
    pub(super) fn json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

async fn read(path: &str, start: Instant, mut response: Response) -> Result<Answer> {
    let status = response.status();
    let mut body = Vec::with_capacity(usize::try_from(response.content_length().unwrap_or(0))?);
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
    }
    let took = start.elapsed();
    ensure!(
        status.is_success(),
        "{path}: {status}: {}",
        String::from_utf8_lossy(&body[..body.len().min(400)])
    );
    Ok(Answer { took, body })
}

/// A field of the lab's kubeconfig, which is JSON with everything inline.
fn material(kubeconfig: &Value, pointer: &str) -> Result<Vec<u8>> {
    let text = kubeconfig.pointer(pointer).and_then(Value::as_str);
    let text = text.with_context(|| format!("the kubeconfig of the lab has no {pointer}"))?;
    Ok(BASE64_STANDARD.decode(text)?)
}
