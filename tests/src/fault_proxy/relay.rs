//! Requests that go through one by one: what was answered to a question is remembered, so that it can be said again.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming, client::conn::http1 as client, server::conn::http1 as server, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Between clients and one server.
#[derive(Debug)]
pub(super) struct Relay {
    target: String,
    said: Mutex<HashMap<String, Answer>>,
    orders: Mutex<Vec<Order>>,
}

/// Something that changes Restate, as it went through.
#[derive(Clone, Debug)]
pub struct Order {
    /// `POST /deployments`, with `(dry run)` behind it for one that changes nothing.
    pub what: String,
    /// How it was answered.
    pub status: u16,
    /// How long that took.
    pub took: Duration,
}

#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    kind: Option<HeaderValue>,
    body: Bytes,
}

impl Relay {
    /// To the server at `HOST:PORT`.
    pub(super) fn to(target: String) -> Self {
        Self { target, said: Mutex::default(), orders: Mutex::default() }
    }

    /// What went through that changes something, in order.
    pub(super) fn orders(&self) -> Vec<Order> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves a connection. What is `stale` gets the answer that its question had before, if it had one.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, stale: bool) -> io::Result<()> {
        let service = service_fn(move |request| {
            let relay = Arc::clone(&self);
            async move { relay.answer(request, stale).await }
        });
        let served = server::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        served.map_err(io::Error::other)
    }

    async fn answer(&self, request: Request<Incoming>, stale: bool) -> io::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let question = question(&head, &body);
        let what = what(&head, &body);
        if stale && let Some(answer) = question.as_ref().and_then(|question| self.remembered(question)) {
            return Ok(answer.into());
        }
        let began = Instant::now();
        let answer = self.forward(head, body).await?;
        if question.is_none() {
            let order = Order { what, status: answer.status.as_u16(), took: began.elapsed() };
            self.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        }
        if let Some(question) = question.filter(|_| !stale && answer.status.is_success()) {
            self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(question, answer.clone());
        }
        Ok(answer.into())
    }

    fn remembered(&self, question: &str) -> Option<Answer> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).get(question).cloned()
    }

    async fn forward(&self, head: Parts, body: Bytes) -> io::Result<Answer> {
        let stream = TcpStream::connect(&self.target).await?;
        let (mut sender, connection) =
            client::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let request = Request::from_parts(head, Full::new(body));
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Answer { status: head.status, kind: head.headers.get(header::CONTENT_TYPE).cloned(), body })
    }
}

impl From<Answer> for Response<Full<Bytes>> {
    fn from(answer: Answer) -> Self {
        let Answer { status, kind, body } = answer;
        let mut response = Self::new(Full::new(body));
        *response.status_mut() = status;
        response.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
        response
    }
}

fn what(head: &Parts, body: &[u8]) -> String {
    let sent: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let tries = if sent["dry_run"] == true { " (dry run)" } else { "" };
    format!("{} {}{tries}", head.method, head.uri.path())
}

/// What makes two questions the same: numbers in them may differ. None for what is an order.
fn question(head: &Parts, body: &[u8]) -> Option<String> {
    let path = head.uri.path();
    let asks = head.method == Method::GET || (head.method == Method::POST && path.ends_with("/query"));
    let text = String::from_utf8_lossy(body);
    asks.then(|| format!("{} {path} {}", head.method, text.replace(|each: char| each.is_ascii_digit(), "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, path: &str) -> Parts {
        Request::builder().method(method).uri(path).body(()).unwrap().into_parts().0
    }

    #[test]
    fn questions_are_remembered_and_orders_are_not() {
        let first = question(&head("POST", "/query"), b"select 1 from a");
        assert_eq!(first, question(&head("POST", "/query"), b"select 22 from a"));
        assert_ne!(first, question(&head("POST", "/query"), b"select 1 from b"));
        assert!(question(&head("GET", "/services"), b"").is_some());
        assert!(question(&head("POST", "/deployments"), b"{}").is_none());
        assert!(question(&head("DELETE", "/deployments/dp_1"), b"").is_none());
    }
}
