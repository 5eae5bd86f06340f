//! `RestateDeployment` in our group: a thin mirror of the stored kind, parent of its subresources.

use apiserver_kind::{Answer, Cell, Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Subresource, Verb};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::Serialize;

use super::{RestateDeploymentInvocations, RestateDeploymentVersion};

/// The parent of what Restate knows of one RestateDeployment. To look at it or change it, use the stored kind in
/// restate.dev.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct RestateDeploymentMirror {
    /// Name, namespace, uid and labels of the stored object.
    pub metadata: ObjectMeta,
}

impl Kind for RestateDeploymentMirror {
    const GVK: Gvk = super::gvk("RestateDeployment");
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::AGE];

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        let created = self.metadata.creation_timestamp.as_ref().map(|time| time.0);
        vec![Cell::from(self.metadata.name.clone()), Cell::Age(created)]
    }
}

impl Resource for RestateDeploymentMirror {
    const DESCRIPTOR: Descriptor = Descriptor {
        gvk: Self::GVK,
        plural: "restatedeployments",
        singular: "restatedeployment",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: &[Verb::Get],
        selectable_fields: &[],
        subresources: &[
            Subresource {
                name: "versions",
                gvk: RestateDeploymentVersion::GVK,
                verbs: &[Verb::Get],
                answer: Answer::List,
            },
            Subresource {
                name: "invocations",
                gvk: RestateDeploymentInvocations::GVK,
                verbs: &[Verb::Get],
                answer: Answer::Object,
            },
        ],
    };
}
