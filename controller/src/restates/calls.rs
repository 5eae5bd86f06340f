//! What steps ask of Restate. Invariant: one call each, never repeated here.

use futures::future::{join_all, try_join_all};
use restate_client::admin::{self, Deregistered};
use restate_client::node::{self, Membership};
use restate_client::{Admin as Client, Endpoint, Node, endpoint};
use restate_model::{DeploymentId, ServiceName};
use restate_plan::cluster::{self, Configuration, Copies, NodeIdentity};
use restate_plan::{Admin, Provision, Registration, Routes};

use super::Restates;

/// Why Restate did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The address is none that may be contacted.
    #[error("{url} cannot be asked")]
    Endpoint { url: String, source: endpoint::Error },
    /// The admin API.
    #[error(transparent)]
    Admin(#[from] admin::Error),
    /// A node.
    #[error(transparent)]
    Node(#[from] node::Error),
}

impl Error {
    /// The whole chain of causes in one line.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Admin(error) => error.words(),
            Self::Endpoint { source, .. } => format!("{self}: {source}"),
            Self::Node(error) => error.to_string(),
        }
    }

    /// Whether what the decision rests on is not so any more.
    pub(crate) fn is_overtaken(&self) -> bool {
        matches!(self, Self::Node(node::Error::Changed { .. }))
    }

    /// Code and words, where Restate will refuse the same for ever.
    pub(crate) fn final_rejection(&self) -> Option<(String, String)> {
        let Self::Admin(error) = self else { return None };
        let refused = error.refused().filter(|refused| refused.is_final())?;
        let code = refused.code.clone().unwrap_or_else(|| refused.status.as_str().to_owned());
        Some((code, refused.message.clone()))
    }
}

impl Restates {
    /// Lets Restate call a version's endpoint, and changes nothing.
    pub(crate) async fn rehearse(&self, wanted: &Registration) -> Result<(), Error> {
        Ok(self.client(&wanted.admin)?.rehearse(&wish(wanted)).await?)
    }

    /// Where new calls to these services go now; not those that Restate does not know.
    pub(crate) async fn routes(
        &self,
        admin: &Admin,
        services: impl Iterator<Item = &ServiceName>,
    ) -> Result<Routes, Error> {
        let client = self.client(admin)?;
        let found = try_join_all(services.map(|name| client.service(name))).await?;
        Ok(found.into_iter().flatten().map(|service| (service.name, service.deployment)).collect())
    }

    /// Registers a version.
    pub(crate) async fn register(&self, wanted: &Registration) -> Result<DeploymentId, Error> {
        let accepted = self.client(&wanted.admin)?.register(&wish(wanted)).await?;
        tracing::info!(uri = wanted.uri, deployment = %accepted.id, new = accepted.new, "registered");
        Ok(accepted.id)
    }

    /// Removes a deployment. Also where Restate does not know it any more: that is what was wanted.
    pub(crate) async fn deregister(&self, admin: &Admin, id: &DeploymentId) -> Result<(), Error> {
        match self.client(admin)?.deregister(id).await? {
            Deregistered::Acknowledged => tracing::info!(deployment = %id, "deregistered"),
            Deregistered::NotFound => tracing::info!(deployment = %id, "was not registered any more"),
        }
        Ok(())
    }

    /// What each node says of itself, all asked at the same time.
    pub(crate) async fn identities(&self, addresses: &[String]) -> Vec<cluster::Node> {
        join_all(addresses.iter().map(|address| identity(address))).await
    }

    /// Provisions. Also where somebody else did already: that is what was wanted.
    pub(crate) async fn provision(&self, wanted: &Provision) -> Result<(), Error> {
        let Provision { cluster: _, uid: _, node, expected: _, partitions, replication, log_provider } =
            wanted;
        let wish = node::Provision {
            dry_run: false,
            partitions: partitions.map(u32::from),
            partition_replication: replication.clone(),
            log_provider: log_provider.clone(),
            log_replication: replication.clone(),
            target_nodeset_size: None,
        };
        match Node::new(node)?.provision(&wish).await {
            Ok(_) | Err(node::Error::AlreadyProvisioned { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The nodes that the cluster has, by the word of the first that answers; none where nobody does.
    pub(crate) async fn members(&self, nodes: &[String]) -> Option<Vec<cluster::Member>> {
        let ask = async |node: &String| Node::new(node)?.members().await;
        let answers = join_all(nodes.iter().map(ask)).await;
        let answer = answers.into_iter().find_map(|answer| match answer {
            Ok(members) => Some(members),
            Err(error) => {
                tracing::debug!(%error, "does not tell of the cluster's nodes");
                None
            }
        })?;
        Some(answer.into_iter().map(member).collect())
    }

    /// Where logs and partitions are, by this node's word.
    pub(crate) async fn copies(&self, node: &str) -> Result<Copies, Error> {
        let node = Node::new(node)?;
        let (logs, state, members) = tokio::try_join!(node.logs(), node.cluster_state(), node.members())?;
        let runs = |replica: &&node::Replica| !replica.broken && replica.mode != node::Mode::Unknown;
        Ok(Copies {
            logs: logs.logs.iter().map(newest).collect(),
            partitions: state
                .replicas
                .iter()
                .filter(runs)
                .map(|found| (found.partition, found.node))
                .collect(),
            members: members.into_iter().map(member).collect(),
        })
    }

    /// The cluster's configuration, as this node says it.
    pub(crate) async fn configuration(&self, node: &str) -> Result<Configuration, Error> {
        Ok(super::nodes::of_cluster(Node::new(node)?.configuration().await?))
    }

    /// Changes the cluster's configuration.
    pub(crate) async fn configure(&self, node: &str, wanted: &Configuration) -> Result<(), Error> {
        let Configuration {
            partitions,
            partition_replication,
            log_provider,
            log_replication,
            target_nodeset_size,
        } = wanted.clone();
        let wanted = node::Configuration {
            partitions,
            partition_replication,
            log_provider,
            log_replication,
            target_nodeset_size,
        };
        Ok(Node::new(node)?.configure(&wanted).await?)
    }

    fn client(&self, admin: &Admin) -> Result<Client, Error> {
        let endpoint = Endpoint::new(&admin.url, &self.policy);
        let endpoint = endpoint.map_err(|source| Error::Endpoint { url: admin.url.clone(), source })?;
        Ok(Client::new(&self.transport, &endpoint))
    }
}

fn wish(wanted: &Registration) -> admin::Registration {
    let Registration { admin: _, uri, force, breaking, http11, version: _, former: _ } = wanted;
    admin::Registration {
        uri: uri.clone(),
        force: force.is_some(),
        breaking: *breaking,
        use_http_11: *http11,
    }
}

/// A log, with the replication of what is written to it now.
fn newest(log: &node::LogChain) -> (u32, Option<String>) {
    (log.id, log.segments.last().and_then(|segment| segment.replication.clone()))
}

fn member(member: node::Listed) -> cluster::Member {
    cluster::Member {
        id: member.id,
        name: member.name,
        lost: member.storage == node::StorageState::DataLoss,
        location: member.location,
    }
}

async fn identity(address: &str) -> cluster::Node {
    let identity = match ask(address).await {
        Ok(Membership::Member) => NodeIdentity::Member,
        Ok(Membership::None) => NodeIdentity::Blank,
        Ok(Membership::Unclear) => NodeIdentity::Silent { why: "it is still starting".to_owned() },
        Err(error) => NodeIdentity::Silent { why: error.to_string() },
    };
    cluster::Node { address: address.to_owned(), identity }
}

async fn ask(address: &str) -> Result<Membership, node::Error> {
    Ok(Node::new(address)?.ident().await?.membership())
}
