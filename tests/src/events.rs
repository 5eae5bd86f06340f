//! A watch as the aggregated API sends it: every event with its whole object, in order, nothing put together by a
//! client.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use http::Request;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{Lab, Result, eventually};

/// An event: its type, and its object.
pub type Event = (String, Value);

/// One watch. It ends with the value.
#[derive(Debug)]
pub struct Events {
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Told {
    events: Vec<Event>,
    has_ended: bool,
}

impl Events {
    /// Watches all objects of a kind in a namespace; what is there comes first, as `ADDED`.
    pub async fn of(lab: &Lab, namespace: &str, plural: &str) -> Result<Self> {
        let path = format!("/apis/control.restate.dev/v1alpha1/namespaces/{namespace}/{plural}?watch=1");
        let answer = lab.client().await?.send(Request::get(&path).body(Body::empty())?).await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        let told = Arc::<Mutex<Told>>::default();
        let task = tokio::spawn(follow(answer.into_body(), Arc::clone(&told)));
        Ok(Self { told, task })
    }

    /// Everything so far; an error if the watch has ended, for then something may be missing.
    pub fn seen(&self) -> Result<Vec<Event>> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(!told.has_ended, "the watch has ended after {:?}", told.events);
        Ok(told.events.clone())
    }

    /// Waits until what was seen is as it should be.
    pub async fn until(&self, what: &str, limit: Duration, wanted: impl Fn(&[Event]) -> bool) -> Result {
        eventually(what, limit, || async {
            let seen = self.seen()?;
            Ok(if wanted(&seen) { Ok(()) } else { Err(format!("{:?}", seen.last())) })
        })
        .await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(mut body: Body, told: Arc<Mutex<Told>>) {
    let mut line = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        for byte in frame.into_data().unwrap_or_default() {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            let event =
                parsed(&std::mem::take(&mut line)).unwrap_or_else(|error| (error.to_string(), Value::Null));
            told.lock().unwrap_or_else(PoisonError::into_inner).events.push(event);
        }
    }
    told.lock().unwrap_or_else(PoisonError::into_inner).has_ended = true;
}

fn parsed(line: &[u8]) -> Result<Event> {
    let mut event: Value = serde_json::from_slice(line)?;
    let kind = event["type"].as_str().context("an event without a type")?.to_owned();
    Ok((kind, event["object"].take()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_events_wherever_they_are_cut() {
        let told = Arc::<Mutex<Told>>::default();
        let text =
            b"{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n{\"type\":\"DELETED\",\"object\":{\"a\":2}}\nhalf";
        follow(Body::from(text.to_vec()), Arc::clone(&told)).await;
        let told = told.lock().unwrap();
        let kinds: Vec<_> =
            told.events.iter().map(|(kind, object)| (kind.as_str(), object["a"].as_i64())).collect();
        assert_eq!(kinds, [("ADDED", Some(1)), ("DELETED", Some(2))]);
        assert!(told.has_ended);
    }
}
