//! Fields that are accepted and not acted on yet: said in a condition, never silently ignored.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube_quantity::ParsedQuantity;

use super::{Valid, stateful_set};

/// One sentence per field that is not acted on yet.
pub(super) fn fields(valid: &Valid, found: Option<&StatefulSet>) -> Vec<String> {
    let mut fields = Vec::new();
    if valid.security.aws_pod_identity_association_role_arn.is_some() {
        fields.push("spec.security.awsPodIdentityAssociationRoleArn: no association is made yet".to_owned());
    }
    if valid.security.aws_pod_security_groups.as_ref().is_some_and(|groups| !groups.is_empty()) {
        fields.push("spec.security.awsPodSecurityGroups: no policy is made yet".to_owned());
    }
    if let Some(found) = found {
        fields.extend(shrinking(valid, found));
        fields.extend(storage(valid, found));
    }
    fields
}

fn shrinking(valid: &Valid, found: &StatefulSet) -> Option<String> {
    let running = stateful_set::observed_replicas(found);
    let wanted = valid.replicas;
    (wanted < running).then(|| {
        format!("spec.compute.replicas: {wanted} is fewer than the {running} nodes that run; nodes are not removed")
    })
}

fn storage(valid: &Valid, found: &StatefulSet) -> Vec<String> {
    let Some(claim) = stateful_set::found_storage(found) else { return Vec::new() };
    let mut fields = Vec::new();
    let size = claim.resources.as_ref().and_then(|resources| resources.requests.as_ref()?.get("storage"));
    let bytes = size.and_then(|size| ParsedQuantity::try_from(size).ok()?.to_bytes_i64());
    let wanted = valid.storage.storage_request_bytes;
    match bytes {
        Some(bytes) if wanted > bytes => fields.push(format!(
            "spec.storage.storageRequestBytes: volumes stay at {bytes}; growing them to {wanted} is not done yet"
        )),
        Some(bytes) if wanted < bytes => fields.push(format!(
            "spec.storage.storageRequestBytes: {wanted} is less than the {bytes} that the volumes have; they never shrink"
        )),
        Some(_) | None => {}
    }
    let class = valid.storage.storage_class_name.as_ref();
    if class.is_some() && class != claim.storage_class_name.as_ref() {
        fields.push(
            "spec.storage.storageClassName: volumes keep the class that they were made with".to_owned(),
        );
    }
    if valid.storage.volume_attributes_class_name != claim.volume_attributes_class_name {
        fields.push("spec.storage.volumeAttributesClassName: a change of it is not acted on yet".to_owned());
    }
    fields
}
