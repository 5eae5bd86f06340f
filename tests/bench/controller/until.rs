//! When something became true of many objects, as a watch tells it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use kube::{
    Api,
    api::DynamicObject,
    runtime::watcher::{self, Event, watcher},
};
use restate_tests::Result;
use tokio::{sync::oneshot, task::JoinHandle};

/// Nothing here takes longer: a roll of 1,000 is a quarter of an hour of Restate's own work.
const LIMIT: Duration = Duration::from_mins(30);

/// Waits for it, from now on.
pub(super) struct Until {
    task: JoinHandle<Result<Instant>>,
}

impl Until {
    /// Until this is true of so many objects at the same time. The watch is there when this returns.
    pub(super) async fn all<F>(api: Api<DynamicObject>, count: usize, done: F) -> Result<Self>
    where
        F: Fn(&DynamicObject) -> bool + Send + Sync + 'static,
    {
        let (opened, open) = oneshot::channel();
        let task = tokio::spawn(follow(api, count, done, opened));
        open.await.context("the watch did not open")?;
        Ok(Self { task })
    }

    /// When it was so.
    pub(super) async fn when(self) -> Result<Instant> {
        self.task.await?
    }
}

async fn follow<F>(
    api: Api<DynamicObject>,
    count: usize,
    done: F,
    open: oneshot::Sender<()>,
) -> Result<Instant>
where
    F: Fn(&DynamicObject) -> bool + Sync,
{
    let mut open = Some(open);
    let mut fulfilled = BTreeSet::new();
    let mut events = Box::pin(watcher(api, watcher::Config::default()));
    let watching = async {
        while let Some(event) = events.try_next().await? {
            let (object, gone) = match event {
                Event::Apply(object) | Event::InitApply(object) => (object, false),
                Event::Delete(object) => (object, true),
                Event::InitDone => {
                    open.take().map(|open| open.send(()));
                    continue;
                }
                Event::Init => continue,
            };
            let name = object.metadata.name.clone().unwrap_or_default();
            if !gone && done(&object) {
                fulfilled.insert(name);
            } else {
                fulfilled.remove(&name);
            }
            if open.is_none() && fulfilled.len() >= count {
                return Ok(Instant::now());
            }
        }
        bail!("the watch has ended")
    };
    tokio::time::timeout(LIMIT, watching).await.context("it took too long")?
}
