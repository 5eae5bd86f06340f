//! What a virtual kind brings along beside its descriptor: one small trait per way of being asked.
//!
//! A kind is read from a [`Store`] that a poller fills ([`Readable`]) or computed at each request ([`Computed`]); it
//! can be created ([`Creatable`]); its subresources answer reads ([`ReadableSubresource`]), writes
//! ([`CreatableSubresource`]) or whole connections ([`Connectable`]). None of them sees HTTP, but the last.

mod call;
mod erased;

use std::future::{Future, ready};

use apiserver_kind::{Kind, Resource};
use axum::{body::Body, response::Response};
use http::Request;
use serde::de::DeserializeOwned;

pub use call::{Call, Namespaces, Phase, SubAccess};
pub(crate) use erased::{
    ErasedComputed, ErasedConnect, ErasedCreate, ErasedSource, ErasedSubresource, Gathered, Source, Typed,
    Under,
};

use crate::{
    list::{ListRequest, Selection},
    status::Status,
    store::Store,
    write::CreateOptions,
};

/// What a source is asked to look at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Objects of this namespace, or all.
    pub namespace: Option<String>,
    /// The object of this name, or all.
    pub name: Option<String>,
}

impl Wanted {
    pub(crate) fn of(selection: &Selection) -> Self {
        let name = selection.fields.exactly("metadata.name").map(ToOwned::to_owned);
        Self { namespace: selection.namespace.clone(), name }
    }
}

/// A kind that is got, listed and watched from a store.
pub trait Readable: Send + Sync + 'static {
    /// The kind.
    type Object: Resource;

    /// Whether `limit` divides a list into portions. The token between two of them holds in the process that made it:
    /// where several answer, and a client is not kept to one of them, say no, and lists are whole (R12).
    const IN_PORTIONS: bool = true;

    /// Where its objects are.
    fn store(&self) -> &Store<Self::Object>;

    /// Looks now, and publishes what it sees before it returns. Bounded in time by itself. Where it fails, the last
    /// known objects are shown with a warning, or the failure where there are none.
    fn fresh(&self, _wanted: &Wanted) -> impl Future<Output = Result<(), Status>> + Send {
        ready(Ok(()))
    }

    /// Refuses where what was published lacks objects that may be there and that nobody has told yet: a list without
    /// them would be taken for their deletion (W15). One that has told, and is silent since, lacks nothing.
    fn whole(&self, _wanted: &Wanted) -> impl Future<Output = Result<(), Status>> + Send {
        ready(Ok(()))
    }
}

/// One portion of a computed list.
#[derive(Clone, Debug)]
pub struct Page<K> {
    /// The objects.
    pub objects: Vec<K>,
    /// What to ask with for the next portion; opaque to clients.
    pub resume: Option<String>,
}

impl<K> From<Vec<K>> for Page<K> {
    fn from(objects: Vec<K>) -> Self {
        Self { objects, resume: None }
    }
}

/// A kind that is computed at each request.
pub trait Computed: Send + Sync + 'static {
    /// The kind.
    type Object: Resource;

    /// The object of the call's name (and namespace); `None` if there is none.
    fn get(&self, call: &Call) -> impl Future<Output = Result<Option<Self::Object>, Status>> + Send;

    /// The objects asked for; those that the selection does not match are left out by the server.
    fn list(
        &self,
        _call: &Call,
        _request: &ListRequest,
    ) -> impl Future<Output = Result<Page<Self::Object>, Status>> + Send {
        ready(Ok(Page { objects: Vec::new(), resume: None }))
    }
}

/// A kind that can be created.
pub trait Creatable: Send + Sync + 'static {
    /// The kind.
    type Object: Resource + DeserializeOwned;

    /// Does what the object says, unless it is a dry run, and gives the object back with its outcome. Name,
    /// namespace, uid and creation time are set.
    fn create(
        &self,
        call: &Call,
        object: Self::Object,
        options: &CreateOptions,
    ) -> impl Future<Output = Result<Self::Object, Status>> + Send;
}

/// What a subresource gives.
#[derive(Clone, Debug)]
pub enum Given<K> {
    /// One object.
    One(Box<K>),
    /// A list.
    Many(Vec<K>),
}

/// A subresource that is got.
pub trait ReadableSubresource: Send + Sync + 'static {
    /// The kind that it gives.
    type Object: Kind;

    /// The answer for the parent that the call names.
    fn get(&self, call: &Call) -> impl Future<Output = Result<Given<Self::Object>, Status>> + Send;
}

/// A subresource that is created.
pub trait CreatableSubresource: Send + Sync + 'static {
    /// The kind that it takes and gives.
    type Object: Kind + DeserializeOwned;

    /// Does what the object says to the parent that the call names, unless it is a dry run.
    fn create(
        &self,
        call: &Call,
        object: Self::Object,
        options: &CreateOptions,
    ) -> impl Future<Output = Result<Self::Object, Status>> + Send;
}

/// A subresource that takes the connection: a proxy, a log. Name it `proxy`, `log`, `attach`, `exec` or
/// `portforward`, or kube-apiserver cuts it after a minute (P7).
pub trait Connectable: Send + Sync + 'static {
    /// Answers a request to the path below the subresource ([`Call::rest`]), streaming both ways as it likes. The
    /// request has lost everything that tells who asks (A13).
    fn connect(
        &self,
        call: &Call,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response, Status>> + Send;
}
