//! `restateservices`: every service that Restate routes to a version of somebody's RestateDeployment, from a store
//! that is filled when somebody looks.
//!
//! Invariant: a Restate that does not answer hides nothing that it has told: its services are shown as last known. One
//! that has told nothing to this process, though something was registered with it, is no reason to call its services
//! gone: until it tells, or has been silent for long, lists that concern it are refused (W15).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use apiserver_machinery::resource::{Readable, Wanted};
use apiserver_machinery::status::Status;
use apiserver_machinery::store::Store;
use apiserver_machinery::version::Clock;
use restate_apiservice::RestateService;
use restate_client::poller::Held;
use restate_model::EndpointKey;
use restate_plan::Admin;
use tokio::sync::Mutex;

use super::service::{nobody_told, not_all_told, object};
use crate::atlas::{Atlas, Map};

/// Changes that come together are published together.
const SETTLE: Duration = Duration::from_millis(100);
/// How soon a new watch is noticed.
const LOOK_FOR_WATCHERS: Duration = Duration::from_secs(1);

/// All services.
#[derive(Clone)]
pub(crate) struct Services {
    atlas: Atlas,
    published: Published,
}

/// What readers see. Clones share it.
#[derive(Clone)]
struct Published {
    store: Store<RestateService>,
    /// The map that was published last.
    last: Arc<Mutex<Option<Arc<Map>>>>,
}

impl Services {
    pub(crate) fn new(atlas: Atlas, clock: &Arc<Clock>) -> Self {
        Self { atlas, published: Published { store: Store::new(clock), last: Arc::default() } }
    }

    /// Publishes as things change, for as long as anybody watches. Runs for ever.
    pub(crate) async fn follow(self) {
        let mut stored = self.atlas.world.changes();
        let mut answered = self.atlas.restates.changes();
        let mut held = HashMap::new();
        loop {
            let is_watched = self.published.store.watchers() > 0;
            self.keep_asking(&mut held, is_watched);
            if is_watched && self.publish().await.is_err() {
                tracing::warn!("watches stay behind until services can be published again");
            }
            tokio::time::sleep(SETTLE).await;
            tokio::select! {
                _ = stored.changed() => {}
                _ = answered.changed() => {}
                () = tokio::time::sleep(LOOK_FOR_WATCHERS) => {}
            }
        }
    }

    /// Asks every Restate that is named for as long as anybody watches, and no other.
    fn keep_asking(&self, held: &mut HashMap<EndpointKey, Held>, is_watched: bool) {
        let admins = if is_watched { self.atlas.admins(None) } else { Vec::new() };
        held.retain(|key, _| admins.iter().any(|admin| admin.key == *key));
        for admin in admins {
            if !held.contains_key(&admin.key)
                && let Some(hold) = self.atlas.restates.hold_registered(&admin)
            {
                held.insert(admin.key, hold);
            }
        }
    }

    async fn publish(&self) -> Result<(), Status> {
        self.published.publish(self.atlas.known()).await
    }
}

impl Published {
    /// Readers that come together share one publication. What is published is drawn when its turn has come: an older
    /// map after a newer one would take away what is there.
    async fn publish(&self, drawn: impl Future<Output = Result<Arc<Map>, Status>>) -> Result<(), Status> {
        let mut published = Arc::clone(&self.last).lock_owned().await;
        let map = drawn.await?;
        self.store.set_warning(warning(&map));
        if published.as_ref().is_some_and(|last| Arc::ptr_eq(last, &map)) {
            return Ok(());
        }
        let own = self.store.clone();
        // The turn lasts as long as the publication, also where the reader who began it has left.
        let encoded =
            tokio::task::spawn_blocking(move || own.publish(objects(&map)).map(|()| *published = Some(map)));
        match encoded.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "services could not be encoded");
                Err(Status::internal("services could not be encoded"))
            }
            Err(_) => Err(Status::internal("services could not be computed")),
        }
    }
}

fn objects(map: &Map) -> Vec<RestateService> {
    let of = |territory| services_of(territory).collect::<Vec<_>>();
    map.territories.iter().flat_map(of).collect()
}

fn services_of(territory: &crate::atlas::Territory) -> impl Iterator<Item = RestateService> {
    territory.services().map(|(service, owner)| object(territory, service, owner))
}

/// What every reader may be told: how many did not answer. Which ones is not for everybody.
fn warning(map: &Map) -> Option<String> {
    let silent = map.territories.iter().filter(|territory| territory.is_silent()).count();
    let all = map.territories.len();
    let words = "did not answer; their services are shown as last known";
    (silent > 0).then(|| format!("{silent} of {all} Restates {words}"))
}

impl Readable for Services {
    type Object = RestateService;

    // There are two replicas, and kube-apiserver may ask either for the next portion.
    const IN_PORTIONS: bool = false;

    fn store(&self) -> &Store<Self::Object> {
        &self.published.store
    }

    async fn fresh(&self, wanted: &Wanted) -> Result<(), Status> {
        let namespace = wanted.namespace.as_deref();
        let map = self.atlas.asked(namespace).await?;
        let concerned = map.of(namespace).count();
        let untold = map.of(namespace).filter(|territory| territory.observed_at().is_none()).count();
        if untold > 0 && untold == concerned {
            return Err(nobody_told(untold));
        }
        self.publish().await
    }

    async fn whole(&self, wanted: &Wanted) -> Result<(), Status> {
        let namespace = wanted.namespace.as_deref();
        let map = self.atlas.known().await?;
        let owing = owing(&map, namespace, |admin| self.atlas.restates.is_given_up(admin));
        if owing > 0 {
            return Err(not_all_told(owing, map.of(namespace).count()));
        }
        // What is read next is at least what was just found to be whole.
        if map.territories.iter().any(|territory| territory.observed_at().is_some()) {
            self.publish().await?;
        }
        Ok(())
    }
}

/// How many Restates may have services of this namespace, or of any, that nobody has heard of yet.
fn owing(map: &Map, namespace: Option<&str>, is_given_up: impl Fn(&Admin) -> bool) -> usize {
    let owing = map.of(namespace).filter(|territory| territory.owes(namespace));
    owing.filter(|territory| !is_given_up(&territory.admin)).count()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::atlas::Territory;
    use crate::atlas::tests::{silent, territory};

    #[test]
    fn z12_services_of_nobody_are_shown_to_nobody() {
        let map = Map { territories: vec![territory()] };
        let found: Vec<_> = objects(&map)
            .into_iter()
            .map(|object| (object.metadata.namespace.unwrap_or_default(), object.status.service))
            .collect();
        let expected = [("shop", "Greeter"), ("bank", "Ledger"), ("shop", "Old")];
        assert_eq!(found, expected.map(|(namespace, service)| (namespace.to_owned(), service.to_owned())));
    }

    #[test]
    fn r11_silence_is_counted_and_nobody_is_named() {
        let silent = Territory::new(territory().admin, Arc::default());
        assert_eq!(warning(&Map { territories: vec![territory()] }), None);
        let words = warning(&Map { territories: vec![territory(), silent] }).unwrap();
        assert!(words.starts_with("1 of 2") && !words.contains("prod"), "{words}");
    }

    /// R13: whoever watches would see services go and come back that never went.
    #[tokio::test]
    async fn an_older_map_is_not_published_over_a_newer_one() {
        let clock = Arc::new(Clock::new());
        let published = Published { store: Store::new(&clock), last: Arc::default() };
        let newest = std::sync::Mutex::new(Arc::new(Map::default()));
        let turn = published.last.lock().await;
        let waiting = published.publish(async { Ok(Arc::clone(&newest.lock().unwrap())) });
        let newer = Arc::new(Map { territories: vec![territory()] });
        let meanwhile = async {
            tokio::task::yield_now().await;
            *newest.lock().unwrap() = Arc::clone(&newer);
            drop(turn);
        };
        let (done, ()) = tokio::join!(waiting, meanwhile);
        done.unwrap();
        assert!(published.last.lock().await.as_ref().is_some_and(|last| Arc::ptr_eq(last, &newer)));
    }

    /// W15: who keeps a copy would delete from it what a silent Restate has not told.
    #[rstest]
    #[case::everything(None, 1)]
    #[case::its_namespace(Some("shop"), 1)]
    #[case::another_namespace(Some("bank"), 0)]
    #[case::registered_nothing(Some("fresh"), 0)]
    fn w15_who_has_something_to_tell_is_waited_for(#[case] namespace: Option<&str>, #[case] expected: usize) {
        let silent = silent(&[("shop", Some("dp_1")), ("fresh", None)]);
        let map = Map { territories: vec![territory(), silent] };
        assert_eq!(owing(&map, namespace, |_| false), expected);
        assert_eq!(owing(&map, namespace, |_| true), 0, "not for ever");
    }
}
