//! `restateclusters/provision` and `restateclusterprovisions`: makes one cluster of the nodes, once.
//!
//! The rules are the plan's, the same as the controller's: every node must have answered and none may belong to a
//! cluster; then a claim by compare-and-swap on the stored object; then one call to node 0. Two callers at once:
//! one provisions, the other is told so.

use apiserver_machinery::resource::{Call, Creatable, CreatableSubresource};
use apiserver_machinery::status::{FieldError, Named, Status};
use apiserver_machinery::write::CreateOptions;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use restate_apiservice::{
    GROUP, RestateClusterProvision, RestateClusterProvisionSpec, RestateClusterProvisionStatus,
};
use restate_crd::RestateCluster;
use restate_plan::cluster::{self, CLAIM, Claimed, Numbers, Operator, Provisioning, Seen, Valid};
use restate_plan::{Claim, Provision};
use serde_json::json;

use crate::nodes::{Nodes, Provisioned};
use crate::world::World;

/// Log providers that a cluster can be provisioned with.
const LOG_PROVIDERS: [&str; 2] = ["local", "replicated"];

/// Who provisions on request.
#[derive(Clone)]
pub(crate) struct Provisioner {
    pub(crate) world: World,
    pub(crate) client: Client,
    pub(crate) nodes: Nodes,
    /// Who claims: this pod.
    pub(crate) identity: String,
}

/// `restateclusterprovisions`.
pub(crate) struct Provisions(pub(crate) Provisioner);

/// `restateclusters/provision`.
pub(crate) struct ProvisionOf(pub(crate) Provisioner);

impl Creatable for Provisions {
    type Object = RestateClusterProvision;

    async fn create(
        &self,
        call: &Call,
        object: Self::Object,
        options: &CreateOptions,
    ) -> Result<Self::Object, Status> {
        let name = object.metadata.name.clone().unwrap_or_default();
        self.0.provision(call, &name, object, options).await
    }
}

impl CreatableSubresource for ProvisionOf {
    type Object = RestateClusterProvision;

    async fn create(
        &self,
        call: &Call,
        object: Self::Object,
        options: &CreateOptions,
    ) -> Result<Self::Object, Status> {
        self.0.provision(call, call.name(), object, options).await
    }
}

impl Provisioner {
    async fn provision(
        &self,
        call: &Call,
        name: &str,
        object: RestateClusterProvision,
        options: &CreateOptions,
    ) -> Result<RestateClusterProvision, Status> {
        refuse_invalid(name, &object.spec)?;
        let named = Named { group: "restate.dev", resource: "restateclusters", name };
        let stored = self.world.cluster(name).ok_or_else(|| Status::not_found(named))?;
        let valid = cluster::validate(&stored).map_err(|error| Status::conflict(named, error))?;
        let seen = self.seen(&valid).await;
        Self::must_be_time(named, &valid, &seen)?;
        let numbers = numbers(&object.spec);
        let now = Timestamp::now();
        let (claim, provision) = cluster::claim_and_provision(&valid, &seen, numbers, now)
            .ok_or_else(|| Status::conflict(named, "spec.compute.replicas is 0: there is no node"))?;
        if !options.dry_run {
            self.claim(named, &claim).await?;
        }
        call_audit(call, &provision);
        let outcome = self.nodes.provision(&provision, options.dry_run).await?;
        Ok(RestateClusterProvision { status: Some(told(&provision, outcome, options.dry_run)), ..object })
    }

    async fn seen(&self, valid: &Valid) -> Seen {
        let addresses = cluster::node_addresses(&valid.name, valid.replicas, self.world.dns_suffix());
        let operator = Operator {
            dns_suffix: self.world.dns_suffix().to_owned(),
            identity: self.identity.clone(),
            ..Operator::default()
        };
        Seen { nodes: self.nodes.identities(addresses).await, operator, ..Seen::default() }
    }

    fn must_be_time(named: Named<'_>, valid: &Valid, seen: &Seen) -> Result<(), Status> {
        match cluster::on_request(valid, seen, Timestamp::now()) {
            Provisioning::Now => Ok(()),
            Provisioning::Done => Err(Status {
                message: format!("{} is provisioned already; provisioning never runs twice", named.name),
                ..Status::already_exists(named)
            }),
            Provisioning::Claimed { by, until } => {
                let why = format!(
                    "{by} claimed the provisioning; if that came to nothing, try again after {until:.0}"
                );
                Err(Status::conflict(named, why).retry_after(5))
            }
            Provisioning::NodesSilent { silent } => {
                let why =
                    format!("every node must answer before a cluster is provisioned; {}", silent.join("; "));
                Err(Status::conflict(named, why).retry_after(5))
            }
            Provisioning::ByHand | Provisioning::ByServer => {
                Err(Status::internal("a request is not a schedule"))
            }
        }
    }

    /// The compare-and-swap: whoever writes first may go on.
    async fn claim(&self, named: Named<'_>, claim: &Claim) -> Result<(), Status> {
        let text = Claimed::text(&claim.holder, claim.at);
        let patch = json!({"metadata": {
            "uid": claim.uid.0,
            "resourceVersion": claim.resource_version,
            "annotations": {CLAIM: text},
        }});
        let api: Api<RestateCluster> = Api::all(self.client.clone());
        match api.patch_metadata(&claim.cluster, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                Err(Status::conflict(named, "the RestateCluster changed at this moment; ask again")
                    .retry_after(1))
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a provisioning could not be claimed"
                );
                Err(Status::internal("the provisioning could not be claimed on the RestateCluster"))
            }
        }
    }
}

fn call_audit(call: &Call, provision: &Provision) {
    tracing::info!(
        user = call.user.name,
        cluster = provision.cluster,
        node = provision.node,
        "provisioning on request"
    );
}

fn numbers(spec: &RestateClusterProvisionSpec) -> Numbers {
    let RestateClusterProvisionSpec { partitions, replication, log_provider } = spec.clone();
    Numbers { partitions, replication, log_provider }
}

fn refuse_invalid(name: &str, spec: &RestateClusterProvisionSpec) -> Result<(), Status> {
    let partitions = (spec.partitions == Some(0))
        .then(|| FieldError::invalid("spec.partitions", 0, "must be between 1 and 65535"));
    let provider = spec.log_provider.as_deref().filter(|provider| !LOG_PROVIDERS.contains(provider));
    let provider = provider.map(|found| FieldError::not_supported("spec.logProvider", found, &LOG_PROVIDERS));
    let empty = spec.replication.as_deref().is_some_and(|text| text.trim().is_empty());
    let replication = empty
        .then(|| FieldError::invalid("spec.replication", "", "must be a number or, say, {zone: 2, node: 3}"));
    let errors: Vec<_> = [partitions, provider, replication].into_iter().flatten().collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(GROUP, "RestateClusterProvision", name, &errors))
}

fn told(provision: &Provision, outcome: Provisioned, dry_run: bool) -> RestateClusterProvisionStatus {
    let message = if dry_run {
        format!("would be provisioned by {}; nothing was done", provision.node)
    } else {
        format!("provisioned by {}", provision.node)
    };
    RestateClusterProvisionStatus {
        provisioned: !dry_run,
        node: provision.node.clone(),
        nodes: provision.expected.clone(),
        configuration: outcome.configuration,
        message,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn spec(
        partitions: Option<u16>,
        provider: Option<&str>,
        replication: Option<&str>,
    ) -> RestateClusterProvisionSpec {
        RestateClusterProvisionSpec {
            partitions,
            log_provider: provider.map(str::to_owned),
            replication: replication.map(str::to_owned),
        }
    }

    #[rstest]
    #[case::nothing(spec(None, None, None), &[])]
    #[case::all(spec(Some(24), Some("replicated"), Some("2")), &[])]
    #[case::no_partitions(spec(Some(0), None, None), &["spec.partitions"])]
    #[case::unknown_provider(spec(None, Some("s3"), None), &["spec.logProvider"])]
    #[case::three_at_once(spec(Some(0), Some("s3"), Some(" ")), &["spec.partitions", "spec.logProvider", "spec.replication"])]
    fn each_wrong_field_is_named(#[case] spec: RestateClusterProvisionSpec, #[case] fields: &[&str]) {
        let message = refuse_invalid("prod", &spec).err().map(|status| status.message).unwrap_or_default();
        assert!(fields.iter().all(|field| message.contains(field)), "{message}");
        assert_eq!(message.is_empty(), fields.is_empty());
    }
}
