//! The traits of [`super`] without their types: what the dispatcher holds. Objects leave encoded.

use std::sync::Arc;

use apiserver_kind::{Kind, Resource};
use axum::{body::Body, response::Response};
use futures::future::BoxFuture;
use http::Request;
use jiff::Timestamp;

use super::{
    Call, Computed, Connectable, Creatable, CreatableSubresource, Given, Page, Readable, ReadableSubresource,
    Wanted,
};
use crate::{
    encoded::{self, Encoded},
    list::{ListRequest, Version, VersionMatch},
    status::Status,
    version::Clock,
    write::{CreateOptions, Draft},
};

pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, Status>>;

pub(crate) trait ErasedSource: Send + Sync {
    fn in_portions(&self) -> bool;
    fn fresh<'a>(&'a self, wanted: &'a Wanted) -> Answer<'a, ()>;
    fn whole<'a>(&'a self, wanted: &'a Wanted) -> Answer<'a, ()>;
}

pub(crate) trait ErasedComputed: Send + Sync {
    fn get<'a>(&'a self, call: &'a Call) -> Answer<'a, Option<Encoded>>;
    fn list<'a>(&'a self, call: &'a Call, request: &'a ListRequest) -> Answer<'a, Gathered>;
    /// Whether what is computed now is of this version: it is newer than all that were, and none of those is kept
    /// (R13).
    fn reaches(&self, version: Version, version_match: Option<VersionMatch>) -> Result<(), Status>;
}

pub(crate) trait ErasedCreate: Send + Sync {
    fn create<'a>(&'a self, call: &'a Call, draft: Draft, options: &'a CreateOptions) -> Answer<'a, Encoded>;
}

pub(crate) trait ErasedSubresource: Send + Sync {
    fn get<'a>(&'a self, call: &'a Call) -> Answer<'a, Gathered>;
}

pub(crate) trait ErasedConnect: Send + Sync {
    fn connect<'a>(&'a self, call: &'a Call, request: Request<Body>) -> Answer<'a, Response>;
}

/// Objects that were gathered for one request.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) version: u64,
    pub(crate) items: Vec<Encoded>,
    pub(crate) resume: Option<String>,
    pub(crate) is_list: bool,
}

/// A typed handler, with the clock that stamps what it gives.
pub(crate) struct Typed<H> {
    pub(crate) handler: H,
    pub(crate) clock: Arc<Clock>,
}

impl<H> Typed<H> {
    fn encoded<K: Kind>(
        &self,
        objects: &[K],
        selectable: &[&'static str],
    ) -> Result<(u64, Vec<Encoded>), Status> {
        let version = self.clock.stamp(Timestamp::now());
        let encoded = |object| Encoded::of(object, selectable, version);
        let items = objects.iter().map(encoded).collect::<Result<_, _>>().map_err(|error| broken(&error))?;
        Ok((version, items))
    }
}

/// A readable kind, seen as what can be asked to look.
pub(crate) struct Source<R>(pub(crate) R);

impl<R: Readable> ErasedSource for Source<R> {
    fn in_portions(&self) -> bool {
        R::IN_PORTIONS
    }

    fn fresh<'a>(&'a self, wanted: &'a Wanted) -> Answer<'a, ()> {
        Box::pin(self.0.fresh(wanted))
    }

    fn whole<'a>(&'a self, wanted: &'a Wanted) -> Answer<'a, ()> {
        Box::pin(self.0.whole(wanted))
    }
}

impl<H: Computed> ErasedComputed for Typed<H> {
    fn get<'a>(&'a self, call: &'a Call) -> Answer<'a, Option<Encoded>> {
        Box::pin(async move {
            let Some(object) = self.handler.get(call).await? else { return Ok(None) };
            self.encoded(&[object], &[]).map(|(_, mut items)| items.pop())
        })
    }

    fn list<'a>(&'a self, call: &'a Call, request: &'a ListRequest) -> Answer<'a, Gathered> {
        Box::pin(async move {
            let Page { objects, resume } = self.handler.list(call, request).await?;
            let (version, mut items) = self.encoded(&objects, H::Object::DESCRIPTOR.selectable_fields)?;
            items.retain(|item| request.selection.matches(item));
            Ok(Gathered { version, items, resume, is_list: true })
        })
    }

    fn reaches(&self, version: Version, version_match: Option<VersionMatch>) -> Result<(), Status> {
        let now = Timestamp::now();
        match version {
            Version::At(version) if version_match == Some(VersionMatch::Exact) => Err(Status::expired(
                format!("The resourceVersion for the provided list is too old: {version}"),
            )),
            Version::At(version) if self.clock.is_ahead(version, now) => {
                Err(Status::too_large_resource_version(version, self.clock.stamp(now)))
            }
            Version::Freshest | Version::Any | Version::At(_) => Ok(()),
        }
    }
}

impl<H: Creatable> ErasedCreate for Typed<H> {
    fn create<'a>(&'a self, call: &'a Call, draft: Draft, options: &'a CreateOptions) -> Answer<'a, Encoded> {
        Box::pin(async move {
            let object = draft.finished(call, options)?;
            let object = self.handler.create(call, object, options).await?;
            Encoded::of(&object, &[], 0).map_err(|error| broken(&error))
        })
    }
}

/// A subresource's handler, where it takes objects.
pub(crate) struct Under<H>(pub(crate) H);

impl<H: CreatableSubresource> ErasedCreate for Under<H> {
    fn create<'a>(&'a self, call: &'a Call, draft: Draft, options: &'a CreateOptions) -> Answer<'a, Encoded> {
        Box::pin(async move {
            let object = draft.finished(call, options)?;
            let object = self.0.create(call, object, options).await?;
            Encoded::of(&object, &[], 0).map_err(|error| broken(&error))
        })
    }
}

impl<H: ReadableSubresource> ErasedSubresource for Typed<H> {
    fn get<'a>(&'a self, call: &'a Call) -> Answer<'a, Gathered> {
        Box::pin(async move {
            let (objects, is_list) = match self.handler.get(call).await? {
                Given::One(object) => (vec![*object], false),
                Given::Many(objects) => (objects, true),
            };
            let (version, items) = self.encoded(&objects, &[])?;
            Ok(Gathered { version, items, resume: None, is_list })
        })
    }
}

impl<H: Connectable> ErasedConnect for H {
    fn connect<'a>(&'a self, call: &'a Call, request: Request<Body>) -> Answer<'a, Response> {
        Box::pin(Connectable::connect(self, call, request))
    }
}

fn broken(error: &encoded::Error) -> Status {
    tracing::error!(error = error as &dyn std::error::Error, "an object could not be encoded");
    Status::internal("the answer could not be encoded")
}
