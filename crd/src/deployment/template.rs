//! The pod template as it was stored.
//!
//! Stage in the flow: what is stored. Invariant: [`PodTemplate::text`] is the identity of a version and is
//! the same for ever: metadata before spec, annotations before labels, the keys of every other object in byte
//! order, no white space. (`serde_json` must keep its default, sorted maps: the feature `preserve_order`
//! stays off.) Not for changing a template: what is added to it for Kubernetes is the plan's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema;

/// A pod template, passed on to Kubernetes as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodTemplate {
    /// Labels and annotations of the pods.
    // Written as null where it is absent: that is part of the text by which versions are recognised.
    pub metadata: Option<PodTemplateMetadata>,
    /// Spec of the pods, as in a Kubernetes Deployment. It is passed on to Kubernetes as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::anything")]
    pub spec: Option<Value>,
}

/// Labels and annotations of pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodTemplateMetadata {
    /// Annotations of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Labels of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

impl PodTemplate {
    /// The template as JSON text: a version's identity, byte for byte.
    ///
    /// # Errors
    /// None that a stored template could cause: its keys are strings.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The spec as Kubernetes understands it.
    ///
    /// # Errors
    /// The spec is missing, or is not one of pods.
    pub fn pod_spec(&self) -> Result<PodSpec, serde_json::Error> {
        PodSpec::deserialize(self.spec.as_ref().unwrap_or(&Value::Null))
    }

    /// Labels of the pods.
    #[must_use]
    pub fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.metadata.as_ref()?.labels.as_ref()
    }

    /// Annotations of the pods.
    #[must_use]
    pub fn annotations(&self) -> Option<&BTreeMap<String, String>> {
        self.metadata.as_ref()?.annotations.as_ref()
    }
}
