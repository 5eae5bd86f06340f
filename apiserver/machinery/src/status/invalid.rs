//! What is wrong with a field, in the words that kubectl prints line by line (E8).

use std::fmt;

use serde_json::Value;
use strum::IntoStaticStr;

use super::Cause;

/// How a field is wrong.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum FieldErrorKind {
    /// It must be given.
    #[strum(serialize = "FieldValueRequired")]
    Required,
    /// Its value is wrong.
    #[strum(serialize = "FieldValueInvalid")]
    Invalid {
        /// The value.
        value: Value,
    },
    /// Its value is none of those that are supported.
    #[strum(serialize = "FieldValueNotSupported")]
    NotSupported {
        /// The value.
        value: String,
        /// The supported ones.
        supported: Vec<String>,
    },
    /// It must not be given.
    #[strum(serialize = "FieldValueForbidden")]
    Forbidden,
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// JSON path, as `spec.partitions` or `spec.ports[0]`.
    pub field: String,
    /// How it is wrong.
    pub kind: FieldErrorKind,
    /// Why, in words; may be empty.
    pub detail: String,
}

impl FieldError {
    /// A field that must be given.
    pub fn required(field: &str, detail: &str) -> Self {
        Self { field: field.to_owned(), kind: FieldErrorKind::Required, detail: detail.to_owned() }
    }

    /// A field with a wrong value.
    pub fn invalid(field: &str, value: impl Into<Value>, detail: &str) -> Self {
        let kind = FieldErrorKind::Invalid { value: value.into() };
        Self { field: field.to_owned(), kind, detail: detail.to_owned() }
    }

    /// A field whose value is none of the supported ones.
    pub fn not_supported(field: &str, value: impl fmt::Display, supported: &[&str]) -> Self {
        let supported = supported.iter().map(|&one| one.to_owned()).collect();
        let kind = FieldErrorKind::NotSupported { value: value.to_string(), supported };
        Self { field: field.to_owned(), kind, detail: String::new() }
    }

    /// A field that must not be given.
    pub fn forbidden(field: &str, detail: &str) -> Self {
        Self { field: field.to_owned(), kind: FieldErrorKind::Forbidden, detail: detail.to_owned() }
    }

    pub(super) fn cause(&self) -> Cause {
        let reason: &'static str = (&self.kind).into();
        Cause { reason: reason.to_owned(), message: self.body(), field: self.field.clone() }
    }

    fn body(&self) -> String {
        let head = match &self.kind {
            FieldErrorKind::Required => "Required value".to_owned(),
            FieldErrorKind::Invalid { value } => format!("Invalid value: {value}"),
            FieldErrorKind::NotSupported { value, supported } => return not_supported(value, supported),
            FieldErrorKind::Forbidden => "Forbidden".to_owned(),
        };
        if self.detail.is_empty() { head } else { format!("{head}: {}", self.detail) }
    }
}

fn not_supported(value: &str, supported: &[String]) -> String {
    let listed: Vec<String> = supported.iter().map(|one| format!("{one:?}")).collect();
    format!("Unsupported value: {value:?}: supported values: {}", listed.join(", "))
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.body())
    }
}
