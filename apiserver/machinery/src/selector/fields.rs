//! Field selectors: `path=value`, `path==value`, `path!=value`, joined by commas; `\` escapes `,`, `=` and itself.

use std::str::FromStr;

use super::Error;
use crate::authz::{Operator, Requirement};

/// One requirement of a field selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldRequirement {
    /// Path of the field.
    pub path: String,
    /// Equal, or not equal.
    pub equal: bool,
    /// The value.
    pub value: String,
}

/// A parsed field selector; the empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector(pub Vec<FieldRequirement>);

impl FieldSelector {
    /// Whether an object is selected, given how to read its fields.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|wanted| (field(&wanted.path).unwrap_or_default() == wanted.value) == wanted.equal)
    }

    /// The one value that the field must have.
    pub fn exactly(&self, path: &str) -> Option<&str> {
        self.0.iter().find(|wanted| wanted.equal && wanted.path == path).map(|wanted| wanted.value.as_str())
    }

    /// Refuses paths that the kind did not declare.
    pub fn checked(self, declared: impl Fn(&str) -> bool) -> Result<Self, Error> {
        match self.0.iter().find(|wanted| !declared(&wanted.path)) {
            Some(unknown) => Err(Error::Field(unknown.path.clone())),
            None => Ok(self),
        }
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What an authorizer may know of it (Z4).
    pub fn requirements(&self) -> Vec<Requirement> {
        let requirement = |FieldRequirement { path, equal, value }: &FieldRequirement| Requirement {
            key: path.clone(),
            operator: if *equal { Operator::In } else { Operator::NotIn },
            values: vec![value.clone()],
        };
        self.0.iter().map(requirement).collect()
    }
}

impl FromStr for FieldSelector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let terms = split_terms(text).into_iter().filter(|term| !term.is_empty());
        terms.map(requirement).collect::<Result<_, _>>().map(Self)
    }
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn requirement(term: &str) -> Result<FieldRequirement, Error> {
    let refused = || Error::Syntax(format!("invalid selector: {term:?}; can't understand {term:?}"));
    let at = term.find('=').ok_or_else(refused)?;
    let (before, after) = (&term[..at], &term[at + 1..]);
    let (path, equal) = before.strip_suffix('!').map_or((before, true), |path| (path, false));
    let value = if equal { after.strip_prefix('=').unwrap_or(after) } else { after };
    Ok(FieldRequirement { path: path.to_owned(), equal, value: unescaped(value).ok_or_else(refused)? })
}

fn unescaped(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => plain.push(chars.next().filter(|next| "\\,=".contains(*next))?),
            ',' | '=' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn field(path: &str) -> Option<&'static str> {
        match path {
            "metadata.name" => Some("greeter"),
            "status.text" => Some("a,b=c"),
            _ => None,
        }
    }

    #[rstest]
    #[case("", true)]
    #[case("metadata.name=greeter", true)]
    #[case("metadata.name==greeter", true)]
    #[case("metadata.name!=greeter", false)]
    #[case("metadata.name!=other,", true)]
    #[case("status.absent=", true)]
    #[case(r"status.text=a\,b\=c", true)]
    #[case("metadata.name=greeter,metadata.name=other", false)]
    fn r9_fields_are_compared(#[case] selector: &str, #[case] selected: bool) {
        assert_eq!(selector.parse::<FieldSelector>().unwrap().matches(field), selected);
    }

    #[rstest]
    #[case("metadata.name")]
    #[case("a=b=c")]
    #[case(r"a=\x")]
    fn r9_anything_else_is_refused(#[case] selector: &str) {
        assert!(selector.parse::<FieldSelector>().is_err());
    }

    #[test]
    fn r9_undeclared_fields_are_refused_by_name() {
        let selector: FieldSelector = "spec.x=1".parse().unwrap();
        let error = selector.checked(|path| path == "metadata.name").unwrap_err();
        assert_eq!(error.to_string(), "field label not supported: spec.x");
    }

    #[test]
    fn z2_a_name_is_found_by_its_exact_value_only() {
        let exact: FieldSelector = "metadata.name=a".parse().unwrap();
        let other: FieldSelector = "metadata.name!=a".parse().unwrap();
        assert_eq!((exact.exactly("metadata.name"), other.exactly("metadata.name")), (Some("a"), None));
    }
}
