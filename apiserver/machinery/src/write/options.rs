//! The options of a create: dry run, field validation, field manager (C3–C5).

use crate::{
    query::Query,
    status::{FieldError, Status},
};

/// What happens to fields that the kind does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped, and named in a warning.
    #[default]
    Warn,
    /// They are refused.
    Strict,
}

/// How a create is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// Nothing may come of it, and the answer is what it would have been.
    pub dry_run: bool,
    /// What happens to unknown fields.
    pub field_validation: FieldValidation,
    /// Who says to manage the fields; nothing is kept of it.
    pub field_manager: Option<String>,
}

const LONGEST_MANAGER: usize = 128;
const VALIDATIONS: [&str; 3] = ["Ignore", "Strict", "Warn"];

impl CreateOptions {
    pub(crate) fn of(query: &Query) -> Result<Self, Status> {
        let dry_runs: Vec<&str> = query.all("dryRun").filter(|value| !value.is_empty()).collect();
        let manager = query.first("fieldManager");
        let validation = query.first("fieldValidation");
        let errors: Vec<FieldError> = [
            dry_run_error(&dry_runs),
            manager.and_then(manager_error),
            validation.and_then(validation_error),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !errors.is_empty() {
            return Err(Status::invalid("meta.k8s.io", "CreateOptions", "", &errors));
        }
        Ok(Self {
            dry_run: !dry_runs.is_empty(),
            field_validation: match validation {
                Some("Ignore") => FieldValidation::Ignore,
                Some("Strict") => FieldValidation::Strict,
                _ => FieldValidation::Warn,
            },
            field_manager: manager.map(ToOwned::to_owned),
        })
    }
}

fn dry_run_error(given: &[&str]) -> Option<FieldError> {
    given
        .iter()
        .find(|value| **value != "All")
        .map(|_| FieldError::not_supported("dryRun", given.join(","), &["All"]))
}

fn manager_error(manager: &str) -> Option<FieldError> {
    if manager.len() > LONGEST_MANAGER {
        return Some(FieldError::invalid("fieldManager", manager, "must be no more than 128 characters"));
    }
    let unprintable = manager.chars().any(char::is_control);
    unprintable
        .then(|| FieldError::invalid("fieldManager", manager, "should only contain printable characters"))
}

fn validation_error(validation: &str) -> Option<FieldError> {
    let unknown = !VALIDATIONS.contains(&validation);
    unknown.then(|| FieldError::not_supported("fieldValidation", validation, &VALIDATIONS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn options(query: &str) -> Result<CreateOptions, Status> {
        CreateOptions::of(&Query::of(&format!("/x?{query}").parse().unwrap()))
    }

    #[rstest]
    #[case::c3("dryRun=Some")]
    #[case::c3("dryRun=All&dryRun=Some")]
    #[case::c4("fieldValidation=Maybe")]
    #[case::c5("fieldManager=a%07b")]
    fn refused(#[case] query: &str) {
        assert_eq!(options(query).unwrap_err().code().as_u16(), 422);
    }

    #[test]
    fn c5_long_managers_are_refused() {
        assert!(options(&format!("fieldManager={}", "x".repeat(128))).is_ok());
        assert!(options(&format!("fieldManager={}", "x".repeat(129))).is_err());
    }

    #[rstest]
    #[case::c4("", false, FieldValidation::Warn)]
    #[case::c3("dryRun=All", true, FieldValidation::Warn)]
    #[case::c4("fieldValidation=Strict", false, FieldValidation::Strict)]
    #[case::c4("fieldValidation=Ignore", false, FieldValidation::Ignore)]
    fn taken(#[case] query: &str, #[case] dry_run: bool, #[case] field_validation: FieldValidation) {
        assert_eq!(options(query), Ok(CreateOptions { dry_run, field_validation, field_manager: None }));
    }
}
