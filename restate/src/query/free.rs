//! One read-only query of somebody else's, with limits.
//!
//! Stage in the flow: under the aggregated API's `restatequeries`. Invariant: what does not begin as a question is
//! refused before Restate sees it (the server refuses writes by itself, too), and no answer exceeds its bounds.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::admin::{Admin, Error};

/// How much one query may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Rows that are kept; the rest is cut off and said so.
    pub rows: usize,
    /// Bytes of the whole answer; more is an error, and Restate stops.
    pub bytes: usize,
    /// Time until the last byte.
    pub deadline: Duration,
}

/// A text that begins as a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeQuery(String);

/// The text is no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only one SELECT or WITH statement is answered")]
pub struct NotReadOnly;

/// An answer within its bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The rows as Restate gave them; it leaves nulls out.
    pub rows: Vec<Map<String, Value>>,
    /// Whether there were more.
    pub cut: bool,
}

impl FreeQuery {
    /// Takes a text that begins with SELECT or WITH, after comments.
    pub fn new(text: &str) -> Result<Self, NotReadOnly> {
        let statement = without_comments(text).ok_or(NotReadOnly)?;
        let word: String = statement.chars().take_while(char::is_ascii_alphabetic).collect();
        if matches!(word.to_ascii_lowercase().as_str(), "select" | "with") {
            return Ok(Self(text.trim().trim_end_matches(';').to_owned()));
        }
        Err(NotReadOnly)
    }
}

impl Admin {
    /// Asks one read-only query.
    pub async fn query(&self, query: &FreeQuery, bounds: Bounds) -> Result<Rows, Error> {
        let mut rows = self.rows(&query.0, bounds.deadline, bounds.bytes).await?;
        let cut = rows.len() > bounds.rows;
        rows.truncate(bounds.rows);
        Ok(Rows { rows, cut })
    }
}

/// The text from its first word on; `None` where a comment has no end.
fn without_comments(text: &str) -> Option<&str> {
    let mut rest = text.trim_start();
    loop {
        rest = if let Some(line) = rest.strip_prefix("--") {
            line.split_once('\n')?.1.trim_start()
        } else if let Some(block) = rest.strip_prefix("/*") {
            block.split_once("*/")?.1.trim_start()
        } else {
            return Some(rest);
        };
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("select 1", true)]
    #[case("-- what runs\n/* all */ With x AS (select 1) SELECT * FROM x;", true)]
    #[case("copy (select 1) to '/tmp/x'", false)]
    #[case("create external table t stored as csv location '/etc/passwd'", false)]
    #[case("selection", false)]
    #[case("/* select", false)]
    #[case("-- select", false)]
    #[case("set x = 1", false)]
    #[case("", false)]
    fn only_questions_are_asked(#[case] text: &str, #[case] asked: bool) {
        assert_eq!(FreeQuery::new(text).is_ok(), asked);
    }
}
