//! Who a bearer token belongs to, asked of kube-apiserver by TokenReview and remembered for a moment (A8).
//!
//! Invariant: tokens are remembered by a keyed hash only, and only what kube-apiserver answered.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1 as api;
use kube::Client;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Error;
use crate::delegated;
use crate::metrics::{Metrics, Review};
use crate::user::User;

/// As long as upstream's default, for good and for bad tokens.
const MEMORY: Duration = Duration::from_secs(10);
const REMEMBERED: u64 = 4096;

/// Reviews tokens. Clones share the memory.
#[derive(Clone)]
pub(super) struct Tokens {
    client: Client,
    metrics: Metrics,
    audiences: Arc<[String]>,
    /// Makes the hashes of no use to whoever sees the memory.
    salt: [Uuid; 2],
    memory: Cache<[u8; 32], Option<User>>,
}

impl Tokens {
    pub(super) fn new(client: Client, metrics: Metrics) -> Self {
        Self {
            client,
            metrics,
            audiences: Arc::default(),
            salt: [Uuid::new_v4(), Uuid::new_v4()],
            memory: Cache::builder().max_capacity(REMEMBERED).time_to_live(MEMORY).build(),
        }
    }

    pub(super) fn for_audiences(mut self, audiences: Vec<String>) -> Self {
        self.audiences = audiences.into();
        self
    }

    /// The user of a token.
    pub(super) async fn review(&self, token: &str) -> Result<User, Error> {
        let asked = self.memory.try_get_with(self.key(token), self.ask(token)).await;
        asked.map_err(|error| error.as_ref().clone())?.ok_or(Error::Token)
    }

    async fn ask(&self, token: &str) -> Result<Option<User>, Error> {
        let audiences = Some(self.audiences.to_vec()).filter(|audiences| !audiences.is_empty());
        let spec = api::TokenReviewSpec { token: Some(token.to_owned()), audiences };
        let question = api::TokenReview { spec, ..Default::default() };
        let answer = delegated::ask(&self.client, &self.metrics, Review::Token, &question).await;
        let review = answer.map_err(|source| Error::Review { source: Arc::new(source) })?;
        Ok(review.status.and_then(|status| self.user(status)))
    }

    fn user(&self, status: api::TokenReviewStatus) -> Option<User> {
        let api::TokenReviewStatus { authenticated, audiences, user, error } = status;
        if let Some(error) = error.filter(|error| !error.is_empty()) {
            tracing::debug!(error, "a token was not accepted");
        }
        let meant = self.is_meant_for_us(&audiences.unwrap_or_default());
        let api::UserInfo { username, uid, groups, extra } =
            user.filter(|_| authenticated == Some(true) && meant)?;
        Some(User {
            name: username.filter(|name| !name.is_empty())?,
            uid: uid.filter(|uid| !uid.is_empty()),
            groups: groups.unwrap_or_default(),
            extra: extra.unwrap_or_default(),
        })
    }

    fn is_meant_for_us(&self, audiences: &[String]) -> bool {
        self.audiences.is_empty() || self.audiences.iter().any(|own| audiences.contains(own))
    }

    fn key(&self, token: &str) -> [u8; 32] {
        let hash = Sha256::new();
        let salted = self.salt.iter().fold(hash, |hash, salt| hash.chain_update(salt.as_bytes()));
        salted.chain_update(token).finalize().into()
    }
}
