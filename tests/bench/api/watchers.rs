//! Many watches at a time: how long a change takes to reach all of them once it has reached the first.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use restate_tests::{Lab, Result};
use tokio::{sync::mpsc, task::JoinHandle};

use super::ask::Asker;

/// Watches of one connection: kube-apiserver allows a hundred streams on each.
const ON_ONE_CONNECTION: usize = 50;
const AT_A_TIME: usize = 50;
/// A change is polled for, at most so long.
const PATIENCE: Duration = Duration::from_mins(2);

/// The watches; they end with the value.
pub(super) struct Watchers {
    tasks: Vec<JoinHandle<()>>,
    seen: mpsc::UnboundedReceiver<Instant>,
    broken: Arc<AtomicUsize>,
}

/// How a burst of changes spread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spread {
    /// Until half of all events had arrived.
    pub(super) half: Duration,
    /// Until all had.
    pub(super) all: Duration,
}

impl Watchers {
    /// So many watches of a path.
    pub(super) async fn open(lab: &Lab, count: usize, path: &str) -> Result<Self> {
        let (tell, seen) = mpsc::unbounded_channel();
        let broken = Arc::new(AtomicUsize::new(0));
        let askers =
            (0..count.div_ceil(ON_ONE_CONNECTION)).map(|_| Asker::new(lab)).collect::<Result<Vec<_>>>()?;
        let tasks = stream::iter(0..count)
            .map(|index| {
                let (asker, tell, broken) =
                    (askers[index / ON_ONE_CONNECTION].clone(), tell.clone(), Arc::clone(&broken));
                async move {
                    let response = asker.watch(path).await?;
                    Ok::<_, anyhow::Error>(tokio::spawn(follow(response, tell, broken)))
                }
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        Ok(Self { tasks, seen, broken })
    }

    /// Waits for `events` events at each of them. Time counts from the first that anybody got.
    pub(super) async fn reached(&mut self, events: usize) -> Result<Spread> {
        let wanted = events * self.tasks.len();
        let mut moments = Vec::with_capacity(wanted);
        let all = async {
            while moments.len() < wanted {
                moments.push(self.seen.recv().await.context("every watch has ended")?);
            }
            Ok::<_, anyhow::Error>(())
        };
        let ended = tokio::time::timeout(PATIENCE, all).await;
        let broken = self.broken.load(Ordering::SeqCst);
        ensure!(broken == 0, "{broken} watches were ended");
        ended.with_context(|| format!("{} of {wanted} events came", moments.len()))??;
        moments.sort_unstable();
        let since_first = |at: usize| moments.get(at).zip(moments.first()).map(|(at, first)| *at - *first);
        Ok(Spread {
            half: since_first(wanted / 2).unwrap_or_default(),
            all: since_first(wanted.saturating_sub(1)).unwrap_or_default(),
        })
    }

    /// Forgets what came so far.
    pub(super) fn forget(&mut self) {
        while self.seen.try_recv().is_ok() {}
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Tells the moment of each event that is a change; each is one line.
async fn follow(
    mut response: reqwest::Response,
    tell: mpsc::UnboundedSender<Instant>,
    broken: Arc<AtomicUsize>,
) {
    let mut starts_line = true;
    let mut head = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let now = Instant::now();
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            if starts_line {
                head.clear();
            }
            head.extend_from_slice(&part[..part.len().min(32_usize.saturating_sub(head.len()))]);
            starts_line = part.ends_with(b"\n");
            let is_change = starts_line && !head.starts_with(b"{\"type\":\"BOOKMARK\"");
            if is_change && tell.send(now).is_err() {
                return;
            }
        }
    }
    broken.fetch_add(1, Ordering::SeqCst);
}
