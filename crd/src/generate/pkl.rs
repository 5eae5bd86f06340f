//! Placeholder.
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
pub(super) fn module(_: &CustomResourceDefinition) -> String {
    String::new()
}
