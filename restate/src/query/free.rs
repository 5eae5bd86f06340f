//! One read-only query of somebody else's, with limits.
//!
//! Stage in the flow: under the aggregated API's `restatequeries`. Invariants: what does not begin as a question is
//! refused before Restate sees it (the server refuses writes by itself, too); no answer exceeds its bounds, and one
//! that was cut says so. An answer that breaks off by itself is an error, never a short answer.
//!
//! Facts, seen on 1.7.12: a syntax error is a 400, an unknown table or column a 500; both say "Datafusion error"
//! and then whose fault it is. `EXPLAIN` plans a query and does not run it.

mod read;

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Body;
use crate::admin::{Admin, Error};
use crate::transport::Question;

/// A plan is a page of text.
const PLAN: usize = 1024 * 1024;

/// What Restate blames on the statement, after "Datafusion error: ".
const FAULTS: [&str; 8] = [
    "SQL error",
    "Schema error",
    "Error during planning",
    "This feature is not implemented",
    "Arrow error",
    "Optimizer rule",
    "type_coercion",
    "External error: non valid",
];

/// How much one query may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Rows that are kept.
    pub rows: usize,
    /// Bytes of the answer that are read; then the connection is closed, and Restate stops.
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Names of the columns, in the order of the answer. One that is null in every row is not among them: Restate
    /// leaves nulls out.
    pub columns: Vec<String>,
    /// The rows as Restate gave them.
    pub rows: Vec<Map<String, Value>>,
    /// Why there may be more; none for a whole answer.
    pub cut: Option<Cut>,
}

/// The bound at which an answer was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// There are more rows.
    Rows,
    /// There are more bytes.
    Bytes,
}

#[derive(Deserialize)]
struct Plan {}

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

    /// The text as it is asked.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl Admin {
    /// Asks one read-only query.
    pub async fn query(&self, query: &FreeQuery, bounds: Bounds) -> Result<Rows, Error> {
        let Bounds { rows, bytes, deadline } = bounds;
        let question = Question { method: Method::POST, path: "query", deadline, limit: bytes };
        let body = Body { query: &query.0 };
        let (answer, is_cut) = self.transport().ask_for_beginning(self.endpoint(), &question, &body).await?;
        read::rows(&answer, rows, is_cut)
    }

    /// Has a query planned, and does not run it: whether it could be asked.
    pub async fn explain(&self, query: &FreeQuery, deadline: Duration) -> Result<(), Error> {
        self.rows::<Plan>(&format!("EXPLAIN {}", query.0), deadline, PLAN).await.map(drop)
    }
}

/// Restate's words, where the statement is at fault and will be whenever it is asked.
pub fn fault_of_statement(error: &Error) -> Option<&str> {
    let refused = error.refused()?;
    let words = refused.message.strip_prefix("Datafusion error: ").unwrap_or(&refused.message);
    let is_at_fault = refused.status == StatusCode::BAD_REQUEST
        || (refused.status == StatusCode::INTERNAL_SERVER_ERROR
            && FAULTS.iter().any(|fault| words.starts_with(fault)));
    is_at_fault.then_some(words)
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
mod tests;
