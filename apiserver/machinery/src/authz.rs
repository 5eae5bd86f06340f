//! May this user do this? Asked of kube-apiserver by SubjectAccessReview.

mod attributes;

pub use attributes::{Attributes, Operator, Requirement, ResourceAttributes};
