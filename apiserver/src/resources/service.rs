//! The object of one service: what Restate says of it, and whose version new calls go to.

use apiserver_machinery::status::Status;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use restate_apiservice::{RestateService, RestateServiceStatus, ServiceType};
use restate_model::{Service, ServiceKind};
use restate_plan::applied::digest;
use uuid::Uuid;

use super::version::label_value;
use crate::atlas::{Owner, Territory};

/// The most characters of a service's own name that its object's name begins with.
const BEGINNING: usize = 180;
/// So many digits tell services apart whose names differ by case only.
const DIGITS: usize = 10;

/// The object of a service.
pub(crate) fn object(territory: &Territory, service: &Service, owner: &Owner) -> RestateService {
    let key = territory.admin.key.to_string();
    let place = if owner.cluster.is_empty() { &key } else { &owner.cluster };
    let status = RestateServiceStatus {
        service: service.name.to_string(),
        cluster: owner.cluster.clone(),
        endpoint_key: Some(key.clone()).filter(|_| owner.cluster.is_empty()),
        deployment: owner.deployment.clone(),
        version: owner.version.clone(),
        deployment_id: service.deployment.to_string(),
        revision: service.revision,
        service_type: service_type(service.kind),
        public: service.public,
        handlers: service.handlers.clone(),
        idempotency_retention: service.idempotency_retention.clone(),
        workflow_retention: service.workflow_retention.clone(),
        observed_at: territory.observed_at(),
    };
    RestateService { metadata: metadata(place, service, owner), status }
}

/// Restate's kinds in our words.
pub(crate) fn service_type(kind: ServiceKind) -> ServiceType {
    match kind {
        ServiceKind::Service => ServiceType::Service,
        ServiceKind::VirtualObject => ServiceType::VirtualObject,
        ServiceKind::Workflow => ServiceType::Workflow,
        ServiceKind::Other => ServiceType::Other,
    }
}

/// A version's RestateDeployment as the owner of what it serves.
pub(crate) fn owner_reference(owner: &Owner) -> OwnerReference {
    OwnerReference {
        api_version: "restate.dev/v1beta1".to_owned(),
        kind: "RestateDeployment".to_owned(),
        name: owner.deployment.clone(),
        uid: owner.deployment_uid.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// 503 where nobody of those that were asked has told anything yet.
pub(crate) fn nobody_told(silent: usize) -> Status {
    Status::unavailable(format!("none of {silent} Restates has told yet what is registered")).retry_after(2)
}

/// 503 where some may still have to tell what a list without them would show as gone.
pub(crate) fn not_all_told(silent: usize, all: usize) -> Status {
    let words = format!(
        "{silent} of {all} Restates have not told yet what is registered, and a list without it would lie"
    );
    Status::unavailable(words).retry_after(2)
}

fn metadata(place: &str, service: &Service, owner: &Owner) -> ObjectMeta {
    let name = service.name.to_string();
    let labels = [
        ("restate.dev/deployment", label_value(&owner.deployment)),
        ("restate.dev/cluster", label_value(&owner.cluster)),
        ("restate.dev/service", label_value(&name)),
    ];
    let identity = format!("{place} {} {name}", owner.namespace);
    ObjectMeta {
        name: Some(object_name(place, &name)),
        namespace: Some(owner.namespace.clone()),
        uid: Some(Uuid::new_v5(&Uuid::NAMESPACE_OID, identity.as_bytes()).to_string()),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
        owner_references: Some(vec![owner_reference(owner)]),
        ..ObjectMeta::default()
    }
}

/// `<lower case>-<digest of Restate and service>`: Kubernetes' names have no upper case.
fn object_name(place: &str, service: &str) -> String {
    let plain = |letter: char| {
        let letter = letter.to_ascii_lowercase();
        if letter.is_ascii_lowercase() || letter.is_ascii_digit() { letter } else { '-' }
    };
    let beginning: String = service.chars().take(BEGINNING).map(plain).collect();
    let beginning = beginning.trim_matches('-');
    let digest = digest(&(place, service));
    let digest = &digest[..DIGITS];
    if beginning.is_empty() { format!("service-{digest}") } else { format!("{beginning}-{digest}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::atlas::tests::territory;

    proptest! {
        #[test]
        fn a_name_is_kubernetes_and_tells_services_apart(one in "\\PC{1,300}", other in "[A-Za-z._]{1,20}") {
            let name = object_name("prod", &one);
            prop_assert!(name.len() <= 253);
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{}", name);
            prop_assert!(!name.starts_with('-') && !name.ends_with('-'));
            prop_assert_eq!(one == other, name == object_name("prod", &other));
            prop_assert_ne!(name, object_name("other", &one));
        }
    }

    #[test]
    fn a_service_names_the_version_that_new_calls_go_to() {
        let territory = territory();
        let (service, owner) =
            territory.services().find(|(service, _)| service.name.as_str() == "Old").unwrap();
        let object = object(&territory, service, owner);
        let status = &object.status;
        assert_eq!((status.deployment.as_str(), status.version.as_str()), ("greeter", "greeter-1"));
        assert_eq!(
            (status.deployment_id.as_str(), status.service_type),
            ("dp_old", ServiceType::VirtualObject)
        );
        assert!(object.metadata.name.as_deref().unwrap_or_default().starts_with("old-"));
        assert_eq!(object.metadata.namespace.as_deref(), Some("shop"));
        let again = super::object(&territory, service, owner);
        assert_eq!(object.metadata.uid, again.metadata.uid, "R8: stable");
    }
}
