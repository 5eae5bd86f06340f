//! Puts kinds together to one API: routes and documents from descriptors, and a handler for each verb.
//!
//! Invariant: no handler without a declaration, no declaration without a handler; whatever does not fit is found when
//! the API is assembled, not when somebody asks.

mod builder;
mod dispatch;
mod mount;
mod respond;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use apiserver_kind::Descriptor;
use axum::{Router, extract::Request};
use prometheus_client::registry::Registry;

pub use builder::{Builder, Error};

use crate::{
    discovery::{self, Document},
    openapi,
    resource::{Namespaces, SubAccess},
    serve::KnownResource,
    store::Levels,
};
pub(crate) use mount::{Mount, Reader, SchemaOf, SubMount};

/// An assembled API.
#[derive(Clone)]
pub struct Api(Arc<Assembled>);

pub(crate) struct Assembled {
    group: &'static str,
    version: &'static str,
    mounts: Vec<Mount>,
    documents: Documents,
    access: Option<Arc<dyn SubAccess>>,
    namespaces: Option<Arc<dyn Namespaces>>,
}

/// Everything that is answered without looking at any kind.
struct Documents {
    aggregated: Document,
    groups: Document,
    group: Document,
    resources: Document,
    openapi: openapi::Documents,
}

impl Documents {
    fn of(group: &str, version: &str, mounts: &[Mount]) -> Self {
        let descriptors: &[Descriptor] = &mounts.iter().map(|mount| mount.descriptor).collect::<Vec<_>>();
        let plain = |json| Document::new(json, "application/json");
        Self {
            aggregated: Document::new(
                discovery::aggregated(group, version, descriptors),
                discovery::AGGREGATED_TYPE,
            ),
            groups: plain(discovery::group_list(group, version)),
            group: plain(discovery::group(group, version)),
            resources: plain(discovery::resource_list(group, version, descriptors)),
            openapi: openapi::Documents::of((group, version), mounts),
        }
    }
}

impl Api {
    /// Begins an API of one group and version.
    pub fn builder(group: &'static str, version: &'static str) -> Builder {
        Builder::new(group, version)
    }

    /// The API as a router; it answers every path, unknown ones with a `Status`.
    pub fn router(&self) -> Router {
        let assembled = Arc::clone(&self.0);
        Router::new().fallback(move |request: Request| dispatch::dispatch(Arc::clone(&assembled), request))
    }

    /// Registers what its stores hold: objects, open watches, changes that are kept no longer (M4).
    pub fn register(&self, registry: &mut Registry) {
        let stored = |mount: &Mount| match &mount.reader {
            Some(Reader::Stored(stored)) => Some((mount.descriptor.plural, Arc::clone(&stored.feed))),
            Some(Reader::Computed(_)) | None => None,
        };
        Levels(self.0.mounts.iter().filter_map(stored).collect()).register(registry);
    }

    /// The descriptors, in the order in which the kinds were added.
    pub fn descriptors(&self) -> Vec<Descriptor> {
        self.0.mounts.iter().map(|mount| mount.descriptor).collect()
    }

    /// What is served, for the labels of metrics.
    pub fn known_resources(&self) -> Vec<KnownResource> {
        let known = |descriptor: &Descriptor| {
            let gvk = descriptor.gvk;
            let of = move |resource| KnownResource {
                group: gvk.group.to_owned(),
                version: gvk.version.to_owned(),
                resource,
            };
            descriptor.entries().map(|entry| of(entry.resource)).collect::<Vec<_>>()
        };
        self.0.mounts.iter().flat_map(|mount| known(&mount.descriptor)).collect()
    }
}
