//! Requests to the aggregated API, one after the other without a pause to speak of, while something is done to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::bail;
use http::Request;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Lab, Result, namespace};

/// So many ask at a time, each with a connection of its own.
const CALLERS: usize = 4;
/// Between two requests of one caller.
const PAUSE: Duration = Duration::from_millis(20);
/// So often a disturbance is made in which too few ask.
const TIMES: usize = 3;
/// What is asked in turn: discovery of the group, a list, a table's worth of metadata.
const PATHS: [&str; 3] = [
    "/apis/control.restate.dev/v1alpha1",
    "/apis/control.restate.dev/v1alpha1/namespaces/default/restatedeploymentversions",
    "/apis/control.restate.dev/v1alpha1/restatedeploymentversions?limit=1",
];

/// Callers at work; they end with the value.
pub struct Calls {
    begun: Instant,
    stop: CancellationToken,
    made: Arc<AtomicUsize>,
    callers: JoinSet<(usize, Vec<Failure>)>,
}

/// One request that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When, counted from the first request.
    pub at: Duration,
    /// What was asked, and what came.
    pub words: String,
}

/// How the requests went.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// How many were made.
    pub made: usize,
    /// Those that failed, in order.
    pub failures: Vec<Failure>,
}

impl Calls {
    /// Begins to ask, through kube-apiserver, when nobody asks any more on behalf of tests before.
    pub async fn begin(lab: &Lab) -> Result<Self> {
        namespace::none_is_going(lab).await?;
        let made = Arc::<AtomicUsize>::default();
        let (begun, stop) = (Instant::now(), CancellationToken::new());
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let client = lab.client_without_retry().await?;
            callers.spawn(call(client, begun, stop.clone(), Arc::clone(&made)));
        }
        Ok(Self { begun, stop, made, callers })
    }

    /// Since when.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Does something while they ask, and once more where fewer than `enough` requests were made meanwhile: those tell
    /// nothing, and what is asked when all is over tells as little. On a machine with nothing else to do the callers
    /// make about 160 requests a second.
    pub async fn during(&self, enough: usize, disturb: impl AsyncFn() -> Result) -> Result {
        let mut made = 0;
        for _ in 0..TIMES {
            let before = self.made.load(Ordering::Relaxed);
            disturb().await?;
            made = self.made.load(Ordering::Relaxed) - before;
            eprintln!("{made} requests were made meanwhile");
            if made >= enough {
                return Ok(());
            }
        }
        bail!("too few requests to tell, each of {TIMES} times: {made} of {enough} in the end")
    }

    /// Ends after the requests that are under way.
    pub async fn end(self) -> Record {
        self.stop.cancel();
        let mut record = Record::default();
        for (made, failures) in self.callers.join_all().await {
            record.made += made;
            record.failures.extend(failures);
        }
        record.failures.sort_by_key(|failure| failure.at);
        record
    }
}

impl Record {
    /// From the first failure to the last.
    pub fn failed_for(&self) -> Duration {
        let ends = self.failures.first().zip(self.failures.last());
        ends.map(|(first, last)| last.at.saturating_sub(first.at)).unwrap_or_default()
    }
}

async fn call(
    client: Client,
    begun: Instant,
    stop: CancellationToken,
    all: Arc<AtomicUsize>,
) -> (usize, Vec<Failure>) {
    let (mut made, mut failures) = (0, Vec::new());
    while !stop.is_cancelled() {
        let path = PATHS[made % PATHS.len()];
        if let Err(words) = ask(&client, path).await {
            failures.push(Failure { at: begun.elapsed(), words: format!("GET {path}: {words}") });
        }
        made += 1;
        all.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    (made, failures)
}

async fn ask(client: &Client, path: &str) -> Result<(), String> {
    let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    let answer = client.request_text(request).await;
    answer.map(drop).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_failures_is_that_between_first_and_last() {
        let failure = |seconds| Failure { at: Duration::from_secs(seconds), words: String::new() };
        let record = |failures| Record { made: 9, failures };
        assert_eq!(record(vec![failure(3), failure(4), failure(8)]).failed_for(), Duration::from_secs(5));
        assert_eq!(record(vec![failure(3)]).failed_for(), Duration::ZERO);
        assert_eq!(record(Vec::new()).failed_for(), Duration::ZERO);
    }
}
