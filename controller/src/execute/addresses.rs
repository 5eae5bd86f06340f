//! How many Services are made at the same time.
//!
//! Seen with Kubernetes 1.36: kube-apiserver gives Services their addresses one after the other, and those that come
//! together wear each other out. With 8 at a time one is made in 0.4 s; with all that a roll of 400 versions makes in
//! 5 s, and each fourth was given up.

use std::sync::Arc;

use restate_plan::ObjectRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Error, PATIENCE};

const AT_A_TIME: usize = 8;

/// Turns at the addresses of Services. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Addresses(Arc<Semaphore>);

impl Default for Addresses {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_A_TIME)))
    }
}

impl Addresses {
    /// Waits until this object may be made: at once, if it is no Service.
    pub(super) async fn turn(&self, object: &ObjectRef) -> Result<Option<OwnedSemaphorePermit>, Error> {
        if (object.api_version.as_str(), object.kind.as_str()) != ("v1", "Service") {
            return Ok(None);
        }
        let turn = timeout(PATIENCE, self.0.clone().acquire_owned()).await;
        let busy = || Error::Busy { step: "Create", at: "the addresses of Services".to_owned() };
        turn.ok().and_then(Result::ok).map(Some).ok_or_else(busy)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use k8s_openapi::api::apps::v1::ReplicaSet;
    use k8s_openapi::api::core::v1::Service;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn services_are_made_a_few_at_a_time_and_others_do_not_wait() {
        let addresses = Addresses::default();
        let service = ObjectRef::of::<Service>(Some("shop"), "greeter-1");
        let turns = join_all((0..AT_A_TIME).map(|_| addresses.turn(&service))).await;
        let busy = addresses.turn(&service).await.unwrap_err();
        assert!(matches!(busy, Error::Busy { .. }) && busy.is_quiet(), "{busy}");
        let set = ObjectRef::of::<ReplicaSet>(Some("shop"), "greeter-1");
        assert!(addresses.turn(&set).await.unwrap().is_none());
        drop(turns);
        assert!(addresses.turn(&service).await.unwrap().is_some());
    }
}
