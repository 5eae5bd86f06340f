//! SQL, beside the types of its rows.
//!
//! Stage in the flow: under the poller (usage) and under `restatequeries` (free text, bounded). Invariant: each
//! column that decides is never null in the query itself (`COALESCE`), so a row without it is an error: Restate
//! leaves nulls out of its JSON, and a missing column must not read as "none".
//!
//! Facts, seen on 1.7.12: the server refuses DDL, DML and a second statement by itself; without
//! `accept: application/json` it answers in Arrow; `sys_invocation` is a join of `sys_invocation_status` with
//! `sys_invocation_state`, and the latter has rows only for what the invoker holds.

mod free;
mod invocations;
mod sql;
mod usage;

use std::time::Duration;

use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::admin::{Admin, Error};
use crate::transport::Question;

pub use free::{Bounds, Cut, FreeQuery, NotReadOnly, Rows, fault_of_statement};
pub use invocations::{Column, Condition, INVOCATIONS_DEADLINE, Scope, Wanted, word};
pub use sql::{Identifier, Literal};

/// A usage query walks all invocations; beyond this Restate is not able to tell.
pub const USAGE_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Body<'a> {
    query: &'a str,
}

#[derive(Deserialize)]
struct Answer<Row> {
    rows: Vec<Row>,
}

impl Admin {
    async fn rows<Row: DeserializeOwned>(
        &self,
        query: &str,
        deadline: Duration,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let question = Question { method: Method::POST, path: "query", deadline, limit };
        let answer = self.transport().ask(self.endpoint(), &question, Some(&Body { query })).await?;
        answer.json::<Answer<Row>>().map(|Answer { rows }| rows)
    }
}
