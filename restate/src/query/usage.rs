//! Unfinished work, by the deployment that must do it.
//!
//! One round is two queries, in this order:
//! 1. attempts in flight, by the deployment that runs them (in memory at the invoker, cheap);
//! 2. all unfinished invocations, by pin, service, handler and status (walks the table).
//!
//! Each answer must hold the mark of its question: what stands between may say again what it said before, and then
//! nobody knows how old it is. Routing is in the second answer, too: the registry has no place for a mark.
//!
//! Invariant: an attempt that runs without a pin is seen by the first query, or has ended or pinned itself before
//! the second one starts and is seen there: nothing slips through between them. Each query names the registered
//! deployments in the same answer, and only what both name is known: an empty answer says nothing.
//!
//! Facts, seen on 1.7.12: an attempt in flight has `last_attempt_deployment_id` from its start on, pinned or not;
//! completed invocations keep their pin, so the status decides; a query before partitions are placed is a 500.
//! 1.6.1 wants each expression of a projection named.
//!
//! `sys_invocation_status` is the authority. The tables of virtual queues are not asked: `features.vqueues` of
//! `/version` is about what is being written, not about what every partition has migrated.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use restate_model::{Counts, DeploymentId, Load, Reading, ServiceName, Status, UsageReport};
use serde::Deserialize;

use super::{Literal, USAGE_DEADLINE};
use crate::admin::{Admin, Error};

/// Rows are groups, not invocations: 64 MB are some hundred thousand version × handler × status.
const LIMIT: usize = 64 * 1024 * 1024;

const IN_FLIGHT: &str = "SELECT d.id AS deployment, COALESCE(f.attempts, 0) AS attempts \
    FROM sys_deployment d LEFT JOIN ( \
        SELECT last_attempt_deployment_id AS deployment, COUNT(*) AS attempts FROM sys_invocation_state \
        WHERE in_flight GROUP BY last_attempt_deployment_id \
    ) f ON f.deployment = d.id";

const UNFINISHED: &str = "SELECT 'work' AS kind, COALESCE(s.pinned_deployment_id, '') AS deployment, \
        s.target_service_name AS service, s.target_handler_name AS handler, \
        CASE WHEN s.status <> 'invoked' THEN s.status WHEN a.in_flight THEN 'running' \
             WHEN a.retry_count > 0 THEN 'backing-off' ELSE 'ready' END AS status, \
        COUNT(*) AS count \
    FROM sys_invocation_status s LEFT JOIN sys_invocation_state a ON a.id = s.id \
    WHERE s.status <> 'completed' GROUP BY 1, 2, 3, 4, 5 \
    UNION ALL SELECT 'deployment' AS kind, id AS deployment, '' AS service, '' AS handler, '' AS status, \
        0 AS count \
    FROM sys_deployment \
    UNION ALL SELECT 'route' AS kind, deployment_id AS deployment, name AS service, '' AS handler, '' AS status, \
        0 AS count \
    FROM sys_service";

#[derive(Deserialize)]
struct Attempts {
    deployment: String,
    attempts: u64,
}

/// `kind` tells which of the two parts of [`UNFINISHED`] a row is of.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Unfinished {
    Deployment { deployment: String },
    Route { deployment: String },
    Question { deployment: String },
    Work(Work),
}

#[derive(Deserialize)]
struct Work {
    /// Empty: not pinned.
    deployment: String,
    service: String,
    handler: String,
    status: String,
    count: u64,
}

impl Admin {
    /// Asks for all unfinished work. The reading's age is that of its first request.
    pub async fn usage(&self) -> Result<Reading<UsageReport>, Error> {
        let asked_at = Timestamp::now();
        let mark = format!("q{:016x}", fastrand::u64(..));
        let attempts = self.rows(&in_flight(&mark), USAGE_DEADLINE, LIMIT).await?;
        let attempts = answering(attempts, |row: &Attempts| row.deployment == mark)?;
        let unfinished = self.rows(&unfinished(&mark), USAGE_DEADLINE, LIMIT).await?;
        let is_mark =
            |row: &Unfinished| matches!(row, Unfinished::Question { deployment } if *deployment == mark);
        Ok(Reading { asked_at, value: report(attempts, answering(unfinished, is_mark)?) })
    }
}

fn in_flight(mark: &str) -> String {
    format!("{IN_FLIGHT} UNION ALL SELECT {} AS deployment, 0 AS attempts", Literal(mark))
}

fn unfinished(mark: &str) -> String {
    let mark = Literal(mark);
    format!(
        "{UNFINISHED} UNION ALL SELECT 'question' AS kind, {mark} AS deployment, '' AS service, '' AS handler, \
         '' AS status, 0 AS count"
    )
}

/// The rows of an answer to this very question, without the mark.
fn answering<Row>(mut rows: Vec<Row>, is_mark: impl Fn(&Row) -> bool) -> Result<Vec<Row>, Error> {
    let all = rows.len();
    rows.retain(|row| !is_mark(row));
    if rows.len() == all { Err(Error::Lacks("the mark of this question: it may be old")) } else { Ok(rows) }
}

fn report(attempts: Vec<Attempts>, unfinished: Vec<Unfinished>) -> UsageReport {
    let mut named = BTreeSet::new();
    let mut report = UsageReport::default();
    for row in unfinished {
        match row {
            Unfinished::Deployment { deployment } => drop(named.insert(DeploymentId::from(deployment))),
            Unfinished::Route { deployment } => drop(report.routed.insert(DeploymentId::from(deployment))),
            Unfinished::Question { .. } => {}
            Unfinished::Work(work) => add(&mut report, work),
        }
    }
    for Attempts { deployment, attempts } in attempts {
        let id = DeploymentId::from(deployment);
        hold(&mut report.deployments, &id, attempts);
        if named.contains(&id) {
            report.known.insert(id);
        }
    }
    report
}

fn add(report: &mut UsageReport, work: Work) {
    let Work { deployment, service, handler, status, count } = work;
    let pin = (!deployment.is_empty()).then(|| DeploymentId::from(deployment));
    let service = ServiceName::from(service);
    let status = state(&status);
    let counts = match &pin {
        Some(id) => &mut report.deployments.entry(id.clone()).or_default().pinned,
        None => report.unpinned.entry(service.clone()).or_default(),
    };
    counts.add(status, count);
    report.handlers.entry((pin, service, handler)).or_default().add(status, count);
}

/// Attempts on a deployment that are not explained by its pinned running work run without a pin.
fn hold(deployments: &mut BTreeMap<DeploymentId, Load>, id: &DeploymentId, attempts: u64) {
    if attempts == 0 {
        return;
    }
    let load = deployments.entry(id.clone()).or_default();
    let Counts { running, .. } = load.pinned;
    load.in_flight_unpinned = attempts.saturating_sub(running);
}

fn state(status: &str) -> Status {
    match status {
        "running" => Status::Running,
        "backing-off" => Status::BackingOff,
        "suspended" => Status::Suspended,
        "paused" => Status::Paused,
        "ready" | "pending" => Status::Ready,
        "inboxed" => Status::Inboxed,
        "scheduled" => Status::Scheduled,
        _ => Status::Other,
    }
}

#[cfg(test)]
mod tests;
