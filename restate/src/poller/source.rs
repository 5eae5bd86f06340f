//! Whom the task asks: an admin API, or a script in tests.

use std::sync::Arc;

use jiff::Timestamp;
use restate_model::{Reading, Registry, UsageReport};

use crate::admin::{Admin, Error};

/// Tells the time; tests have one of their own.
pub(super) type Clock = fn() -> Timestamp;

pub(super) trait Source: Send + Sync + 'static {
    fn clock(&self) -> Clock;
    fn registry(&self) -> impl Future<Output = Result<Reading<Arc<Registry>>, Error>> + Send;
    fn usage(&self) -> impl Future<Output = Result<Reading<UsageReport>, Error>> + Send;
}

impl Source for Admin {
    fn clock(&self) -> Clock {
        Timestamp::now
    }

    async fn registry(&self) -> Result<Reading<Arc<Registry>>, Error> {
        Self::registry(self).await
    }

    async fn usage(&self) -> Result<Reading<UsageReport>, Error> {
        Self::usage(self).await
    }
}
