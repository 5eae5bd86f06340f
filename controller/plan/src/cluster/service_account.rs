//! The service account of a cluster's pods: an identity for clouds; its token is never mounted.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::{NAME, Valid, metadata};

pub(super) fn service_account(valid: &Valid) -> ServiceAccount {
    let mut metadata = metadata::child(valid, NAME);
    let own = valid.security.service_account_annotations.clone().unwrap_or_default();
    metadata.annotations.get_or_insert_default().extend(own);
    ServiceAccount { metadata, ..ServiceAccount::default() }
}
