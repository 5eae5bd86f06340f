//! `restateclusters/recover` and `restateclusterrecoveries`: lets a node that lost its disk begin anew.
//!
//! Invariants: every guard rests on answers to this very request, begun after the nodes' configuration was read; the
//! one write is a compare-and-swap on that configuration, sent once; silence never permits it. A dry run is the same
//! without the write. Nothing calls this by itself: the copy that was lost may have been the last.

mod judge;
mod seen;

use apiserver_machinery::resource::{Call, Creatable, CreatableSubresource};
use apiserver_machinery::status::{FieldError, Named, Status};
use apiserver_machinery::write::CreateOptions;
use jiff::Timestamp;
use restate_apiservice::{
    GROUP, RecoveryOutcome, RestateClusterRecovery, RestateClusterRecoverySpec, RestateClusterRecoveryStatus,
};
use restate_client::Node;
use restate_client::node::{Become, Change, Error, Listed, StorageState};
use restate_plan::cluster;

use crate::world::World;
use judge::{Target, Verdict};
use seen::{Reach, Seen};

/// Who lets nodes begin anew.
#[derive(Clone)]
pub(crate) struct Recoverer {
    pub(crate) world: World,
}

/// `restateclusterrecoveries`.
pub(crate) struct Recoveries(pub(crate) Recoverer);

/// `restateclusters/recover`.
pub(crate) struct RecoveryOf(pub(crate) Recoverer);

impl Creatable for Recoveries {
    type Object = RestateClusterRecovery;

    async fn create(
        &self,
        call: &Call,
        object: Self::Object,
        options: &CreateOptions,
    ) -> Result<Self::Object, Status> {
        let name = object.metadata.name.clone().unwrap_or_default();
        self.0.create(call, &name, object, options).await
    }
}

impl CreatableSubresource for RecoveryOf {
    type Object = RestateClusterRecovery;

    async fn create(
        &self,
        call: &Call,
        object: Self::Object,
        options: &CreateOptions,
    ) -> Result<Self::Object, Status> {
        self.0.create(call, call.name(), object, options).await
    }
}

impl Recoverer {
    async fn create(
        &self,
        call: &Call,
        name: &str,
        object: RestateClusterRecovery,
        options: &CreateOptions,
    ) -> Result<RestateClusterRecovery, Status> {
        let target = target(name, &object.spec)?;
        let named = Named { group: "restate.dev", resource: "restateclusters", name };
        let stored = self.world.cluster(name).ok_or_else(|| Status::not_found(named))?;
        let valid = cluster::validate(&stored).map_err(|error| Status::conflict(named, error))?;
        call.annotate("control.restate.dev/cluster", name);
        let address = |ordinal: u32| self.address(&valid.name, ordinal);
        let reach = Reach { replicas: u32::try_from(valid.replicas).unwrap_or_default(), address: &address };
        let done = recover(named, &reach, &target, options.dry_run).await?;
        tracing::info!(
            user = call.user.name,
            cluster = name,
            node = done.node,
            outcome = %done.outcome,
            "recovery on request"
        );
        Ok(RestateClusterRecovery { status: Some(done), ..object })
    }

    fn address(&self, cluster: &str, ordinal: u32) -> String {
        let count = i32::try_from(ordinal).unwrap_or_default() + 1;
        cluster::node_addresses(cluster, count, self.world.dns_suffix()).pop().unwrap_or_default()
    }
}

/// The node that is meant, or every field that is wrong (E8).
fn target(name: &str, spec: &RestateClusterRecoverySpec) -> Result<Target, Status> {
    let RestateClusterRecoverySpec { node, node_id } = spec;
    let id = node_id.as_deref().map(|text| (text, id(text)));
    let error = match (node.as_deref(), id) {
        (None, None) => FieldError::required("spec.node", "the node's name, as restate-2, or spec.nodeId"),
        (Some(""), _) => FieldError::invalid("spec.node", "", "must be the node's name, as restate-2"),
        (_, Some((text, None))) => {
            FieldError::invalid("spec.nodeId", text, "must be the node's id as Restate writes it: N3")
        }
        (name, Some((_, id @ Some(_)))) => return Ok(Target { name: name.map(str::to_owned), id }),
        (Some(name), None) => return Ok(Target { name: Some(name.to_owned()), id: None }),
    };
    Err(Status::invalid(GROUP, "RestateClusterRecovery", name, &[error]))
}

fn id(text: &str) -> Option<u32> {
    text.strip_prefix('N').and_then(|digits| digits.parse().ok()).filter(|id| *id > 0)
}

/// Gathers, judges, writes once, and looks at what came of it.
async fn recover(
    named: Named<'_>,
    reach: &Reach<'_>,
    target: &Target,
    dry_run: bool,
) -> Result<RestateClusterRecoveryStatus, Status> {
    let observed_at = Some(Timestamp::now());
    let (teller, seen) = Seen::gather(reach).await.map_err(|why| {
        Status::unavailable(format!("no node of {} tells the nodes of its cluster: {why}", named.name))
    })?;
    let node = judge::find(target, &seen.nodes.nodes).map_err(|why| Status::conflict(named, why))?;
    let (outcome, state, guards) = match judge::verdict(node, &seen) {
        Verdict::Refused(why) => return Err(Status::conflict(named, why)),
        Verdict::Begun => (RecoveryOutcome::AlreadyDone, node.storage.clone(), Vec::new()),
        Verdict::May(guards) if dry_run => (RecoveryOutcome::DryRun, node.storage.clone(), guards),
        Verdict::May(guards) => (RecoveryOutcome::Done, write(named, &teller, (&seen, node)).await?, guards),
    };
    Ok(RestateClusterRecoveryStatus {
        outcome,
        node: node.name.clone(),
        node_id: format!("N{}", node.id),
        storage_state: state.to_string(),
        guards,
        message: message(outcome, node),
        observed_at,
    })
}

/// The compare-and-swap, and the state that the node has after it.
async fn write(
    named: Named<'_>,
    teller: &Node,
    (seen, node): (&Seen, &Listed),
) -> Result<StorageState, Status> {
    let to = Become::Storage(StorageState::Provisioning);
    let change = Change { node: node.id, name: node.name.clone(), to };
    let written = teller.change_nodes(seen.nodes.version, &[change]).await;
    written.map_err(|error| refused(named, &error))?;
    let unsure = |error: Error| {
        Status::timeout(format!("it was written, and then nobody told what became of it: {error}"), 0)
    };
    let after = teller.nodes().await.map_err(unsure)?;
    let found = after.nodes.into_iter().find(|found| found.id == node.id).map(|found| found.storage);
    match found {
        Some(state) if state != StorageState::DataLoss => Ok(state),
        Some(_) | None => {
            let why = format!("N{} is in data-loss again, or gone: somebody else changes the nodes", node.id);
            Err(Status::conflict(named, why))
        }
    }
}

fn message(outcome: RecoveryOutcome, node: &Listed) -> String {
    let Listed { id, name, storage, .. } = node;
    match outcome {
        RecoveryOutcome::DryRun => {
            format!("N{id} ({name}) would begin anew with its empty disk; nothing was done")
        }
        RecoveryOutcome::Done => {
            format!("N{id} ({name}) begins anew with its empty disk when its pod starts again")
        }
        RecoveryOutcome::AlreadyDone => {
            format!("N{id} ({name}) is in {storage} already: it begins when its pod starts; nothing was done")
        }
    }
}

fn refused(named: Named<'_>, error: &Error) -> Status {
    tracing::warn!(error = error as &dyn std::error::Error, "a node could not be let begin anew");
    match error {
        Error::Changed { .. } => {
            let why = "the nodes' configuration changed at this moment; nothing was written, ask again";
            Status::conflict(named, why).retry_after(1)
        }
        Error::TimedOut { .. } => Status::timeout(
            "the metadata did not answer in time; it may be written: look with a dry run before you ask again",
            0,
        ),
        Error::Address { .. }
        | Error::Unreachable { .. }
        | Error::AlreadyProvisioned { .. }
        | Error::Refused { .. }
        | Error::Unreadable { .. }
        | Error::Lacks { .. } => Status::unavailable(format!("nothing is known to be written: {error}")),
    }
}

#[cfg(test)]
mod tests;
