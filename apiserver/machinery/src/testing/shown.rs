//! Books that are not written: one kind that is watched, and one that is only asked for.

use apiserver_kind::{Column, Descriptor, Gvk, Kind, Resource, Row, Verb};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Book, BookSpec, BookStatus};

macro_rules! read_only {
    ($name:ident, $verbs:expr, $about:literal) => {
        #[doc = $about]
        #[derive(Clone, Serialize, JsonSchema)]
        pub(crate) struct $name {
            metadata: ObjectMeta,
            spec: BookSpec,
            status: BookStatus,
        }

        impl From<Book> for $name {
            fn from(Book { metadata, spec, status }: Book) -> Self {
                Self { metadata, spec, status }
            }
        }

        impl Kind for $name {
            const GVK: Gvk = Book::GVK;
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

        impl Resource for $name {
            const DESCRIPTOR: Descriptor =
                Descriptor { verbs: $verbs, subresources: &[], selectable_fields: &[], ..Book::DESCRIPTOR };
        }
    };
}

read_only!(Shown, &[Verb::Get, Verb::List, Verb::Watch], "A book that is read and watched.");
read_only!(Listed, &[Verb::Get, Verb::List], "A book that is read, but not watched.");
