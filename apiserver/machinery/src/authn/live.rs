//! Keeps the configuration as kube-apiserver publishes it (A5, A6).
//!
//! Invariant: what was good stays until something better comes; a deleted or broken ConfigMap takes nothing away.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};

use super::config::{Config, Error, NAME, NAMESPACE};
use crate::health::{Gate, Health};

/// Role that may read the ConfigMap; a RoleBinding in kube-system has to name us (Z11).
const READER: &str = "extension-apiserver-authentication-reader";

/// The configuration of the moment.
#[derive(Debug)]
pub struct LiveConfig {
    current: ArcSwapOption<Config>,
    gate: Gate,
}

impl LiveConfig {
    /// Nothing is known yet, and readiness says so (A6).
    pub fn new(health: &Health) -> Arc<Self> {
        let reason = format!("ConfigMap {NAMESPACE}/{NAME} has not been read yet");
        Arc::new(Self { current: ArcSwapOption::empty(), gate: health.gate("authentication", reason) })
    }

    /// The configuration, if one has been read.
    pub fn current(&self) -> Option<Arc<Config>> {
        self.current.load_full()
    }

    /// Takes over the data of the ConfigMap, if it is of use.
    pub fn offer(&self, data: &BTreeMap<String, String>) -> Result<(), Error> {
        let config = Config::parse(data)?;
        if config.lets_clients_impersonate() {
            tracing::warn!(
                "the header CA is also the client CA and requestheader-allowed-names is empty: \
                 whoever has a client certificate can act as anybody"
            );
        }
        self.current.store(Some(Arc::new(config)));
        self.gate.open();
        Ok(())
    }

    fn saw(&self, config_map: Option<ConfigMap>) {
        let Some(config_map) = config_map else {
            return self.keep(&format!("ConfigMap {NAMESPACE}/{NAME} does not exist"));
        };
        match self.offer(&config_map.data.unwrap_or_default()) {
            Ok(()) => tracing::info!("authentication configuration read"),
            Err(error) => self.keep(&chain(&error)),
        }
    }

    fn failed(&self, error: &watcher::Error) {
        let denied = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 403,
            _ => false,
        };
        let hint = if denied {
            format!("; a RoleBinding in {NAMESPACE} has to bind the Role {READER} to our service account")
        } else {
            String::new()
        };
        self.keep(&format!("ConfigMap {NAMESPACE}/{NAME} cannot be read{hint}: {}", chain(error)));
    }

    /// Readiness fails only while nothing good was ever read.
    fn keep(&self, reason: &str) {
        tracing::warn!(reason, "authentication configuration not updated");
        if self.current.load().is_none() {
            self.gate.close(reason);
        }
    }
}

/// Follows the ConfigMap for ever; errors are tried again with growing pauses.
pub async fn watch(client: Client, config: Arc<LiveConfig>) {
    let api = Api::<ConfigMap>::namespaced(client, NAMESPACE);
    let mut seen = pin!(watcher::watch_object(api, NAME).default_backoff());
    while let Some(event) = seen.next().await {
        match event {
            Ok(config_map) => config.saw(config_map),
            Err(error) => config.failed(&error),
        }
    }
}

/// An error with what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
