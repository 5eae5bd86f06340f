//! Identities that clouds give to a cluster's pods: objects of other projects' kinds, made where the spec asks for
//! one. A kind that is not installed is said in a condition and never called.
//!
//! A pod that starts before its identity exists never gets it, so a *new* stateful set waits for identities; one that
//! exists is never held up by them.

use kube_core::{DynamicObject, Resource};
use restate_crd::condition::{ConditionStatus, Reason, Verdict};
use serde_json::{Value, json};

use super::{NAME, Operator, Seen, Valid, metadata};
use crate::{Manager, Object, ObjectRef, Propagation, Step, Uid, applied};

/// Annotation of the service account with the GCP service account that its pods act as.
const GCP_ACCOUNT: &str = "iam.gke.io/gcp-service-account";

/// An object of another project, as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreign {
    /// Which object.
    pub reference: ObjectRef,
    /// What was seen.
    pub found: Found,
}

/// What was seen of an object of another project.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Its kind is not installed.
    NotInstalled,
    /// It does not exist.
    Absent,
    /// It exists.
    Present(Box<DynamicObject>),
    /// Nobody could tell.
    Unknown {
        /// Why, for people.
        why: String,
    },
}

/// An object that is wanted, or why it cannot be made.
struct Wanted {
    reference: ObjectRef,
    spec: Result<Value, String>,
    /// The condition by which its own controller says that it is done; none: it is as soon as it exists.
    done: Option<&'static str>,
    /// Whether its own controller refuses any change of its spec: then it is made anew.
    is_immutable: bool,
}

/// The objects that a pass must look at: those that are wanted, and, where there were any before, the others. None
/// where the spec never asked for one.
pub fn identities_to_ask(valid: &Valid, operator: &Operator) -> Vec<ObjectRef> {
    let wanted = wanted(valid, operator);
    if wanted.is_empty() && !valid.said.had_identities {
        return Vec::new();
    }
    let possible = wanted.iter().filter(|wanted| wanted.spec.is_ok()).map(|wanted| wanted.reference.clone());
    let mut asked: Vec<_> = possible.collect();
    if valid.said.had_identities {
        let enabled = [
            operator.aws_cluster.is_some().then(|| pod_identity_ref(valid)),
            Some(security_groups_ref(valid)),
            operator.has_gcp_identities.then(|| workload_identity_ref(valid)),
        ];
        asked.extend(enabled.into_iter().flatten());
    }
    asked.sort();
    asked.dedup();
    asked
}

/// The objects as wanted; those of ours that are wanted no more go. Each beside the main path.
pub(super) fn steps(valid: &Valid, seen: &Seen) -> Vec<Step> {
    let wanted = wanted(valid, &seen.operator);
    let applied = wanted.iter().filter_map(|wanted| apply(valid, seen, wanted));
    let stale = seen
        .identities
        .iter()
        .filter(|foreign| !wanted.iter().any(|wanted| wanted.reference == foreign.reference));
    let removed: Vec<_> = stale.filter_map(|foreign| remove(valid, foreign)).collect();
    applied.chain(removed).map(|step| Step::Aside(Box::new(step))).collect()
}

/// Whether a new stateful set has to wait.
pub(super) fn is_awaited(valid: &Valid, seen: &Seen) -> bool {
    verdict(valid, seen).is_some_and(|verdict| verdict.status != ConditionStatus::True)
}

/// Where the identities stand; none where the spec asks for none and nothing is left of any.
pub(super) fn verdict(valid: &Valid, seen: &Seen) -> Option<Verdict> {
    let wanted = wanted(valid, &seen.operator);
    let left = seen.identities.iter().any(|foreign| remove(valid, foreign).is_some());
    if wanted.is_empty() {
        let message = "identities that are wanted no more are removed";
        return left.then(|| Verdict::new(ConditionStatus::True, Reason::IdentityGiven, message));
    }
    let problems: Vec<_> = wanted.iter().filter_map(|wanted| problem(seen, wanted)).collect();
    let Some((reason, _)) = problems.first() else {
        let names: Vec<_> = wanted.iter().map(|wanted| wanted.reference.to_string()).collect();
        return Some(Verdict::new(ConditionStatus::True, Reason::IdentityGiven, names.join(", ")));
    };
    let message = problems.iter().map(|(_, message)| message.as_str()).collect::<Vec<_>>().join("; ");
    Some(Verdict::new(ConditionStatus::False, *reason, message))
}

fn wanted(valid: &Valid, operator: &Operator) -> Vec<Wanted> {
    let all = [pod_identity(valid, operator), security_groups(valid), workload_identity(valid, operator)];
    all.into_iter().flatten().collect()
}

fn found<'a>(seen: &'a Seen, wanted: &Wanted) -> Option<&'a Found> {
    let foreign = seen.identities.iter().find(|foreign| foreign.reference == wanted.reference)?;
    Some(&foreign.found)
}

fn apply(valid: &Valid, seen: &Seen, wanted: &Wanted) -> Option<Step> {
    let object = object(valid, wanted)?;
    let same = match found(seen, wanted)? {
        Found::NotInstalled | Found::Unknown { .. } => return None,
        Found::Absent => false,
        Found::Present(found) if !metadata::is_ours(valid, found.meta()) => return None,
        Found::Present(found) if wanted.is_immutable => return renew(valid, wanted, found),
        Found::Present(found) => applied::is_applied(&object, found),
    };
    let object = Object::Foreign(wanted.reference.clone(), object);
    (!same).then(|| Step::Apply(Manager::Operator, Box::new(object)))
}

/// An object that cannot be changed goes where it says something else; the next pass makes it. What it does not say
/// (an earlier controller left the resource's version to a default) is no difference.
fn renew(valid: &Valid, wanted: &Wanted, found: &DynamicObject) -> Option<Step> {
    let spec = wanted.spec.as_ref().ok()?;
    let found_spec = found.data.get("spec")?;
    let foreign =
        Foreign { reference: wanted.reference.clone(), found: Found::Present(Box::new(found.clone())) };
    if agrees(found_spec, spec) { None } else { remove(valid, &foreign) }
}

/// Whether `found` says nothing else than `wanted` where it says anything.
fn agrees(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| found.get(key).is_none_or(|found| agrees(found, wanted)))
        }
        (found, wanted) => found == wanted,
    }
}

fn object(valid: &Valid, wanted: &Wanted) -> Option<DynamicObject> {
    let object = json!({
        "apiVersion": wanted.reference.api_version,
        "kind": wanted.reference.kind,
        "metadata": metadata::child(valid, &wanted.reference.name),
        "spec": wanted.spec.as_ref().ok()?,
    });
    serde_json::from_value(object).ok()
}

fn remove(valid: &Valid, foreign: &Foreign) -> Option<Step> {
    let Found::Present(found) = &foreign.found else { return None };
    let ours = metadata::is_ours(valid, found.meta()) && found.meta().deletion_timestamp.is_none();
    let uid = Uid(found.meta().uid.clone()?);
    ours.then(|| Step::Delete {
        object: foreign.reference.clone(),
        uid,
        propagation: Propagation::Background,
    })
}

fn problem(seen: &Seen, wanted: &Wanted) -> Option<(Reason, String)> {
    if let Err(why) = &wanted.spec {
        return Some((Reason::IdentityNotConfigured, why.clone()));
    }
    let reference = &wanted.reference;
    match found(seen, wanted) {
        Some(Found::NotInstalled) => {
            let message =
                format!("{} is needed, and its kind ({}) is not installed", reference, reference.api_version);
            Some((Reason::IdentityNotInstalled, message))
        }
        Some(Found::Unknown { why }) => Some((Reason::IdentityPending, format!("{reference}: {why}"))),
        None | Some(Found::Absent) => Some((Reason::IdentityPending, format!("{reference} is being made"))),
        Some(Found::Present(found)) => {
            let done = wanted.done?;
            let word = condition(found, done);
            let said = word.as_ref().and_then(|word| word["message"].as_str()).unwrap_or("no word yet");
            let pending = || (Reason::IdentityPending, format!("{reference} is not {done}: {said}"));
            (word.as_ref().is_none_or(|word| word["status"] != "True")).then(pending)
        }
    }
}

fn condition(found: &DynamicObject, kind: &str) -> Option<Value> {
    let conditions = found.data.get("status")?.get("conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind).cloned()
}

fn reference(valid: &Valid, api_version: &str, kind: &str, plural: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        namespace: Some(valid.name.clone()),
        name: name.to_owned(),
    }
}

fn pod_identity_ref(valid: &Valid) -> ObjectRef {
    reference(
        valid,
        "eks.services.k8s.aws/v1alpha1",
        "PodIdentityAssociation",
        "podidentityassociations",
        NAME,
    )
}

fn security_groups_ref(valid: &Valid) -> ObjectRef {
    reference(valid, "vpcresources.k8s.aws/v1beta1", "SecurityGroupPolicy", "securitygrouppolicies", NAME)
}

fn workload_identity_ref(valid: &Valid) -> ObjectRef {
    let name = "restate-workload-identity";
    reference(valid, "iam.cnrm.cloud.google.com/v1beta1", "IAMPolicyMember", "iampolicymembers", name)
}

/// EKS Pod Identity, by the ACK controller.
fn pod_identity(valid: &Valid, operator: &Operator) -> Option<Wanted> {
    let role = valid.security.aws_pod_identity_association_role_arn.as_ref()?;
    let spec = operator.aws_cluster.as_ref().map(|cluster| {
        json!({"clusterName": cluster, "namespace": valid.name, "roleARN": role, "serviceAccount": NAME})
    });
    let spec = spec.ok_or_else(|| {
        "spec.security.awsPodIdentityAssociationRoleArn needs the name of the EKS cluster \
         (awsPodIdentityAssociationCluster of the chart)"
            .to_owned()
    });
    Some(Wanted {
        reference: pod_identity_ref(valid),
        spec,
        done: Some("ACK.ResourceSynced"),
        is_immutable: false,
    })
}

/// EKS security groups for pods.
fn security_groups(valid: &Valid) -> Option<Wanted> {
    let groups = valid.security.aws_pod_security_groups.as_ref().filter(|groups| !groups.is_empty())?;
    let spec = json!({
        "podSelector": metadata::selector(&valid.name),
        "securityGroups": {"groupIds": groups},
    });
    Some(Wanted { reference: security_groups_ref(valid), spec: Ok(spec), done: None, is_immutable: false })
}

/// GCP workload identity, by the Config Connector, where the operator is told that there is one.
fn workload_identity(valid: &Valid, operator: &Operator) -> Option<Wanted> {
    let account = valid.security.service_account_annotations.as_ref()?.get(GCP_ACCOUNT)?;
    if !operator.has_gcp_identities {
        return None;
    }
    let spec = project(account).map(|project| {
        json!({
            "member": format!("serviceAccount:{project}.svc.id.goog[{}/{NAME}]", valid.name),
            "role": "roles/iam.workloadIdentityUser",
            // With its version: a default that we did not send would be taken away by the next apply.
            "resourceRef": {
                "apiVersion": "iam.cnrm.cloud.google.com/v1beta1",
                "kind": "IAMServiceAccount",
                "external": format!("projects/{project}/serviceAccounts/{account}"),
            },
        })
    });
    let spec = spec.ok_or_else(|| {
        format!(
            "spec.security.serviceAccountAnnotations[{GCP_ACCOUNT}]: {account:?} is no service account; expected is \
             name@project.iam.gserviceaccount.com"
        )
    });
    Some(Wanted { reference: workload_identity_ref(valid), spec, done: Some("Ready"), is_immutable: true })
}

fn project(account: &str) -> Option<&str> {
    let (name, host) = account.split_once('@')?;
    let project = host.strip_suffix(".iam.gserviceaccount.com")?;
    (!name.is_empty() && !project.is_empty() && !project.contains('.')).then_some(project)
}
