//! The status, written only where it says something else than the stored one. Only the difference is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use moka::sync::Cache;
use restate_crd::condition::{ConditionStatus, ConditionType, Reason, Verdict};
use restate_plan::ObjectRef;
use serde_json::{Map, Value, json};

use super::{Context, Error, Kind};

/// The pause between two writes of a status that say nothing that anybody waits for.
const PAUSE: Duration = Duration::from_secs(2);

/// Writes the status, if it is another one. Where that has to wait a moment, says for how long.
pub(super) async fn publish<K: Kind>(
    object: &Arc<K>,
    status: K::Status,
    failed: Option<&Error>,
    context: &Context,
) -> Result<Option<Duration>, Error> {
    let mut status = status;
    if let Some(error) = failed.filter(|error| !error.is_quiet()) {
        confess::<K>(object, &mut status, error, context);
    }
    let stored = object.status().cloned().unwrap_or_default();
    if stored == status || !context.executor.lease.is_held() {
        return Ok(None);
    }
    if !is_news::<K>(stored, status.clone())
        && let Some(rest) = context.said.rest(object.meta().uid.as_deref().unwrap_or_default())
    {
        return Ok(Some(rest));
    }
    let Some(difference) = difference(&text(&object.status()), &text(&status)) else { return Ok(None) };
    let patch = json!({"metadata": {"uid": object.uid()}, "status": difference});
    let reference = ObjectRef::of::<K>(object.meta().namespace.as_deref(), &object.name_any());
    let written = context.executor.publish::<K>(&reference, &patch).await.map_err(Error::Publish)?;
    context.metrics.status_written(K::CONTROLLER);
    context.said.now(object.meta().uid.clone().unwrap_or_default());
    if let Some(change) = written.and_then(|written| K::keep(&context.stores, written)) {
        context.wakers.written(&change);
    }
    Ok(None)
}

/// Whether it has to be said at once: whether the object is ready is what people and tools wait for.
fn is_news<K: Kind>(mut stored: K::Status, mut wanted: K::Status) -> bool {
    let verdict = |status: &mut K::Status| {
        let of = |kind| K::conditions(status).get(kind).map(|condition| condition.status.clone());
        [ConditionType::Ready, ConditionType::Stalled].map(of)
    };
    verdict(&mut stored) != verdict(&mut wanted)
}

/// When each object's status was written last: what changes many times within a moment is written once.
#[derive(Clone, Debug)]
pub(crate) struct Said(Cache<String, Instant>);

impl Default for Said {
    fn default() -> Self {
        Self(Cache::builder().time_to_live(PAUSE).build())
    }
}

impl Said {
    fn now(&self, uid: String) {
        self.0.insert(uid, Instant::now());
    }

    /// How long the object's next status has to wait.
    fn rest(&self, uid: &str) -> Option<Duration> {
        PAUSE.checked_sub(self.0.get(uid)?.elapsed())
    }
}

/// Says that the pass failed, in the place where people look: the one thing that the engine adds to a status.
fn confess<K: Kind>(object: &K, status: &mut K::Status, error: &Error, context: &Context) {
    let verdict = Verdict::new(ConditionStatus::False, Reason::ReconcileFailed, error.chain());
    let verdict = verdict.of_generation(object.meta().generation);
    let conditions = K::conditions(status);
    // What serves goes on serving although a change did not get through.
    let about = if conditions.holds(ConditionType::Ready) {
        ConditionType::Progressing
    } else {
        ConditionType::Ready
    };
    conditions.set(about, verdict, context.now());
}

fn text<T: serde::Serialize>(status: &T) -> Value {
    serde_json::to_value(status).unwrap_or_default()
}

/// The merge patch that makes `wanted` of `stored`.
fn difference(stored: &Value, wanted: &Value) -> Option<Value> {
    let (Value::Object(stored), Value::Object(wanted)) = (stored, wanted) else {
        return (stored != wanted).then(|| wanted.clone());
    };
    let removed =
        stored.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = wanted.iter().filter_map(|(key, value)| {
        let before = stored.get(key).unwrap_or(&Value::Null);
        Some((key.clone(), difference(before, value)?))
    });
    let fields: Map<_, _> = removed.chain(changed).collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::same(json!({"a": 1, "b": [1]}), json!({"a": 1, "b": [1]}), None)]
    #[case::first(json!(null), json!({"a": 1}), Some(json!({"a": 1})))]
    #[case::removed(json!({"a": 1, "b": 2}), json!({"b": 2}), Some(json!({"a": null})))]
    #[case::nested(json!({"a": {"x": 1, "y": 2}}), json!({"a": {"x": 1, "y": 3}}), Some(json!({"a": {"y": 3}})))]
    #[case::lists_are_whole(json!({"a": [1, 2]}), json!({"a": [2]}), Some(json!({"a": [2]})))]
    fn only_the_difference_is_sent(
        #[case] stored: Value,
        #[case] wanted: Value,
        #[case] patch: Option<Value>,
    ) {
        assert_eq!(difference(&stored, &wanted), patch);
    }
}
