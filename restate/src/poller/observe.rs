//! Who wants to hear of each question: metrics, outside of this crate.

use std::time::Duration;

use restate_model::{EndpointKey, FailureKind};

/// Hears of each question that a poller asked.
pub trait Observer: Send + Sync + 'static {
    /// A question was asked and answered, or not.
    fn asked(&self, endpoint: &EndpointKey, asked: Asked);
}

/// One question that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which.
    pub question: Question,
    /// How long it took.
    pub took: Duration,
    /// How it failed, if it did.
    pub failed: Option<FailureKind>,
}

/// The questions of a poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Question {
    /// `GET /deployments` and `GET /services`.
    Registry,
    /// The round of usage queries.
    Usage,
}

/// Nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn asked(&self, _: &EndpointKey, _: Asked) {}
}
