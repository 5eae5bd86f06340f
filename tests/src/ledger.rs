//! The ledger of side effects, kept in this process and apart from Restate: who did which step of which call, in the
//! order in which it happened.
//!
//! It can be told to refuse the first attempts of a step, and it tells calls that wait to go on.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use crate::Result;

/// What happened. Tokens grow with time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Effect {
    /// The call.
    pub key: String,
    /// Its step.
    pub step: u32,
    /// The version that did it.
    pub version: String,
    /// What the version got for it.
    pub token: u64,
}

/// A call that waits to be told to go on.
#[derive(Clone, Debug, Deserialize)]
pub struct Waiting {
    /// What it waits with.
    pub awakeable: String,
}

/// A step whose next attempts are refused; none is the beginning, before anything is in the journal.
pub type Refused = (String, Option<u32>);

/// The ledger, as long as it is held.
#[derive(Debug)]
pub struct Ledger {
    /// `HOST:PORT`.
    pub address: String,
    book: Book,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct Book {
    pages: Arc<Mutex<Pages>>,
    waiting: mpsc::UnboundedSender<Waiting>,
}

#[derive(Debug, Default)]
struct Pages {
    effects: Vec<Effect>,
    refused: HashMap<Refused, u32>,
}

#[derive(Deserialize)]
struct Begun {
    key: String,
}

#[derive(Deserialize)]
struct Marked {
    key: String,
    step: u32,
    version: String,
}

impl Ledger {
    /// Opens one at a free port of this address; those who wait are told to the receiver.
    pub async fn open(address: &str) -> Result<(Self, mpsc::UnboundedReceiver<Waiting>)> {
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (waiting, told) = mpsc::unbounded_channel();
        let book = Book { pages: Arc::default(), waiting };
        let routes = Router::new()
            .route("/begin", post(begin))
            .route("/mark", post(mark))
            .route("/offer", post(offer))
            .with_state(book.clone());
        let task = tokio::spawn(async move {
            // It ends with the test; what it could not serve is missing in what it has written down.
            let _ = axum::serve(listener, routes).await;
        });
        Ok((Self { address, book, task }, told))
    }

    /// The next `times` attempts of this are refused.
    pub fn refuse(&self, what: Refused, times: u32) {
        self.book.pages().refused.insert(what, times);
    }

    /// All that happened until now.
    pub fn effects(&self) -> Vec<Effect> {
        self.book.pages().effects.clone()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn is_refused(&mut self, what: &Refused) -> bool {
        let Some(left) = self.refused.get_mut(what).filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }
}

async fn begin(State(book): State<Book>, Json(Begun { key }): Json<Begun>) -> (StatusCode, Json<Value>) {
    if book.pages().is_refused(&(key, None)) {
        return refusal();
    }
    (StatusCode::OK, Json(json!({})))
}

async fn mark(State(book): State<Book>, Json(marked): Json<Marked>) -> (StatusCode, Json<Value>) {
    let Marked { key, step, version } = marked;
    let mut pages = book.pages();
    if pages.is_refused(&(key.clone(), Some(step))) {
        return refusal();
    }
    let token = pages.effects.len() as u64;
    pages.effects.push(Effect { key, step, version, token });
    (StatusCode::OK, Json(json!({"token": token})))
}

async fn offer(State(book): State<Book>, Json(waiting): Json<Waiting>) -> (StatusCode, Json<Value>) {
    // Nobody listens any more at the end of the test.
    let _ = book.waiting.send(waiting);
    (StatusCode::OK, Json(json!({})))
}

fn refusal() -> (StatusCode, Json<Value>) {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({})))
}
