//! The nodes of a cluster, asked one by one: who belongs to a cluster, and the one call that provisions.
//!
//! Invariant: a node that does not answer, or not clearly, has said nothing. The call is sent once, never again.

use apiserver_machinery::status::Status;
use futures::future::join_all;
use restate_client::Node as Client;
use restate_client::node::{self, Configuration, Membership};
use restate_plan::Provision;
use restate_plan::cluster::{Node, NodeIdentity};

/// How nodes are reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes;

/// What came of a provisioning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Provisioned {
    /// The cluster's configuration, in words.
    pub(crate) configuration: Option<String>,
}

impl Nodes {
    /// What each of these nodes says, all asked at once.
    pub(crate) async fn identities(&self, addresses: Vec<String>) -> Vec<Node> {
        let ask = |address: String| async move {
            let identity = identity(&address).await;
            Node { address, identity }
        };
        join_all(addresses.into_iter().map(ask)).await
    }

    /// Provisions, or says what that would do.
    pub(crate) async fn provision(&self, step: &Provision, dry_run: bool) -> Result<Provisioned, Status> {
        let wish = node::Provision {
            dry_run,
            partitions: step.partitions.map(u32::from),
            partition_replication: step.replication.clone(),
            log_provider: step.log_provider.clone(),
            log_replication: step.replication.clone(),
            target_nodeset_size: None,
        };
        let client = Client::new(&step.node).map_err(|error| refused(&error))?;
        let made = client.provision(&wish).await.map_err(|error| refused(&error))?;
        Ok(Provisioned { configuration: Some(words(&made)) })
    }
}

async fn identity(address: &str) -> NodeIdentity {
    let silent = |why: String| NodeIdentity::Silent { why };
    let client = match Client::new(address) {
        Ok(client) => client,
        Err(error) => return silent(error.to_string()),
    };
    match client.ident().await.map(|ident| ident.membership()) {
        Ok(Membership::Member) => NodeIdentity::Member,
        Ok(Membership::None) => NodeIdentity::Blank,
        Ok(Membership::Unclear) => silent("it does not say yet whether it belongs to a cluster".to_owned()),
        Err(error) => silent(error.to_string()),
    }
}

fn words(made: &Configuration) -> String {
    let Configuration {
        partitions,
        partition_replication,
        log_provider,
        log_replication,
        target_nodeset_size: _,
    } = made;
    let or_none = |replication: &Option<String>| replication.clone().unwrap_or_else(|| "none".to_owned());
    format!(
        "partitions: {partitions}, partition replication: {}, log provider: {log_provider}, log replication: {}",
        or_none(partition_replication),
        or_none(log_replication)
    )
}

fn refused(error: &node::Error) -> Status {
    tracing::warn!(error = error as &dyn std::error::Error, "a provisioning failed");
    match error {
        node::Error::AlreadyProvisioned { .. } => Status::new(
            apiserver_machinery::status::Reason::AlreadyExists,
            "the cluster is provisioned already; provisioning never runs twice",
        ),
        node::Error::TimedOut { .. } => Status::timeout(
            "the node did not answer in time; it may have provisioned the cluster: look before you ask again",
            0,
        ),
        node::Error::Refused { .. } => Status::bad_request(error.to_string()),
        node::Error::Unreachable { .. }
        | node::Error::Address { .. }
        | node::Error::Lacks { .. }
        | node::Error::Changed { .. }
        | node::Error::Unreadable { .. } => Status::unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::resources::tests::retry_after;

    /// E10: `Retry-After` would have clients send it again by themselves.
    #[test]
    fn e10_a_provisioning_that_may_have_happened_is_not_repeated() {
        let late = node::Error::TimedOut { address: "http://a".to_owned(), after: Duration::from_secs(10) };
        let status = refused(&late);
        assert_eq!((status.code().as_u16(), retry_after(&status)), (504, 0));
    }
}
