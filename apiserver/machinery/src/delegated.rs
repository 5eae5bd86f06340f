//! Reviews that kube-apiserver answers for us: who is this (TokenReview), may they (SubjectAccessReview).
//!
//! Invariant: an answer is kube-apiserver's own or an error; there is no default. Nothing is remembered here.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use http::StatusCode;
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::metrics::{Metrics, Review};

/// How long one call may take (A8, Z7).
const CALL: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const GROWTH: f32 = 1.5;
/// Five calls in all.
const RETRIES: usize = 4;

/// Why kube-apiserver gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It refused, or was not reached.
    #[error("kube-apiserver did not answer the review")]
    Call {
        /// What the client found.
        source: Box<kube::Error>,
    },
    /// It took too long.
    #[error("kube-apiserver did not answer the review within {} s", CALL.as_secs())]
    Slow,
}

/// Asks kube-apiserver to fill in a review; what may pass is tried again.
pub(crate) async fn ask<R>(client: &Client, metrics: &Metrics, kind: Review, review: &R) -> Result<R, Error>
where
    R: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let api = Api::<R>::all(client.clone());
    let once = || counted(metrics, kind, async { api.create(&PostParams::default(), review).await });
    let pauses =
        ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_factor(GROWTH).with_max_times(RETRIES);
    once.retry(pauses).when(Error::may_pass).await
}

async fn counted<R>(
    metrics: &Metrics,
    kind: Review,
    call: impl Future<Output = Result<R, kube::Error>>,
) -> Result<R, Error> {
    let start = Instant::now();
    let result = match tokio::time::timeout(CALL, call).await {
        Ok(answer) => answer.map_err(|source| Error::Call { source: Box::new(source) }),
        Err(_) => Err(Error::Slow),
    };
    let code = match &result {
        Ok(_) => Some(StatusCode::CREATED.as_u16()),
        Err(error) => error.code(),
    };
    metrics.delegated(kind, code, start.elapsed());
    result
}

impl Error {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Call { source } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Slow => None,
        }
    }

    /// Whether it was reached and is well: what it refuses for the question's own sake it would refuse anybody.
    pub(crate) fn is_answer(&self) -> bool {
        self.code().is_some_and(|code| (400..500).contains(&code) && !matches!(code, 401 | 403 | 429))
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Slow => true,
            Self::Call { source } => match source.as_ref() {
                kube::Error::Api(status) => matches!(status.code, 429 | 500 | 503 | 504),
                kube::Error::HyperError(_) | kube::Error::Service(_) => true,
                _ => false,
            },
        }
    }
}
