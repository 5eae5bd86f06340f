//! What the usage query takes when Restate holds many invocations.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use reqwest::Client;
use restate_client::{Admin, Endpoint, Policy, Transport, transport::Options};
use restate_tests::Result;
use tokio::task::JoinSet;

use super::stand::{Stand, Subject, holds, name};
use super::until::Until;

/// Requests that are under way while the table is filled.
const AT_A_TIME: usize = 64;
/// Nobody waits longer for the table to fill.
const FILLING: Duration = Duration::from_mins(8);
/// How often the query is asked.
const ROUNDS: usize = 5;

/// What was measured.
#[derive(Debug)]
pub(super) struct Asked {
    /// How many invocations there were.
    pub(super) invocations: usize,
    /// How long it took to make them.
    pub(super) filled: Duration,
    /// How long each query took, in order of size.
    pub(super) took: Vec<Duration>,
}

/// Fills the table with invocations that are scheduled for later, as far as the time allows, and asks.
pub(super) async fn measure(stand: &Stand, wanted: usize) -> Result<Asked> {
    let until = Until::all(stand.api(Subject::Ours), 1, |object| holds(object, "Ready")).await?;
    stand.create(Subject::Ours, 1).await?;
    until.when().await?;
    let began = Instant::now();
    let invocations = fill(stand, wanted, began + FILLING).await?;
    let filled = began.elapsed();
    let endpoint = Endpoint::new(&format!("http://{}:9070", stand.host), &Policy::default())?;
    let transport = Transport::new(&Options { policy: Policy::default(), extra_ca: Vec::new() })?;
    let admin = Admin::new(&transport, &endpoint);
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        admin.usage().await.context("the usage query")?;
        took.push(began.elapsed());
    }
    took.sort();
    stand.clear(Subject::Ours).await?;
    Ok(Asked { invocations, filled, took })
}

async fn fill(stand: &Stand, wanted: usize, deadline: Instant) -> Result<usize> {
    let client = Client::builder().no_proxy().build()?;
    let url: Arc<str> = format!("http://{}:8080/{}/greet/send?delay=100h", stand.host, name(0)).into();
    let (next, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut senders = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (client, url, next, made) = (client.clone(), url.clone(), next.clone(), made.clone());
        senders.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < wanted && Instant::now() < deadline {
                let sent = client.post(&*url).header("content-type", "application/json").body("\"x\"").send();
                let accepted = sent.await.is_ok_and(|answer| answer.status().is_success());
                made.fetch_add(usize::from(accepted), Ordering::Relaxed);
            }
        });
    }
    while senders.join_next().await.is_some() {}
    Ok(made.load(Ordering::Relaxed))
}
