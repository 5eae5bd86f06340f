//! Who acts: one process at a time, the holder of the Lease.
//!
//! The lease manager elects; the [`Fence`] knows how long the Lease is surely ours. Invariant: nothing acts unless
//! [`Lease::is_held`], and nothing irreversible starts unless [`Lease::outlives`] its deadline.

use std::time::Duration;

use kube::Client;
use kube::client::ClientBuilder;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::fence::Fence;

/// How much the clocks of two candidates may differ. kube's own default for leases has no such margin; ours is
/// what NTP keeps by far.
const SKEW: Duration = Duration::from_secs(3);
/// The Lease is renewed when two thirds of its time are still left: one failed renewal loses nothing.
const RENEWALS_PER_DURATION: u64 = 3;
/// How long giving back the Lease may take at the end.
const RELEASE: Duration = Duration::from_secs(5);
/// The pause after a renewal that failed: several tries fit into what is left of the Lease.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Which Lease, and who asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Candidacy {
    /// Namespace of the Lease.
    pub(crate) namespace: String,
    /// Name of the Lease.
    pub(crate) name: String,
    /// Unique among the candidates.
    pub(crate) identity: String,
    /// Validity of a renewal.
    pub(crate) duration: Duration,
}

/// The Lease as it stands now.
#[derive(Clone, Debug)]
pub(crate) struct Lease(watch::Receiver<Option<Instant>>);

impl Lease {
    /// A Lease of which `until` tells how long it is ours.
    pub(crate) fn new(until: watch::Receiver<Option<Instant>>) -> Self {
        Self(until)
    }

    /// Whether it is ours at this moment.
    pub(crate) fn is_held(&self) -> bool {
        self.outlives(Duration::ZERO)
    }

    /// Whether it stays ours for longer than `deadline` from now, whatever happens.
    pub(crate) fn outlives(&self, deadline: Duration) -> bool {
        (*self.0.borrow()).is_some_and(|until| until > Instant::now() + deadline)
    }

    /// Waits until it is ours.
    pub(crate) async fn gained(&self) {
        let mut until = self.0.clone();
        while !self.is_held() {
            if until.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until it is no longer ours: another holder was seen, or no renewal came in time.
    pub(crate) async fn lost(&self) {
        let mut changes = self.0.clone();
        loop {
            let Some(until) = *changes.borrow_and_update() else { return };
            tokio::select! {
                () = sleep_until(until) => if !self.is_held() { return },
                told = changes.changed() => if told.is_err() { return sleep_until(until).await },
            }
        }
    }
}

/// Runs for the Lease; ends with giving it back.
#[derive(Debug)]
pub(crate) struct Campaign {
    /// The Lease.
    pub(crate) lease: Lease,
    stop: CancellationToken,
    task: JoinHandle<Result<(), LeaseManagerError>>,
}

impl Campaign {
    /// Starts to run for the Lease.
    pub(crate) async fn start(mut config: kube::Config, candidacy: &Candidacy) -> anyhow::Result<Self> {
        let Candidacy { namespace, name, identity, duration } = candidacy;
        let fence = Fence::new(identity, *duration, SKEW);
        let seconds = duration.as_secs();
        // A connection that is dead without a word must not cost the Lease.
        config.read_timeout = Some(Duration::from_secs(seconds) / 6);
        let manager = LeaseManagerBuilder::new(fenced_client(config, &fence)?, name.as_str())
            .with_namespace(namespace.as_str())
            .with_identity(identity.as_str())
            .with_field_manager(format!("restate-operator/lease-{identity}"))
            .with_duration(seconds)
            .with_grace(seconds - seconds / RENEWALS_PER_DURATION)
            .build()
            .await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(renew(manager, stop.clone()));
        Ok(Self { lease: Lease::new(fence.until()), stop, task })
    }

    /// Gives the Lease back, so that the next holder need not wait for its end.
    pub(crate) async fn give_back(self) {
        self.stop.cancel();
        match timeout(RELEASE, self.task).await {
            Ok(Ok(Ok(()))) => tracing::info!("the Lease was given back"),
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the Lease was not given back"),
            Ok(Err(error)) => tracing::warn!(%error, "the Lease was not given back"),
            Err(_) => tracing::warn!("the Lease was not given back in time"),
        }
    }
}

/// Asks for the Lease and renews it, until `stop`; then gives it back. Whether it is ours is the fence's to say.
async fn renew(manager: LeaseManager, stop: CancellationToken) -> Result<(), LeaseManagerError> {
    loop {
        let changed = tokio::select! {
            changed = manager.changed() => changed,
            () = stop.cancelled() => return manager.release().await,
        };
        match changed {
            Ok(is_ours) => tracing::info!(is_ours, "the Lease has changed hands"),
            Err(error) => {
                tracing::warn!(%error, "the Lease could not be renewed");
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

fn fenced_client(config: kube::Config, fence: &Fence) -> Result<Client, kube::Error> {
    Ok(ClientBuilder::try_from(config)?.with_layer(fence).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(until: Option<Duration>) -> (watch::Sender<Option<Instant>>, Lease) {
        let (sender, receiver) = watch::channel(until.map(|left| Instant::now() + left));
        (sender, Lease::new(receiver))
    }

    #[tokio::test(start_paused = true)]
    async fn an_irreversible_call_needs_more_time_than_its_deadline() {
        let (_sender, lease) = lease(Some(Duration::from_secs(10)));
        assert!(lease.outlives(Duration::from_secs(9)));
        assert!(!lease.outlives(Duration::from_secs(10)), "the call may take all of its deadline");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(lease.is_held() && !lease.outlives(Duration::from_secs(9)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_by_itself_where_no_renewal_comes() {
        let (_sender, lease) = lease(Some(Duration::from_secs(10)));
        let start = Instant::now();
        lease.lost().await;
        assert_eq!(start.elapsed().as_secs(), 10);
        assert!(!lease.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn renewals_keep_it_and_another_holder_ends_it() {
        let (sender, lease) = lease(Some(Duration::from_secs(10)));
        let (start, waiting) = (
            Instant::now(),
            tokio::spawn({
                let lease = lease.clone();
                async move { lease.lost().await }
            }),
        );
        tokio::time::sleep(Duration::from_secs(8)).await;
        sender.send_replace(Some(Instant::now() + Duration::from_secs(10)));
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert!(!waiting.is_finished());
        sender.send_replace(None);
        waiting.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_waited_for() {
        let (sender, lease) = lease(None);
        let waiting = tokio::spawn(async move { lease.gained().await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        sender.send_replace(Some(Instant::now() + Duration::from_secs(10)));
        waiting.await.unwrap();
    }
}
