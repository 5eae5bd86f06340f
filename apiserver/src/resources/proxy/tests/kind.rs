//! A kind with nothing but a proxy.

use apiserver_machinery::kind::{
    Answer, Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Subresource, Verb,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use restate_apiservice::{GROUP, VERSION};
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(super) struct Thing {
    metadata: ObjectMeta,
}

impl Kind for Thing {
    const GVK: Gvk = Gvk { group: GROUP, version: VERSION, kind: "Thing" };
    const COLUMNS: &'static [Column] = &[Column::NAME];

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        vec![self.metadata.name.clone().into()]
    }
}

impl Resource for Thing {
    const DESCRIPTOR: Descriptor = Descriptor {
        gvk: Self::GVK,
        plural: "things",
        singular: "thing",
        short_names: &[],
        categories: &[],
        scope: Scope::Cluster,
        verbs: &[Verb::Get],
        selectable_fields: &[],
        subresources: &[Subresource {
            name: "proxy",
            gvk: Self::GVK,
            verbs: &[Verb::Create, Verb::Delete, Verb::Get, Verb::Patch, Verb::Update],
            answer: Answer::Stream,
        }],
    };
}
