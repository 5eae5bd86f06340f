//! What works and may not be what somebody wants: a condition each while it holds, none otherwise.

use restate_crd::condition::{ConditionType, Reason};

use super::{Seen, Valid, memory, settings, signing, upgrade};

/// Every warning that there is, with why it holds where it does.
pub(super) fn warnings(valid: &Valid, seen: &Seen) -> [(ConditionType, Option<(Reason, String)>); 6] {
    let held = upgrade::held(valid, &seen.children).map(|held| (held.reason, held.message));
    [
        (ConditionType::UpgradeHeld, held),
        (ConditionType::SnapshotsNotConfigured, snapshots(valid)),
        (
            ConditionType::MemoryOvercommitted,
            memory::excess(valid).map(|why| (Reason::MemoryExceedsLimit, why)),
        ),
        (ConditionType::AdminAccessClosed, admin_access(valid, seen)),
        (ConditionType::SharesOperatorNamespace, namespace(valid, seen)),
        (ConditionType::NotManaged, not_managed(valid, seen)),
    ]
}

/// Without snapshots logs cannot be trimmed for nodes that come later, and those cannot catch up.
fn snapshots(valid: &Valid) -> Option<(Reason, String)> {
    (valid.replicas > 1 && lacks_snapshot_store(valid)).then(|| {
        let message = format!(
            "{} nodes and no worker.snapshots.destination in spec.config: a node that was away for long cannot catch up",
            valid.replicas
        );
        (Reason::NoSnapshotDestination, message)
    })
}

/// Whether neither configuration nor environment say where snapshots go.
pub fn lacks_snapshot_store(valid: &Valid) -> bool {
    let env = valid.compute.env.as_deref().unwrap_or_default();
    let path = ["worker", "snapshots", "destination"];
    let said = settings::text(&valid.settings, env, &path, "RESTATE_WORKER__SNAPSHOTS__DESTINATION");
    said == settings::Setting::Unset
}

fn admin_access(valid: &Valid, seen: &Seen) -> Option<(Reason, String)> {
    let policies = seen.operator.manages_policies && valid.security.disable_network_policies != Some(true);
    let closed = valid.security.allow_operator_access_to_admin == Some(false);
    (policies && closed).then(|| {
        let message = "spec.security.allowOperatorAccessToAdmin is false: RestateDeployments cannot register with this \
                       cluster, and nothing is shown of it";
        (Reason::AccessClosed, message.to_owned())
    })
}

/// What the spec asks for and the operator was told to keep its hands off.
fn not_managed(valid: &Valid, seen: &Seen) -> Option<(Reason, String)> {
    let operator = &seen.operator;
    let policies = !operator.manages_policies && valid.security.disable_network_policies != Some(true);
    let policies = policies.then(|| {
        "network policies are not made or removed here (manage.networkPolicies of the chart is false): the nodes are open \
         to whoever reaches them, unless somebody else closes them"
            .to_owned()
    });
    let class = !operator.manages_provider_classes && signing::provider_class(valid).is_some();
    let class = class.then(|| {
        format!(
            "SecretProviderClass {}/{} is not made here (manage.secretProviderClasses of the chart is false): pods wait for \
             it",
            valid.name,
            signing::PROVIDER_CLASS
        )
    });
    let all: Vec<_> = policies.into_iter().chain(class).collect();
    (!all.is_empty()).then(|| (Reason::SwitchedOff, all.join("; ")))
}

fn namespace(valid: &Valid, seen: &Seen) -> Option<(Reason, String)> {
    (valid.name == seen.operator.namespace).then(|| {
        let message = "the cluster lives in the operator's own namespace: deleting the one would take the other along, \
                       and its pods are not kept apart";
        (Reason::OperatorNamespace, message.to_owned())
    })
}
