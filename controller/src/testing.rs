//! What tests stand on: an API server and a Restate that remember what they were asked.

mod kubernetes;
mod restate;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use restate_client::Policy;
use restate_client::transport::{Options, Transport};
use restate_plan::cluster::Operator;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use kubernetes::Kubernetes;
pub(crate) use restate::Restate;

use crate::engine::{Context, Said};
use crate::execute::{Addresses, Attempts, Executor, Notices};
use crate::restates::Restates;
use crate::runtime::leader::Lease;
use crate::runtime::metrics::Metrics;
use crate::watches::{Stores, Wakers};

/// A Lease that is ours for so long.
pub(crate) fn lease(left: Duration) -> Lease {
    let (sender, receiver) = watch::channel(Some(Instant::now() + left));
    drop(sender);
    Lease::new(receiver)
}

/// Steps are performed against this API server, with a Lease that is ours for so long.
pub(crate) fn executor(kubernetes: &Kubernetes, left: Duration) -> Executor {
    // Other tests of the same process may have installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let (client, metrics) = (kubernetes.client(), Arc::new(Metrics::default()));
    let policy = Policy::default().with_loopback();
    let transport = Transport::new(&Options { policy: policy.clone(), extra_ca: Vec::new() }).unwrap();
    let restates = Restates::new(transport, policy, metrics.clone(), Arc::new(Wakers::default()));
    Executor {
        notices: Notices::new(client.clone(), Some("pod".to_owned())),
        client,
        stores: Stores::default(),
        lease: lease(left),
        restates: Arc::new(restates),
        addresses: Addresses::default(),
        attempts: Attempts::default(),
        metrics,
    }
}

fn wakers(stores: &Stores) -> Arc<Wakers> {
    let wakers = Arc::new(Wakers::default());
    wakers.know(stores);
    wakers
}

/// Passes are made against this API server.
pub(crate) fn context(kubernetes: &Kubernetes) -> Context {
    let executor = executor(kubernetes, Duration::from_mins(1));
    Context {
        client: executor.client.clone(),
        stores: executor.stores.clone(),
        wakers: wakers(&executor.stores),
        restates: executor.restates.clone(),
        said: Said::default(),
        metrics: executor.metrics.clone(),
        clock: Timestamp::now,
        operator: Arc::new(Operator { dns_suffix: "cluster.local".to_owned(), ..Operator::default() }),
        executor,
    }
}
