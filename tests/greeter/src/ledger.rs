//! The ledger of side effects, which somebody else keeps: what a step did is told there, and only there.
//!
//! The ledger may refuse. A refusal is a failed attempt like any other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

/// Longer than any ledger takes; an attempt that hangs holds its version.
const DEADLINE: Duration = Duration::from_secs(5);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where the ledger is: `HOST:PORT`.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(Arc<str>);

/// An effect, as the ledger knows it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Mark {
    /// Which step of the call.
    pub(crate) step: u32,
    /// Which version did it.
    pub(crate) version: String,
    /// What the ledger gave for it: no two effects have the same.
    pub(crate) token: u64,
}

#[derive(Deserialize)]
struct Entered {
    token: u64,
}

impl Ledger {
    /// The ledger at this address.
    pub(crate) fn at(address: &str) -> Self {
        Self(address.into())
    }

    /// Asks whether an attempt may begin. Nothing is in the journal yet: a refusal leaves the call without a version.
    pub(crate) async fn begin(&self, key: &str, version: &str) -> Result<(), Error> {
        self.post("/begin", &serde_json::json!({"key": key, "version": version})).await.map(drop)
    }

    /// The effect of a step.
    pub(crate) async fn mark(&self, key: &str, step: u32, version: &str) -> Result<Mark, Error> {
        let body = serde_json::json!({"key": key, "step": step, "version": version});
        let Entered { token } = serde_json::from_slice(&self.post("/mark", &body).await?)?;
        Ok(Mark { step, version: version.to_owned(), token })
    }

    /// Asks for a call to go on that waits with this id.
    pub(crate) async fn offer(&self, key: &str, awakeable: &str) -> Result<(), Error> {
        self.post("/offer", &serde_json::json!({"key": key, "awakeable": awakeable})).await.map(drop)
    }

    async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Bytes, Error> {
        tokio::time::timeout(DEADLINE, self.exchange(path, body)).await?
    }

    async fn exchange(&self, path: &str, body: &serde_json::Value) -> Result<Bytes, Error> {
        let stream = TcpStream::connect(&*self.0).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::post(path)
            .header(header::HOST, &*self.0)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let answer = sender.send_request(request).await?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body().collect().await?.to_bytes()),
            status => Err(format!("the ledger says {status}").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn ledger(answer: &'static str) -> Ledger {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        Ledger::at(&address)
    }

    #[tokio::test]
    async fn an_effect_has_the_token_that_the_ledger_gave() {
        let ledger = ledger("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"token\":7}").await;
        let mark = ledger.mark("call-1", 2, "v3").await.unwrap();
        assert_eq!((mark.step, mark.version.as_str(), mark.token), (2, "v3", 7));
    }

    #[tokio::test]
    async fn a_refusal_is_an_error() {
        let ledger = ledger("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
        assert!(ledger.begin("call-1", "v1").await.unwrap_err().to_string().contains("503"));
    }
}
