//! Takes kinds one by one, and refuses what does not fit together.

use std::sync::Arc;

use apiserver_kind::{Kind, Resource, Verb};
use schemars::SchemaGenerator;

use super::{
    Api, Assembled, Documents,
    mount::{Mount, Reader, SchemaOf, SubMount},
};
use crate::{
    list::Stored,
    render::Shape,
    resource::{
        Computed, Connectable, Creatable, CreatableSubresource, Namespaces, Readable, ReadableSubresource,
        Source, SubAccess, Typed, Under,
    },
    version::Clock,
};

/// Why an API cannot be assembled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A kind of another group or version.
    #[error("{resource} is of {found}, not of this API")]
    ForeignKind {
        /// The resource.
        resource: String,
        /// Its group and version.
        found: String,
    },
    /// The type and its descriptor disagree, or two descriptors of one plural do.
    #[error("{resource} is described in two ways")]
    TwoDescriptions {
        /// The resource.
        resource: String,
    },
    /// Two handlers for the same thing.
    #[error("{resource} has two handlers for the same verbs")]
    TwoHandlers {
        /// The resource.
        resource: String,
    },
    /// A verb that nobody answers.
    #[error("{resource} declares {verb}, and nothing serves it")]
    NoHandler {
        /// The resource.
        resource: String,
        /// The verb.
        verb: Verb,
    },
    /// A handler that nothing declares.
    #[error("{resource} has a handler that no declared verb leads to")]
    Undeclared {
        /// The resource.
        resource: String,
    },
}

/// Assembles an [`Api`].
pub struct Builder {
    group: &'static str,
    version: &'static str,
    clock: Arc<Clock>,
    mounts: Vec<Mount>,
    access: Option<Arc<dyn SubAccess>>,
    namespaces: Option<Arc<dyn Namespaces>>,
    errors: Vec<Error>,
}

fn schema_of<K: Kind>() -> SchemaOf {
    SchemaGenerator::subschema_for::<K>
}

fn shape_of<K: Kind>() -> Shape {
    Shape { gvk: K::GVK, columns: K::COLUMNS }
}

impl Builder {
    pub(super) fn new(group: &'static str, version: &'static str) -> Self {
        let clock = Arc::new(Clock::new());
        Self { group, version, clock, mounts: Vec::new(), access: None, namespaces: None, errors: Vec::new() }
    }

    /// The clock that stamps what is computed; the one of the stores.
    #[must_use]
    pub fn clock(mut self, clock: &Arc<Clock>) -> Self {
        self.clock = Arc::clone(clock);
        self
    }

    /// Who answers second checks of handlers, if not the authorizer that lets requests in.
    #[must_use]
    pub fn access(mut self, access: impl SubAccess) -> Self {
        self.access = Some(Arc::new(access));
        self
    }

    /// Who knows the namespaces, so that nothing is created in one that goes away (C16).
    #[must_use]
    pub fn namespaces(mut self, namespaces: impl Namespaces) -> Self {
        self.namespaces = Some(Arc::new(namespaces));
        self
    }

    /// Adds a kind that is got, listed and watched from a store.
    #[must_use]
    pub fn readable<R: Readable>(mut self, kind: R) -> Self {
        let feed = Arc::clone(&kind.store().feed);
        let reader = Reader::Stored(Stored::new(feed, Arc::new(Source(kind))));
        self.with::<R::Object>(|mount| mount.reader.replace(reader).is_none());
        self
    }

    /// Adds a kind that is computed at each request.
    #[must_use]
    pub fn computed<C: Computed>(mut self, kind: C) -> Self {
        let reader = Reader::Computed(Arc::new(Typed { handler: kind, clock: Arc::clone(&self.clock) }));
        self.with::<C::Object>(|mount| mount.reader.replace(reader).is_none());
        self
    }

    /// Adds a kind that is created.
    #[must_use]
    pub fn creatable<C: Creatable>(mut self, kind: C) -> Self {
        let creator = Arc::new(Typed { handler: kind, clock: Arc::clone(&self.clock) });
        self.with::<C::Object>(|mount| mount.creator.replace(creator).is_none());
        self
    }

    /// Adds what answers GET of the parent's subresource.
    #[must_use]
    pub fn readable_subresource<P: Resource, S: ReadableSubresource>(
        mut self,
        name: &str,
        handler: S,
    ) -> Self {
        let reader = Arc::new(Typed { handler, clock: Arc::clone(&self.clock) });
        self.under::<P>(name, |sub| {
            sub.shape = Some(shape_of::<S::Object>());
            sub.schema = Some(schema_of::<S::Object>());
            sub.reader.replace(reader).is_none()
        });
        self
    }

    /// Adds what answers POST to the parent's subresource.
    #[must_use]
    pub fn creatable_subresource<P: Resource, S: CreatableSubresource>(
        mut self,
        name: &str,
        handler: S,
    ) -> Self {
        self.under::<P>(name, |sub| {
            sub.shape = Some(shape_of::<S::Object>());
            sub.schema = Some(schema_of::<S::Object>());
            sub.creator.replace(Arc::new(Under(handler))).is_none()
        });
        self
    }

    /// Adds what takes connections to the parent's subresource.
    #[must_use]
    pub fn connection<P: Resource, C: Connectable>(mut self, name: &str, handler: C) -> Self {
        self.under::<P>(name, |sub| sub.connection.replace(Arc::new(handler)).is_none());
        self
    }

    /// The API, or the first thing that does not fit.
    pub fn build(mut self) -> Result<Api, Error> {
        self.errors.extend(self.mounts.iter().flat_map(unfit));
        if let Some(error) = self.errors.into_iter().next() {
            return Err(error);
        }
        Ok(Api(Arc::new(Assembled {
            group: self.group,
            version: self.version,
            documents: Documents::of(self.group, self.version, &self.mounts),
            mounts: self.mounts,
            access: self.access,
            namespaces: self.namespaces,
        })))
    }

    /// Lets `add` put a handler into the mount of this kind; it says whether the place was free.
    fn with<K: Resource>(&mut self, add: impl FnOnce(&mut Mount) -> bool) {
        let descriptor = K::DESCRIPTOR;
        let resource = descriptor.plural.to_owned();
        if (descriptor.gvk.group, descriptor.gvk.version) != (self.group, self.version) {
            let found = descriptor.gvk.api_version();
            self.errors.push(Error::ForeignKind { resource: resource.clone(), found });
        }
        let at = self.mounts.iter().position(|mount| mount.descriptor.plural == descriptor.plural);
        let at = at.unwrap_or_else(|| {
            self.mounts.push(mounted::<K>());
            self.mounts.len() - 1
        });
        if self.mounts[at].descriptor != descriptor || descriptor.gvk != K::GVK {
            self.errors.push(Error::TwoDescriptions { resource: resource.clone() });
        }
        if !add(&mut self.mounts[at]) {
            self.errors.push(Error::TwoHandlers { resource });
        }
    }

    fn under<P: Resource>(&mut self, name: &str, add: impl FnOnce(&mut SubMount) -> bool) {
        let resource = format!("{}/{name}", P::DESCRIPTOR.plural);
        let mut outcome = Err(Error::Undeclared { resource: resource.clone() });
        self.with::<P>(|mount| {
            if let Some(sub) = mount.subresources.iter_mut().find(|sub| sub.declared.name == name) {
                outcome = if add(sub) { Ok(()) } else { Err(Error::TwoHandlers { resource }) };
            }
            true
        });
        self.errors.extend(outcome.err());
    }
}

fn mounted<K: Resource>() -> Mount {
    let descriptor = K::DESCRIPTOR;
    Mount {
        descriptor,
        shape: shape_of::<K>(),
        schema: schema_of::<K>(),
        reader: None,
        creator: None,
        subresources: descriptor.subresources.iter().copied().map(SubMount::new).collect(),
    }
}

/// Declarations without handlers, and handlers without declarations.
fn unfit(mount: &Mount) -> Vec<Error> {
    let plural = mount.descriptor.plural;
    let itself = mount.descriptor.verbs.iter().filter(|verb| !mount.serves(**verb));
    let mut errors: Vec<Error> =
        itself.map(|verb| Error::NoHandler { resource: plural.to_owned(), verb: *verb }).collect();
    for sub in &mount.subresources {
        let resource = format!("{plural}/{}", sub.declared.name);
        let unserved = sub.declared.verbs.iter().filter(|verb| !sub.serves(**verb));
        errors.extend(unserved.map(|verb| Error::NoHandler { resource: resource.clone(), verb: *verb }));
        errors.extend(sub.has_idle_handler().then_some(Error::Undeclared { resource }));
    }
    let reads = [Verb::Get, Verb::List, Verb::Watch].iter().any(|verb| mount.descriptor.has(*verb));
    let idle = (mount.reader.is_some() && !reads)
        || (mount.creator.is_some() && !mount.descriptor.has(Verb::Create));
    errors.extend(idle.then_some(Error::Undeclared { resource: plural.to_owned() }));
    errors
}
