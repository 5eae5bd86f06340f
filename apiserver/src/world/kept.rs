//! Objects that are kept as text. A ReplicaSet in memory takes ten times the room of its text, there are thousands of
//! them, and those of one deployment are read at a time.
//!
//! Invariant: what a list of objects replaces stays visible until the list is complete.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::mem;
use std::sync::{Arc, PoisonError, RwLock};

use kube::Resource;
use kube::runtime::watcher::Event;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::feed::Sink;

/// All objects of a kind, by namespace and name. Clones share them.
#[derive(Debug)]
pub(super) struct Kept<K> {
    texts: Arc<RwLock<Texts>>,
    filled: watch::Sender<bool>,
    kind: PhantomData<fn() -> K>,
}

type Key = (Box<str>, Box<str>);
type Text = Box<[u8]>;

#[derive(Debug, Default)]
struct Texts {
    current: BTreeMap<Key, Text>,
    /// Of a list that is not complete yet.
    coming: BTreeMap<Key, Text>,
}

impl<K> Clone for Kept<K> {
    fn clone(&self) -> Self {
        Self { texts: Arc::clone(&self.texts), filled: self.filled.clone(), kind: PhantomData }
    }
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self { texts: Arc::default(), filled: watch::Sender::new(false), kind: PhantomData }
    }
}

impl<K: Resource<DynamicType = ()> + DeserializeOwned> Kept<K> {
    /// Waits until everything was told once.
    pub(super) async fn filled(&self) {
        let _ = self.filled.subscribe().wait_for(|filled| *filled).await;
    }

    /// The objects of a namespace whose names begin so.
    pub(super) fn named(&self, namespace: &str, prefix: &str) -> Vec<Arc<K>> {
        let texts = self.texts.read().unwrap_or_else(PoisonError::into_inner);
        let from = (Box::from(namespace), Box::from(prefix));
        let named = texts.current.range(from..);
        let named = named.take_while(|((own, name), _)| **own == *namespace && name.starts_with(prefix));
        named.filter_map(|(_, text)| read(text)).collect()
    }
}

impl<K> Sink<K> for Kept<K>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    fn take(&mut self, event: &Event<K>) {
        let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
        let Texts { current, coming } = &mut *texts;
        match event {
            Event::Init => coming.clear(),
            Event::InitApply(object) => drop(write(object).and_then(|text| coming.insert(key(object), text))),
            Event::InitDone => {
                *current = mem::take(coming);
                self.filled.send_replace(true);
            }
            Event::Apply(object) => drop(write(object).and_then(|text| current.insert(key(object), text))),
            Event::Delete(object) => drop(current.remove(&key(object))),
        }
    }
}

fn key<K: Resource>(object: &K) -> Key {
    let meta = object.meta();
    (meta.namespace.as_deref().unwrap_or_default().into(), meta.name.as_deref().unwrap_or_default().into())
}

fn write<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Option<Text> {
    let text = serde_json::to_vec(object);
    let text =
        text.inspect_err(|error| tracing::error!(kind = %K::kind(&()), %error, "an object cannot be kept"));
    text.ok().map(Vec::into_boxed_slice)
}

fn read<K: Resource<DynamicType = ()> + DeserializeOwned>(text: &[u8]) -> Option<Arc<K>> {
    let object = serde_json::from_slice(text);
    let object = object
        .inspect_err(|error| tracing::error!(kind = %K::kind(&()), %error, "what was kept cannot be read"));
    object.ok().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use k8s_openapi::api::core::v1::Service;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use kube::ResourceExt;
    use proptest::prelude::*;

    use super::*;

    fn service(namespace: &str, name: &str) -> Service {
        let (namespace, name) = (Some(namespace.to_owned()), Some(name.to_owned()));
        Service { metadata: ObjectMeta { namespace, name, ..ObjectMeta::default() }, ..Service::default() }
    }

    fn names(kept: &Kept<Service>, prefix: &str) -> Vec<String> {
        kept.named("a", prefix).iter().map(|object| object.name_any()).collect()
    }

    #[test]
    fn a_list_counts_once_it_is_complete() {
        let mut kept = Kept::default();
        kept.take(&Event::Init);
        kept.take(&Event::InitApply(service("a", "x-1")));
        assert!(names(&kept, "").is_empty() && kept.filled().now_or_never().is_none());
        kept.take(&Event::InitDone);
        assert_eq!(names(&kept, ""), ["x-1"]);
        assert!(kept.filled().now_or_never().is_some());
        kept.take(&Event::Apply(service("a", "x-2")));
        kept.take(&Event::Init);
        kept.take(&Event::InitApply(service("a", "x-3")));
        assert_eq!(names(&kept, "x-"), ["x-1", "x-2"]);
        kept.take(&Event::InitDone);
        assert_eq!(names(&kept, "x-"), ["x-3"]);
        kept.take(&Event::Delete(service("a", "x-3")));
        assert!(names(&kept, "").is_empty());
    }

    /// An interrupted list leaves nothing to the one after it.
    #[test]
    fn a_list_that_begins_again_forgets_the_first_half() {
        let mut kept = Kept::default();
        kept.take(&Event::Init);
        kept.take(&Event::InitApply(service("a", "x-1")));
        kept.take(&Event::Init);
        kept.take(&Event::InitDone);
        assert!(names(&kept, "").is_empty());
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_looking_at_everything_finds(
            keys in prop::collection::btree_set(("[ab]{1,2}", "[a-c-]{1,5}"), 0..40),
            namespace in "[ab]{1,2}",
            prefix in "[a-c-]{0,3}",
        ) {
            let mut kept = Kept::default();
            for (namespace, name) in &keys {
                kept.take(&Event::Apply(service(namespace, name)));
            }
            let wanted = |key: &&(String, String)| key.0 == namespace && key.1.starts_with(&prefix);
            let expected: Vec<_> = keys.iter().filter(wanted).map(|(_, name)| name.clone()).collect();
            let found: Vec<_> = kept.named(&namespace, &prefix).iter().map(|object| object.name_any()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
