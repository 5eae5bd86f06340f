//! One resource with its handlers.

use std::sync::Arc;

use apiserver_kind::{Descriptor, Subresource, Verb};
use schemars::{Schema, SchemaGenerator};

use crate::{
    list::Stored,
    render::Shape,
    resource::{ErasedComputed, ErasedConnect, ErasedCreate, ErasedSubresource},
};

/// Writes the schema of a kind, and of what it refers to.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub(crate) struct Mount {
    pub(crate) descriptor: Descriptor,
    pub(crate) shape: Shape,
    pub(crate) schema: SchemaOf,
    pub(crate) reader: Option<Reader>,
    pub(crate) creator: Option<Arc<dyn ErasedCreate>>,
    pub(crate) subresources: Vec<SubMount>,
}

pub(crate) enum Reader {
    Stored(Stored),
    Computed(Arc<dyn ErasedComputed>),
}

pub(crate) struct SubMount {
    pub(crate) declared: Subresource,
    pub(crate) shape: Option<Shape>,
    pub(crate) schema: Option<SchemaOf>,
    pub(crate) reader: Option<Arc<dyn ErasedSubresource>>,
    pub(crate) creator: Option<Arc<dyn ErasedCreate>>,
    pub(crate) connection: Option<Arc<dyn ErasedConnect>>,
}

impl Mount {
    pub(crate) fn serves(&self, verb: Verb) -> bool {
        match verb {
            Verb::Get | Verb::List => self.reader.is_some(),
            Verb::Watch => matches!(self.reader, Some(Reader::Stored(_))),
            Verb::Create => self.creator.is_some(),
            Verb::Delete | Verb::DeleteCollection | Verb::Patch | Verb::Update => false,
        }
    }

    pub(crate) fn subresource(&self, name: &str) -> Option<&SubMount> {
        self.subresources.iter().find(|sub| sub.declared.name == name)
    }
}

impl SubMount {
    pub(crate) fn new(declared: Subresource) -> Self {
        Self { declared, shape: None, schema: None, reader: None, creator: None, connection: None }
    }

    pub(crate) fn serves(&self, verb: Verb) -> bool {
        self.connection.is_some()
            || match verb {
                Verb::Get => self.reader.is_some(),
                Verb::Create => self.creator.is_some(),
                _ => false,
            }
    }

    /// A handler without any verb that leads to it.
    pub(crate) fn has_idle_handler(&self) -> bool {
        let declares = |verb| self.declared.verbs.contains(&verb);
        (self.reader.is_some() && !declares(Verb::Get)) || (self.creator.is_some() && !declares(Verb::Create))
    }
}
