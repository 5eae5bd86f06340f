//! What the requests of one connection share; in the extensions of each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::tls::peer::PeerCertificates;

/// One connection. Clones are the same connection.
#[derive(Clone, Debug)]
pub(super) struct Connection(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    peer: PeerCertificates,
    from: SocketAddr,
    close: CancellationToken,
    /// Requests that are open, and since when there has been that many.
    open: watch::Sender<(usize, Instant)>,
}

/// Keeps a connection from being idle while it lives.
#[derive(Debug)]
pub(super) struct Busy(Connection);

impl Connection {
    pub(super) fn new(peer: PeerCertificates, from: SocketAddr) -> Self {
        let open = watch::Sender::new((0, Instant::now()));
        Self(Arc::new(Shared { peer, from, close: CancellationToken::new(), open }))
    }

    pub(super) fn mark(&self, extensions: &mut Extensions) {
        extensions.insert(self.0.peer.clone());
        extensions.insert(self.clone());
    }

    pub(super) fn from(&self) -> SocketAddr {
        self.0.from
    }

    /// Answers what is open, then closes (A12).
    pub(super) fn close(&self) {
        self.0.close.cancel();
    }

    pub(super) fn busy(&self) -> Busy {
        self.0.open.send_modify(|(open, since)| (*open, *since) = (*open + 1, Instant::now()));
        Busy(self.clone())
    }

    pub(super) async fn to_be_closed(&self) {
        self.0.close.cancelled().await;
    }

    /// Completes once no request has been open for `limit`.
    pub(super) async fn idle_for(&self, limit: Duration) {
        let mut open = self.0.open.subscribe();
        loop {
            let (count, since) = *open.borrow_and_update();
            let idle = async {
                match count {
                    0 => tokio::time::sleep_until(since + limit).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = idle => return,
                changed = open.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.open.send_modify(|(open, since)| (*open, *since) = (open.saturating_sub(1), Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn t2_a_connection_is_idle_only_without_requests() {
        let connection = Connection::new(PeerCertificates::default(), ([127, 0, 0, 1], 1).into());
        let limit = Duration::from_secs(90);
        let busy = connection.busy();
        let waited = tokio::time::timeout(Duration::from_hours(1), connection.idle_for(limit)).await;
        assert!(waited.is_err(), "a request is open");
        drop(busy);
        let start = Instant::now();
        connection.idle_for(limit).await;
        assert!(start.elapsed() >= limit);
    }
}
