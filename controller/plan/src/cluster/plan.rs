//! The plan of a cluster: what differs from the wish is made so; then, once every node has spoken, it is
//! provisioned.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube_core::{Resource, ResourceExt};
use restate_crd::RestateCluster;

use super::{
    Children, Provisioning, Seen, Valid, config_map, data_loss, disruption_budget, identity, location,
    metadata, namespace, policies, progress, provisioning, replication, rollout, service_account, services,
    shrink, signing, stateful_set, status, storage, validate,
};
use crate::{EventKind, LookAgain, Note, ObjectRef, Outcome, Plan, Propagation, Step, Uid, applied};

/// How soon silent nodes are asked again: they come up within seconds.
const ASK_NODES_AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// How soon nodes are asked again whether somebody provisioned them by hand.
const ASK_IF_PROVISIONED: SignedDuration = SignedDuration::from_secs(10);

/// How soon others are asked again, whose objects are not watched: they take their time.
const ASK_OTHERS_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// How soon pods are looked at again that do not know yet where they are: they start as soon as they do.
const ASK_PODS_AGAIN: SignedDuration = SignedDuration::from_secs(3);

/// How soon the cluster is asked again which of its nodes lost a disk.
const ASK_MEMBERS_AGAIN: SignedDuration = SignedDuration::from_secs(20);

/// How soon a cluster is asked again that becomes smaller: partitions and logs move within seconds.
const ASK_SURVEY_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How soon pods and nodes are looked at again while a new template is on its way.
const LOOK_AT_PODS_AGAIN: SignedDuration = SignedDuration::from_secs(3);

/// What to do about a cluster that is wanted.
pub fn plan(valid: &Valid, seen: &Seen, now: Timestamp) -> Plan {
    let children = &seen.children;
    if namespace::is_terminating(children.namespace.as_ref()) {
        let outcome = Outcome::Waiting { on: "NamespaceTerminating", look_again: LookAgain::OnChange };
        return Plan { steps: Vec::new(), parts: Vec::new(), outcome };
    }
    if status::foreign_stateful_set(valid, children) {
        let outcome = Outcome::Waiting { on: "NameTaken", look_again: LookAgain::OnChange };
        return Plan { steps: Vec::new(), parts: Vec::new(), outcome };
    }
    let decision = provisioning::decide(valid, seen, now);
    let mut steps = object_steps(valid, seen, now);
    if decision == Provisioning::Now {
        steps.extend(provisioning::steps(valid, seen, now));
        steps.push(provisioned_note());
    }
    steps.extend(replication::step(valid, seen));
    steps.extend(shrink::decide(valid, seen).into_iter().flat_map(|shrinking| shrinking.steps));
    Plan { steps, parts: Vec::new(), outcome: outcome(valid, seen, &decision) }
}

fn provisioned_note() -> Step {
    Step::Note(Note {
        kind: EventKind::Normal,
        reason: "Provisioned",
        action: "Provision",
        message: "Every node answered and none belonged to a cluster: the cluster was provisioned".to_owned(),
    })
}

/// The main path in order, then what stands beside it.
fn object_steps(valid: &Valid, seen: &Seen, now: Timestamp) -> Vec<Step> {
    let children = &seen.children;
    let mut steps: Vec<Step> = namespace::steps(valid, children.namespace.as_ref()).into_iter().collect();
    let account = service_account::service_account(valid);
    steps.extend(applied::apply_unless_same(account, children.service_account.as_ref()));
    steps.extend(policy_steps(valid, seen).into_iter().map(|step| Step::Aside(Box::new(step))));
    if let Some(wanted) = config_map::config_map(valid) {
        steps.extend(apply_named(wanted, &children.config_maps));
    }
    for service in [services::client_service(valid), services::peer_service(valid)] {
        steps.extend(apply_named::<Service>(service, &children.services));
    }
    steps.extend(provider_class_step(valid, seen));
    steps.extend(identity::steps(valid, seen));
    steps.extend(storage::steps(valid, children));
    steps.extend(location::steps(valid, seen));
    let set = stateful_set::steps(valid, seen);
    // One thing at a time: a set that is about to change is not replaced yet.
    let replacement = if set.is_empty() { storage::replacement(valid, children) } else { Vec::new() };
    let stands = set.is_empty() && replacement.is_empty();
    steps.extend(set.into_iter().chain(replacement));
    let budget = disruption_budget::disruption_budget(valid, children);
    let budget = applied::apply_unless_same(budget, children.disruption_budget.as_ref());
    steps.extend(budget.map(|step| Step::Aside(Box::new(step))));
    steps.extend(stale_config_maps(valid, children));
    if stands {
        steps.extend(rollout::steps(valid, seen, now));
    }
    steps
}

fn apply_named<T>(wanted: T, observed: &[T]) -> Option<Step>
where
    T: Resource + serde::Serialize + Into<crate::Object>,
{
    let found = observed.iter().find(|found| found.meta().name == wanted.meta().name);
    applied::apply_unless_same(wanted, found)
}

fn provider_class_step(valid: &Valid, seen: &Seen) -> Option<Step> {
    if !seen.operator.manages_provider_classes {
        return None;
    }
    let crate::Object::Foreign(reference, wanted) = signing::provider_class(valid)? else { return None };
    let same =
        seen.children.secret_provider_class.as_ref().is_some_and(|found| applied::is_applied(&wanted, found));
    let apply =
        || Step::Apply(crate::Manager::Operator, Box::new(crate::Object::Foreign(reference, wanted.clone())));
    (!same).then(|| Step::Aside(Box::new(apply())))
}

/// Policies as wanted; those of ours that are wanted no more go.
fn policy_steps(valid: &Valid, seen: &Seen) -> Vec<Step> {
    if !seen.operator.manages_policies {
        return Vec::new();
    }
    let observed = &seen.children.policies;
    let wanted = policies::policies(valid, &seen.operator);
    let stale = observed.iter().filter(|found| {
        let name = found.name_any();
        metadata::is_ours(valid, found.meta())
            && policies::NAMES.contains(&name.as_str())
            && !wanted.iter().any(|wanted| wanted.name_any() == name)
    });
    let removed: Vec<_> = stale.filter_map(delete::<NetworkPolicy>).collect();
    let applied = wanted.into_iter().filter_map(|wanted| apply_named(wanted, observed));
    applied.chain(removed).collect()
}

/// Config maps of former configurations, once no pod can still want one.
fn stale_config_maps(valid: &Valid, children: &Children) -> Vec<Step> {
    if !status::is_rolled_out(valid, children) {
        return Vec::new();
    }
    let current = valid.config.as_deref().map(config_map::name);
    let mounted = children.stateful_set.as_ref().map(status::mounted_config_maps).unwrap_or_default();
    let stale = children.config_maps.iter().filter(|found| {
        let name = found.name_any();
        metadata::is_ours(valid, found.meta())
            && name.starts_with(config_map::PREFIX)
            && Some(&name) != current.as_ref()
            && !mounted.contains(&name)
    });
    stale.filter_map(delete::<ConfigMap>).collect()
}

fn delete<K: Resource<DynamicType = ()>>(found: &K) -> Option<Step> {
    let object = ObjectRef::of::<K>(found.meta().namespace.as_deref(), found.meta().name.as_deref()?);
    let uid = Uid(found.meta().uid.clone()?);
    Some(Step::Delete { object, uid, propagation: Propagation::Background })
}

fn outcome(valid: &Valid, seen: &Seen, decision: &Provisioning) -> Outcome {
    let children = &seen.children;
    let waiting = |on, look_again| Outcome::Waiting { on, look_again };
    if identity::is_awaited(valid, seen) {
        return waiting("IdentityPending", LookAgain::After(ASK_OTHERS_AGAIN));
    }
    if *decision != Provisioning::Now && location::is_awaited(valid, seen) {
        return waiting("AwaitingLocation", LookAgain::After(ASK_PODS_AGAIN));
    }
    match decision {
        Provisioning::Now => waiting("Provisioning", LookAgain::After(ASK_NODES_AGAIN)),
        Provisioning::NodesSilent { .. } => waiting("NodesSilent", LookAgain::After(ASK_NODES_AGAIN)),
        Provisioning::Claimed { until, .. } => waiting("ProvisioningClaimed", LookAgain::At(*until)),
        Provisioning::ByHand | Provisioning::ByServer => {
            waiting("AwaitingProvisioning", LookAgain::After(ASK_IF_PROVISIONED))
        }
        Provisioning::Done if shrink::asks_survey(valid, seen) => {
            waiting("ScalingDown", LookAgain::After(ASK_SURVEY_AGAIN))
        }
        Provisioning::Done if rollout::under_way(valid, children).is_some() => {
            waiting("RolloutUnfinished", LookAgain::After(LOOK_AT_PODS_AGAIN))
        }
        Provisioning::Done if replication::is_awaited(valid, seen) => {
            waiting("ClusterConfigDrift", LookAgain::After(ASK_OTHERS_AGAIN))
        }
        Provisioning::Done if progress::is_awaited(valid, seen) => {
            waiting("ReplicationFollowing", LookAgain::After(ASK_OTHERS_AGAIN))
        }
        Provisioning::Done if valid.said.has_data_loss => {
            waiting("NodeDataLoss", LookAgain::After(ASK_MEMBERS_AGAIN))
        }
        Provisioning::Done if status::is_rolled_out(valid, children) => Outcome::Settled,
        // A pod that crashes again and again changes nothing that is watched.
        Provisioning::Done if data_loss::asks_members(valid, seen) => {
            waiting("PodsNotReady", LookAgain::After(ASK_MEMBERS_AGAIN))
        }
        Provisioning::Done => waiting("PodsNotReady", LookAgain::OnChange),
    }
}

/// What to do about a cluster that is being deleted. [`Outcome::Settled`] lets it go, and with it the namespace and
/// its claims, unless they are to be retained.
pub fn deletion(object: &RestateCluster, seen: &Seen) -> Plan {
    if is_held(object, seen) {
        let outcome = Outcome::Waiting { on: "DeletionHeld", look_again: LookAgain::OnChange };
        return Plan { steps: Vec::new(), parts: Vec::new(), outcome };
    }
    let retained = seen.children.namespace.as_ref().filter(|_| validate::retains_volumes(object));
    let steps = retained.and_then(|namespace| disown(object, namespace)).into_iter().collect();
    Plan { steps, parts: Vec::new(), outcome: Outcome::Settled }
}

/// Whether a deletion waits for those who still register with the cluster.
pub(super) fn is_held(object: &RestateCluster, seen: &Seen) -> bool {
    object.spec.deletion_protection == Some(true) && !seen.users.is_empty()
}

/// Takes the cluster out of its namespace's owners, so that the namespace and its claims stay.
fn disown(object: &RestateCluster, namespace: &Namespace) -> Option<Step> {
    let owners = namespace.owner_references();
    let remaining: Vec<_> =
        owners.iter().filter(|owner| Some(&owner.uid) != object.metadata.uid.as_ref()).collect();
    let object = ObjectRef::of::<Namespace>(None, &namespace.name_any());
    let uid = Uid(namespace.uid()?);
    (remaining.len() < owners.len()).then(|| Step::Owners {
        object,
        uid,
        owners: remaining.into_iter().cloned().collect(),
    })
}
