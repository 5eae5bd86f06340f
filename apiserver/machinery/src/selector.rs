//! Label and field selectors: parsed once from the query, then matched and shown to the authorizer (R9, Z4).
//!
//! What cannot be parsed is refused, never guessed; what is matched here was declared by the kind.

mod fields;
mod labels;

pub use fields::{FieldRequirement, FieldSelector};
pub use labels::{LabelRequirement, LabelSelector};

/// Why a selector was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text does not follow the grammar.
    #[error("unable to parse requirement: {0}")]
    Syntax(String),
    /// A key that no label can have.
    #[error("{key:?}: {reason}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A value that no label can have.
    #[error("values: Invalid value: {value:?}: {reason}")]
    Value {
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A field that the kind does not offer.
    #[error("field label not supported: {0}")]
    Field(String),
}
