//! May this user do this? Asked of kube-apiserver by SubjectAccessReview (Z1), with a short memory (Z7).
//!
//! Invariant: nobody is allowed anything unless kube-apiserver said so for exactly this user and these attributes, the
//! user is in `system:masters`, or the path is a health check. An error is never an answer (Z10).

mod attributes;
pub mod forbidden;
mod reachability;
mod review;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use moka::future::Cache;

pub use attributes::{Attributes, Operator, Requirement, ResourceAttributes};
use reachability::Reachability;

use crate::delegated;
use crate::health::{Health, Scope};
use crate::metrics::{Metrics, Review};
use crate::user::{MASTERS, User};

/// How many answers are remembered, and for how long.
const REMEMBERED: u64 = 8192;
const MEMORY: Duration = Duration::from_secs(10);
/// Larger questions are not remembered: the caller chose their size.
const LARGEST: usize = 10 * 1024;

/// What the authorizer answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The user may.
    Allowed {
        /// Why, for the audit log.
        reason: String,
    },
    /// The user may not; also where kube-apiserver has no opinion.
    Denied {
        /// Why, for the user.
        reason: String,
    },
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The review failed.
    #[error("failed to review access")]
    Review {
        /// What went wrong.
        source: Arc<delegated::Error>,
    },
    /// kube-apiserver answered without a status.
    #[error("kube-apiserver answered a SubjectAccessReview without status")]
    NoStatus,
    /// kube-apiserver could not evaluate.
    #[error("kube-apiserver could not evaluate the access: {message}")]
    Evaluation {
        /// In its words.
        message: String,
    },
}

/// Answers whether a user may do something. Clones share the memory.
#[derive(Clone)]
pub struct Authorizer {
    client: Client,
    metrics: Metrics,
    always: Arc<[String]>,
    memory: Cache<(User, Attributes), Decision>,
    reachability: Arc<Reachability>,
}

impl Decision {
    /// Whether the user may.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// Why.
    pub fn reason(&self) -> &str {
        match self {
            Self::Allowed { reason } | Self::Denied { reason } => reason,
        }
    }

    fn allowed(reason: &str) -> Self {
        Self::Allowed { reason: reason.to_owned() }
    }
}

impl Authorizer {
    /// Asks through `client`, whose identity needs the ClusterRole `system:auth-delegator`.
    pub fn new(client: Client, metrics: Metrics) -> Self {
        Self {
            client,
            metrics,
            always: crate::health::PATHS.map(str::to_owned).into(),
            memory: Cache::builder().max_capacity(REMEMBERED).time_to_live(MEMORY).build(),
            reachability: Arc::default(),
        }
    }

    /// Paths (and their children) that everybody may read, besides the health checks: say, `/metrics` (M6).
    #[must_use]
    pub fn allowing(mut self, paths: &[String]) -> Self {
        self.always = self.always.iter().chain(paths).cloned().collect();
        self
    }

    /// Adds a readiness check that fails when reviews have failed for a while (P6).
    #[must_use]
    pub fn with_health(self, health: &Health) -> Self {
        let reachability = Arc::clone(&self.reachability);
        health.check("authorization", Scope::Ready, move || reachability.verdict());
        self
    }

    /// Whether `user` may do what `attributes` say.
    pub async fn check(&self, user: &User, attributes: &Attributes) -> Result<Decision, Error> {
        if user.is_member_of(MASTERS) {
            return Ok(Decision::allowed("member of system:masters"));
        }
        if self.is_always_allowed(attributes) {
            return Ok(Decision::allowed("path open to everybody"));
        }
        if attributes.size() > LARGEST {
            return self.review(user, attributes).await;
        }
        let question = (user.clone(), attributes.clone());
        let answer = self.memory.try_get_with(question, self.review(user, attributes)).await;
        answer.map_err(|error| error.as_ref().clone())
    }

    fn is_always_allowed(&self, attributes: &Attributes) -> bool {
        let Attributes::Path { path, verb } = attributes else { return false };
        let under = |open: &String| {
            path.strip_prefix(open.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        matches!(verb.as_str(), "get" | "head" | "options") && self.always.iter().any(under)
    }

    async fn review(&self, user: &User, attributes: &Attributes) -> Result<Decision, Error> {
        let question = review::question(user, attributes);
        let answer = delegated::ask(&self.client, &self.metrics, Review::Access, &question).await;
        self.reachability.saw(answer.as_ref().map_or_else(delegated::Error::is_answer, |_| true));
        review::decision(answer.map_err(|source| Error::Review { source: Arc::new(source) })?)
    }
}

#[cfg(test)]
mod tests;
