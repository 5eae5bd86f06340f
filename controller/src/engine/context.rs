//! What every pass shares.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use restate_plan::cluster::Operator;

use super::publish::Said;
use crate::execute::Executor;
use crate::restates::Restates;
use crate::runtime::metrics::Metrics;
use crate::watches::{Stores, Wakers};

/// What every pass shares. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Context {
    /// How to reach the API server.
    pub(crate) client: Client,
    /// What the API server has.
    pub(crate) stores: Stores,
    /// Whom a change concerns.
    pub(crate) wakers: Arc<Wakers>,
    /// What Restate said.
    pub(crate) restates: Arc<Restates>,
    /// Who performs steps.
    pub(crate) executor: Executor,
    /// When which status was written.
    pub(crate) said: Said,
    /// Where to count.
    pub(crate) metrics: Arc<Metrics>,
    /// The clock.
    pub(crate) clock: fn() -> Timestamp,
    /// Who we are and where we run.
    pub(crate) operator: Arc<Operator>,
}

impl Context {
    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
