//! One object as text, with what is asked of all objects of its kind at once.
//!
//! Invariant: two texts are equal where nothing but the version is different.

use std::fmt::{self, Debug};

use super::super::Kept;

/// An object that is kept.
pub(super) struct Text<K: Kept> {
    /// Without its version.
    json: Box<[u8]>,
    version: Option<Box<str>>,
    mark: K::Mark,
}

impl<K: Kept> Clone for Text<K> {
    fn clone(&self) -> Self {
        Self { json: self.json.clone(), version: self.version.clone(), mark: self.mark.clone() }
    }
}

impl<K: Kept> Debug for Text<K> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {:?}", String::from_utf8_lossy(&self.json), self.version)
    }
}

impl<K: Kept> PartialEq for Text<K> {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl<K: Kept> Text<K> {
    /// The object with its text; none where there is no text of it, which leaves what was known before.
    pub(super) fn of(mut object: K) -> Option<(K, Self)> {
        let version = object.meta_mut().resource_version.take();
        let json = serde_json::to_vec(&object)
            .inspect_err(|error| tracing::error!(kind = %K::kind(&()), %error, "an object cannot be kept"))
            .ok()?;
        let kept = version.as_deref().map(Into::into);
        object.meta_mut().resource_version = version;
        let text = Self { json: json.into(), version: kept, mark: object.mark() };
        debug_assert_eq!(text.read().as_ref(), Some(&object));
        Some((object, text))
    }

    /// The object.
    pub(super) fn read(&self) -> Option<K> {
        let read = serde_json::from_slice::<K>(&self.json);
        let mut object = read
            .inspect_err(
                |error| tracing::error!(kind = %K::kind(&()), %error, "what was kept cannot be read"),
            )
            .ok()?;
        object.meta_mut().resource_version = self.version.as_deref().map(str::to_owned);
        Some(object)
    }

    /// What is asked of all objects at once.
    pub(super) fn mark(&self) -> &K::Mark {
        &self.mark
    }

    /// Whether it is a later state of the same object. Versions of one resource are comparable numbers (Kubernetes
    /// 1.35 says so for all; etcd's always were).
    pub(super) fn is_later_than(&self, other: &Self) -> bool {
        let version = |text: &Self| text.version.as_deref()?.parse::<u64>().ok();
        let is_later = matches!((version(self), version(other)), (Some(own), Some(other)) if own > other);
        let uid = |text: &Self| text.read().map(|object| object.meta().uid.clone());
        is_later && uid(self) == uid(other)
    }
}
