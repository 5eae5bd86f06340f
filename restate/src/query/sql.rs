//! Parameters of SQL texts, escaped by construction.
//!
//! Invariant: no string of anybody else's is ever joined into a text as it is.

use std::fmt;

/// A string literal.
#[derive(Clone, Copy, Debug)]
pub struct Literal<'a>(pub &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "'{}'", self.0.replace('\'', "''"))
    }
}

/// The name of a table or column.
#[derive(Clone, Copy, Debug)]
pub struct Identifier<'a>(pub &'a str);

impl fmt::Display for Identifier<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_literal_ends_where_it_should(text in "\\PC*") {
            let literal = Literal(&text).to_string();
            let inner = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap();
            prop_assert!(!inner.replace("''", "").contains('\''));
            prop_assert_eq!(inner.replace("''", "'"), text);
        }

        #[test]
        fn an_identifier_ends_where_it_should(text in "\\PC*") {
            let quoted = Identifier(&text).to_string();
            prop_assert!(!quoted[1..quoted.len() - 1].replace("\"\"", "").contains('"'));
        }
    }
}
