//! What is asked for, as the authorizer sees it.

/// The facts about a request on which the right to make it depends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// A request for an object or a collection.
    Resource(Box<ResourceAttributes>),
    /// Any other path (Z5).
    Path {
        /// HTTP method in lower case.
        verb: String,
        /// Path without query.
        path: String,
    },
}

/// A request for an object or a collection (Z1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResourceAttributes {
    /// get, list, watch, create, update, patch, delete, deletecollection, impersonate.
    pub verb: String,
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural name of the resource.
    pub resource: String,
    /// Subresource, if any.
    pub subresource: Option<String>,
    /// Namespace, if any.
    pub namespace: Option<String>,
    /// Name of the object, if any.
    pub name: Option<String>,
    /// Requirements of the field selector (Z4).
    pub fields: Vec<Requirement>,
    /// Requirements of the label selector (Z4).
    pub labels: Vec<Requirement>,
}

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// Label key or field path.
    pub key: String,
    /// How `values` are compared.
    pub operator: Operator,
    /// Values, empty for `Exists` and `DoesNotExist`.
    pub values: Vec<String>,
}

/// The operators that a SubjectAccessReview knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display)]
pub enum Operator {
    /// The value is among those given.
    In,
    /// The value is not among those given.
    NotIn,
    /// The key is there.
    Exists,
    /// The key is not there.
    DoesNotExist,
}

impl Attributes {
    /// The group, where an object is asked for.
    pub fn resource(&self) -> Option<&ResourceAttributes> {
        match self {
            Self::Resource(resource) => Some(resource),
            Self::Path { .. } => None,
        }
    }

    /// Bytes that a caller chose; the cache does not hold what is large (Z7).
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Path { verb, path } => verb.len() + path.len(),
            Self::Resource(resource) => resource.size(),
        }
    }
}

impl ResourceAttributes {
    /// `resource` or `resource/subresource`, as messages print it.
    pub fn printed(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource),
            None => self.resource.clone(),
        }
    }

    fn size(&self) -> usize {
        let Self { verb, group, version, resource, subresource, namespace, name, fields, labels } = self;
        let texts = [verb, group, version, resource].into_iter();
        let optional = [subresource, namespace, name].into_iter().flatten();
        let requirements = fields.iter().chain(labels).map(Requirement::size).sum::<usize>();
        texts.chain(optional).map(String::len).sum::<usize>() + requirements
    }
}

impl Requirement {
    fn size(&self) -> usize {
        self.key.len() + self.values.iter().map(String::len).sum::<usize>()
    }
}
