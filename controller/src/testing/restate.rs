//! A Restate that answers what it is told to, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use restate_model::EndpointKey;
use restate_plan::Admin;
use serde_json::Value;

/// An admin API with one answer at a time.
pub(crate) struct Restate {
    url: String,
    answer: Arc<Mutex<(u16, Value)>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Restate {
    /// It answers this, whatever it is asked.
    pub(crate) async fn answering(status: u16, body: Value) -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let answer = Arc::new(Mutex::new((status, body)));
        let state = (asked.clone(), answer.clone());
        let router = Router::new().fallback(move |request: Request| {
            let (log, answer) = state.clone();
            async move {
                let (head, sent) = request.into_parts();
                let sent = sent.collect().await.unwrap().to_bytes();
                let sent = String::from_utf8_lossy(&sent).into_owned();
                log.lock()
                    .unwrap()
                    .push(format!("{} {} {sent}", head.method, head.uri).trim_end().to_owned());
                let (status, body) = answer.lock().unwrap().clone();
                (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, answer, asked }
    }

    /// From now on it answers this.
    pub(crate) fn answers(&self, status: u16, body: Value) {
        *self.answer.lock().unwrap() = (status, body);
    }

    /// How to reach it.
    pub(crate) fn admin(&self) -> Admin {
        Admin { key: EndpointKey::from(self.url.as_str()), url: self.url.clone() }
    }

    /// What it was asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}
