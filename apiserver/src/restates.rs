//! Every Restate that a stored object names: asked by one poller each, on behalf of all readers.
//!
//! Invariant: a Restate that does not answer delays a reader by a bounded time and hides nothing. Which host is asked
//! is decided by stored objects, never by a request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apiserver_machinery::status::Status;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use restate_client::poller::{Held, Pace};
use restate_client::transport::Options;
use restate_client::{Demand, Endpoint, Policy, Pollers, Subscription, Transport};
use restate_model::{EndpointKey, Snapshot};
use restate_plan::Admin;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::questions::Questions;

/// An answer of this age is recent: many readers in a row share one question.
const RECENT: SignedDuration = SignedDuration::from_secs(2);

/// How long a reader waits for a Restate that rests: longer, and the last answer is as good as any.
const WORTH_WAITING: Duration = Duration::from_millis(250);

/// The longest that a reader waits for a recent answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who has told nothing for so long, asked again and again, is not waited for any more by those who want everything.
/// A Restate that starts again, or a node that is replaced, takes minutes.
const GIVEN_UP_AFTER: Duration = Duration::from_mins(10);

/// The Restates of this process. Clones share them.
#[derive(Clone)]
pub(crate) struct Restates {
    pollers: Pollers,
    transport: Transport,
    policy: Policy,
    known: Arc<Mutex<HashMap<EndpointKey, Known>>>,
    bell: watch::Sender<u64>,
    shutdown: CancellationToken,
}

struct Known {
    subscription: Subscription,
    since: Instant,
    held: Option<Held>,
}

impl Restates {
    /// None yet; only those that the policy allows can come.
    pub(crate) fn new(
        shutdown: &CancellationToken,
        questions: &Questions,
        policy: Policy,
    ) -> anyhow::Result<Self> {
        let transport = Transport::new(&Options { policy: policy.clone(), extra_ca: Vec::new() })?;
        Ok(Self {
            pollers: Pollers::new(&transport, Pace::default(), Arc::new(questions.clone())),
            transport,
            policy,
            known: Arc::default(),
            bell: watch::Sender::new(0),
            shutdown: shutdown.clone(),
        })
    }

    /// The newest answers of one Restate, of whatever age; none where it was never asked.
    pub(crate) fn snapshot(&self, admin: &Admin) -> Option<Arc<Snapshot>> {
        self.known().get(&admin.key).map(|known| known.subscription.snapshot())
    }

    /// The newest answers of all of them, in the order of their keys.
    pub(crate) fn snapshots(&self) -> Vec<Arc<Snapshot>> {
        let known = self.known();
        let mut known: Vec<_> = known.iter().collect();
        known.sort_unstable_by_key(|(key, _)| *key);
        known.into_iter().map(|(_, known)| known.subscription.snapshot()).collect()
    }

    /// Wakes when anything that a Restate says changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Waits until each of these has answered recently, or for as long as is bearable.
    pub(crate) async fn recent(&self, admins: &[Admin]) {
        let moment = Timestamp::now() - RECENT;
        let ask = |subscription: Subscription| async move {
            let answer = subscription.recent(moment, Demand::Usage, WORTH_WAITING);
            if tokio::time::timeout(PATIENCE, answer).await.is_err() {
                tracing::debug!(restate = %subscription.key(), "shown without a recent answer");
            }
        };
        join_all(admins.iter().filter_map(|admin| self.subscription(admin)).map(ask)).await;
    }

    /// Waits until each of these has told recently what is registered, or for as long as is bearable.
    pub(crate) async fn registered(&self, admins: &[Admin]) {
        let moment = Timestamp::now() - RECENT;
        let ask = |subscription: Subscription| async move {
            let answer = subscription.fresh_after(moment, Demand::Registry);
            let _ = tokio::time::timeout(PATIENCE, answer).await;
        };
        join_all(admins.iter().filter_map(|admin| self.subscription(admin)).map(ask)).await;
    }

    /// Goes on asking this one what is registered, for as long as the guard is kept.
    pub(crate) fn hold_registered(&self, admin: &Admin) -> Option<Held> {
        Some(self.subscription(admin)?.demand(Demand::Registry))
    }

    /// The admin API of this one, for a question of somebody's own.
    pub(crate) fn client(&self, admin: &Admin) -> Result<restate_client::Admin, Status> {
        let refused = |error: restate_client::endpoint::Error| {
            tracing::warn!(restate = %admin.key, error = &error as &dyn std::error::Error, "an address is not used");
            Status::unavailable(format!("the address of {} is not used: {error}", admin.key))
        };
        let endpoint = Endpoint::new(&admin.url, &self.policy).map_err(refused)?;
        Ok(restate_client::Admin::new(&self.transport, &endpoint))
    }

    /// Goes on asking these, and no others, at the pollers' own pace.
    pub(crate) fn keep_asking(&self, admins: &[Admin]) {
        for admin in admins {
            drop(self.subscription(admin));
        }
        for (key, known) in self.known().iter_mut() {
            let wanted = admins.iter().any(|admin| admin.key == *key);
            if wanted && known.held.is_none() {
                known.held = Some(known.subscription.demand(Demand::Usage));
            } else if !wanted {
                known.held = None;
            }
        }
    }

    /// Lets go of every Restate but these: no stored object names it any more.
    pub(crate) fn keep_only(&self, admins: &[Admin]) {
        self.known().retain(|key, _| admins.iter().any(|admin| admin.key == *key));
    }

    /// What every reader may be told: that some did not answer when last asked. Which ones is not for everybody.
    pub(crate) fn warning(&self) -> Option<String> {
        let known = self.known();
        let failed = known.values().filter(|known| known.subscription.snapshot().failure.is_some()).count();
        (failed > 0).then(|| {
            format!(
                "{failed} of {} Restates did not answer; their versions are shown as last known",
                known.len()
            )
        })
    }

    /// What a reader of one deployment is told of its Restate.
    pub(crate) fn warning_of(&self, admin: &Admin) -> Option<String> {
        let failure = self.snapshot(admin)?.failure.clone()?;
        Some(format!(
            "{} did not answer at {:.0}: {}; shown as last known",
            admin.key, failure.at, failure.message
        ))
    }

    /// Whether nobody waits any more for the first word of this one: there is no way to it, or it has been silent for
    /// long since somebody first wanted to know (W15).
    pub(crate) fn is_given_up(&self, admin: &Admin) -> bool {
        if self.subscription(admin).is_none() {
            return true;
        }
        self.known().get(&admin.key).is_some_and(|known| known.since.elapsed() >= GIVEN_UP_AFTER)
    }

    /// 503 for a Restate that has told nothing yet; asked again it may, unless it is none that may be asked.
    pub(crate) fn no_answer(&self, admin: &Admin) -> Status {
        if let Err(never) = self.client(admin) {
            return never;
        }
        self.cannot_tell(admin, "it has not answered yet").retry_after(2)
    }

    /// 503 for what a Restate has not told, with the reason if it has failed.
    pub(crate) fn cannot_tell(&self, admin: &Admin, what: &str) -> Status {
        let failure = self.snapshot(admin).and_then(|snapshot| snapshot.failure.clone());
        let why = failure.map(|failure| format!(" ({})", failure.message)).unwrap_or_default();
        Status::unavailable(format!("{} cannot tell: {what}{why}", admin.key))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<EndpointKey, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscription(&self, admin: &Admin) -> Option<Subscription> {
        let mut known = self.known();
        if let Some(known) = known.get(&admin.key) {
            return Some(known.subscription.clone());
        }
        let endpoint = Endpoint::new(&admin.url, &self.policy)
            .inspect_err(|error| {
                tracing::warn!(restate = %admin.key, error = error as &dyn std::error::Error, "an address is not used");
            })
            .ok()?;
        let subscription = self.pollers.subscribe(&endpoint);
        tokio::spawn(ring(subscription.changes(), self.bell.clone(), self.shutdown.clone()));
        let since = Instant::now();
        known.insert(admin.key.clone(), Known { subscription: subscription.clone(), since, held: None });
        Some(subscription)
    }
}

async fn ring(
    mut changes: watch::Receiver<Arc<Snapshot>>,
    bell: watch::Sender<u64>,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            news = changes.changed() => match news {
                Ok(()) => bell.send_modify(|count| *count = count.wrapping_add(1)),
                Err(_) => return,
            },
            () = shutdown.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(url: &str) -> Admin {
        Admin { key: url.into(), url: url.to_owned() }
    }

    fn restates(policy: Policy) -> Restates {
        rustls::crypto::ring::default_provider().install_default().ok();
        Restates::new(&CancellationToken::new(), &Questions::new(), policy).unwrap()
    }

    /// The controller does not register there, and nobody asks there in its place.
    #[tokio::test]
    async fn who_is_not_in_the_list_of_hosts_is_not_asked() {
        let listed = ["restate.example.com".to_owned()];
        let restates = restates(Policy::default().allow_beside_own(&listed, "cluster.local"));
        let is_asked = |url: &str| {
            let admin = admin(url);
            assert_eq!(restates.client(&admin).is_ok(), restates.subscription(&admin).is_some());
            restates.client(&admin).is_ok()
        };
        assert!(is_asked("https://restate.example.com"));
        assert!(is_asked("http://restate.prod.svc.cluster.local:9070"), "a RestateCluster's");
        assert!(!is_asked("https://elsewhere.example.com"));
    }

    #[tokio::test(start_paused = true)]
    async fn w15_the_first_word_is_waited_for_for_minutes() {
        let restates = restates(Policy::default());
        let silent = admin("http://restate.prod.svc.cluster.local:9070");
        assert!(!restates.is_given_up(&silent), "from now on it is waited for");
        tokio::time::advance(GIVEN_UP_AFTER.mul_f64(0.99)).await;
        assert!(!restates.is_given_up(&silent));
        tokio::time::advance(GIVEN_UP_AFTER.mul_f64(0.02)).await;
        assert!(restates.is_given_up(&silent));
        assert!(restates.is_given_up(&admin("http://127.0.0.1:9070")), "nobody can ever ask there");
    }

    #[tokio::test]
    async fn what_no_object_names_any_more_is_let_go() {
        let restates = restates(Policy::default());
        let [stays, goes] = ["prod", "test"].map(|name| admin(&format!("http://restate.{name}.svc:9070")));
        drop([&stays, &goes].map(|admin| restates.subscription(admin)));
        restates.keep_only(std::slice::from_ref(&stays));
        assert!(restates.snapshot(&stays).is_some() && restates.snapshot(&goes).is_none());
    }
}
