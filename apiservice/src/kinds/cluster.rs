//! `RestateCluster` in our group: a thin mirror of the stored kind, parent of its subresources.

use apiserver_kind::{Answer, Cell, Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Subresource, Verb};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    RestateClusterDeployment, RestateClusterHealth, RestateClusterProvision, RestateClusterRecovery,
    RestateClusterSnapshot,
};

/// The parent of what can be asked of one RestateCluster. To look at it or change it, use the stored kind in
/// restate.dev.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct RestateClusterMirror {
    /// Name, uid and labels of the stored object.
    pub metadata: ObjectMeta,
}

impl Kind for RestateClusterMirror {
    const GVK: Gvk = super::gvk("RestateCluster");
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

impl Resource for RestateClusterMirror {
    const DESCRIPTOR: Descriptor = Descriptor {
        gvk: Self::GVK,
        plural: "restateclusters",
        singular: "restatecluster",
        short_names: &[],
        categories: &[],
        scope: Scope::Cluster,
        verbs: &[Verb::Get],
        selectable_fields: &[],
        subresources: &[
            Subresource {
                name: "provision",
                gvk: RestateClusterProvision::GVK,
                verbs: &[Verb::Create],
                answer: Answer::Object,
            },
            Subresource {
                name: "snapshots",
                gvk: RestateClusterSnapshot::GVK,
                verbs: &[Verb::Create],
                answer: Answer::Object,
            },
            Subresource {
                name: "recover",
                gvk: RestateClusterRecovery::GVK,
                verbs: &[Verb::Create],
                answer: Answer::Object,
            },
            Subresource {
                name: "health",
                gvk: RestateClusterHealth::GVK,
                verbs: &[Verb::Get],
                answer: Answer::Object,
            },
            Subresource {
                name: "deployments",
                gvk: RestateClusterDeployment::GVK,
                verbs: &[Verb::Get],
                answer: Answer::List,
            },
            Subresource {
                name: crate::proxy::PROXY,
                gvk: Self::GVK,
                verbs: &[Verb::Create, Verb::Delete, Verb::Get, Verb::Patch, Verb::Update],
                answer: Answer::Stream,
            },
        ],
    };
}
