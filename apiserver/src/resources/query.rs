//! `restatequeries`: one read-only question to the Restate of a RestateCluster, bounded in rows, bytes and time.
//!
//! Invariants: the audit log has the hash of every statement and never its text (C12); which host is asked is decided
//! by the stored RestateCluster. What may be seen is everything in that Restate: there is no namespace here.

use std::time::{Duration, Instant};

use apiserver_machinery::resource::{Call, Creatable};
use apiserver_machinery::status::{FieldError, Named, Status};
use apiserver_machinery::write::CreateOptions;
use jiff::Timestamp;
use restate_apiservice::{GROUP, RestateQuery, RestateQueryLimits, RestateQuerySpec, RestateQueryStatus};
use restate_client::admin::Error;
use restate_client::query::{Bounds, Cut, FreeQuery, Rows, fault_of_statement};
use restate_plan::Admin;
use sha2::{Digest, Sha256};

use crate::refusal::unsure;
use crate::restates::Restates;
use crate::targets::{Targets, polled};
use crate::turnstile::Turnstiles;
use crate::world::World;

/// Each limit: what it is unless set, and the most that it can be. A request lives for a minute at most (T12), and
/// two answers of the largest size are well below the memory that a replica has.
const ROWS: (u32, u32) = (1_000, 10_000);
const BYTES: (u32, u32) = (1_048_576, 8_388_608);
const SECONDS: (u32, u32) = (10, 30);

/// Who asks.
pub(crate) struct Queries {
    pub(crate) world: World,
    pub(crate) restates: Restates,
    pub(crate) turnstiles: Turnstiles,
}

impl Creatable for Queries {
    type Object = RestateQuery;

    async fn create(
        &self,
        call: &Call,
        object: Self::Object,
        options: &CreateOptions,
    ) -> Result<Self::Object, Status> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let (query, bounds) = valid(&name, &object.spec)?;
        let hash = hash(query.text());
        call.annotate("control.restate.dev/cluster", object.spec.cluster.clone());
        call.annotate("control.restate.dev/statement-hash", hash.clone());
        let admin = self.admin(&object.spec.cluster)?;
        let client = self.restates.client(&admin)?;
        let _turn = self.turnstiles.turn(&admin.key).await?;
        let refused = |error: &Error| refusal(&name, &object.spec, &admin, error);
        let asked_at = Timestamp::now();
        let started = Instant::now();
        let (rows, observed_at) = if options.dry_run {
            client.explain(&query, bounds.deadline).await.map_err(|error| refused(&error))?;
            (Rows::default(), None)
        } else {
            (client.query(&query, bounds).await.map_err(|error| refused(&error))?, Some(asked_at))
        };
        let status = RestateQueryStatus {
            took_milliseconds: u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX),
            observed_at,
            statement_hash: hash,
            ..told(rows)
        };
        Ok(RestateQuery { status: Some(status), ..object })
    }
}

impl Queries {
    fn admin(&self, cluster: &str) -> Result<Admin, Status> {
        let named = Named { group: "restate.dev", resource: "restateclusters", name: cluster };
        let endpoint = self.world.admin_api(cluster).ok_or_else(|| Status::not_found(named))?;
        let endpoint = endpoint.map_err(|error| Status::conflict(named, error))?;
        Ok(polled(&endpoint))
    }
}

fn told(Rows { columns, rows, cut }: Rows) -> RestateQueryStatus {
    let by = |cut| match cut {
        Cut::Rows => "rows",
        Cut::Bytes => "bytes",
    };
    RestateQueryStatus {
        columns,
        row_count: u32::try_from(rows.len()).unwrap_or(u32::MAX),
        rows,
        truncated: cut.is_some(),
        truncated_by: cut.map(|cut| by(cut).to_owned()),
        ..RestateQueryStatus::default()
    }
}

/// The question and its bounds, or every field that is wrong (E8).
fn valid(name: &str, spec: &RestateQuerySpec) -> Result<(FreeQuery, Bounds), Status> {
    let RestateQuerySpec { cluster, query, limits } = spec;
    let RestateQueryLimits { rows, bytes, seconds } = *limits;
    let mut errors = Vec::new();
    if cluster.is_empty() {
        errors.push(FieldError::required("spec.cluster", "the RestateCluster that is asked"));
    }
    let asked = match FreeQuery::new(query) {
        _ if query.trim().is_empty() => {
            errors.push(FieldError::required("spec.query", "a SELECT or WITH statement"));
            None
        }
        Ok(asked) => Some(asked),
        Err(why) => {
            errors.push(FieldError::invalid("spec.query", query.as_str(), &why.to_string()));
            None
        }
    };
    for (field, value, (_, most)) in [
        ("spec.limits.rows", rows, ROWS),
        ("spec.limits.bytes", bytes, BYTES),
        ("spec.limits.seconds", seconds, SECONDS),
    ] {
        errors.extend(value.and_then(|value| out_of_range(field, value, most)));
    }
    match asked.filter(|_| errors.is_empty()) {
        Some(asked) => Ok((asked, bounds(limits))),
        None => Err(Status::invalid(GROUP, "RestateQuery", name, &errors)),
    }
}

fn out_of_range(field: &str, value: u32, most: u32) -> Option<FieldError> {
    let detail = format!("must be between 1 and {most}");
    (!(1..=most).contains(&value)).then(|| FieldError::invalid(field, value, &detail))
}

fn bounds(limits: &RestateQueryLimits) -> Bounds {
    let size = |given: Option<u32>, (usual, _): (u32, u32)| given.unwrap_or(usual);
    Bounds {
        rows: usize::try_from(size(limits.rows, ROWS)).unwrap_or_default(),
        bytes: usize::try_from(size(limits.bytes, BYTES)).unwrap_or_default(),
        deadline: Duration::from_secs(size(limits.seconds, SECONDS).into()),
    }
}

/// Restate's own words, where the statement is at fault; else it could not tell.
fn refusal(name: &str, spec: &RestateQuerySpec, admin: &Admin, error: &Error) -> Status {
    match fault_of_statement(error) {
        Some(words) => {
            let error = FieldError::invalid("spec.query", spec.query.as_str(), words);
            Status::invalid(GROUP, "RestateQuery", name, &[error])
        }
        None => unsure(&admin.key, error),
    }
}

fn hash(statement: &str) -> String {
    Sha256::digest(statement.as_bytes())
        .iter()
        .fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use restate_client::admin::Refused;
    use rstest::rstest;

    use super::*;
    use crate::resources::tests::retry_after;

    fn spec(cluster: &str, query: &str, limits: RestateQueryLimits) -> RestateQuerySpec {
        RestateQuerySpec { cluster: cluster.to_owned(), query: query.to_owned(), limits }
    }

    fn limits(rows: u32, bytes: u32, seconds: u32) -> RestateQueryLimits {
        RestateQueryLimits { rows: Some(rows), bytes: Some(bytes), seconds: Some(seconds) }
    }

    #[rstest]
    #[case::nothing(spec("", "", RestateQueryLimits::default()), &["spec.cluster", "spec.query"])]
    #[case::a_write(spec("prod", "drop table x", RestateQueryLimits::default()), &["spec.query"])]
    #[case::too_much(spec("prod", "select 1", limits(10_001, 8_388_609, 31)),
        &["spec.limits.rows", "spec.limits.bytes", "spec.limits.seconds"])]
    #[case::too_little(spec("prod", "select 1", limits(0, 1, 1)), &["spec.limits.rows"])]
    fn e8_each_wrong_field_is_named(#[case] spec: RestateQuerySpec, #[case] fields: &[&str]) {
        let status = valid("q", &spec).unwrap_err();
        assert_eq!(status.code().as_u16(), 422);
        let details = status.details.clone().unwrap();
        let named: Vec<_> = details.causes.iter().map(|cause| cause.field.as_str()).collect();
        assert_eq!(named, fields, "{status}");
    }

    #[test]
    fn c12_every_question_is_bounded() {
        let (_, usual) = valid("q", &spec("prod", "select 1", RestateQueryLimits::default())).unwrap();
        let deadline = Duration::from_secs(10);
        assert_eq!(usual, Bounds { rows: 1_000, bytes: 1_048_576, deadline });
        let (_, given) = valid("q", &spec("prod", "select 1", limits(5, 100, 2))).unwrap();
        assert_eq!(given, Bounds { rows: 5, bytes: 100, deadline: Duration::from_secs(2) });
    }

    /// T12: whoever asks is answered by us, not by kube-apiserver's own bound in our place.
    #[test]
    fn t12_every_deadline_is_shorter_than_the_minute_that_kube_apiserver_waits() {
        use restate_client::{action, admin, node, query};

        let longest = Duration::from_secs(SECONDS.1.into());
        for deadline in [
            action::ACTION_DEADLINE,
            admin::READ_DEADLINE,
            admin::REGISTER_DEADLINE,
            admin::DEREGISTER_DEADLINE,
            node::READ_DEADLINE + node::PROVISION_DEADLINE,
            query::USAGE_DEADLINE,
            query::INVOCATIONS_DEADLINE,
            super::super::health::LOGS_DEADLINE,
            longest,
        ] {
            assert!(deadline < Duration::from_mins(1), "{deadline:?}");
        }
        let (_, usual) = valid("q", &spec("prod", "select 1", RestateQueryLimits::default())).unwrap();
        assert!(usual.deadline <= longest);
        let more = spec("prod", "select 1", limits(5, 1024, SECONDS.1 + 1));
        assert!(valid("q", &more).is_err(), "nobody may wait longer");
    }

    /// E10: a query that was too much for Restate would be so again, however often clients repeat it by themselves.
    #[rstest]
    #[case::too_slow(Error::TimedOut { after: Duration::from_secs(10) }, 504)]
    #[case::too_much(Error::Refused(Refused {
        status: http::StatusCode::SERVICE_UNAVAILABLE, code: None, message: "overloaded".to_owned(),
    }), 503)]
    fn e10_a_query_is_not_repeated(#[case] error: Error, #[case] code: u16) {
        let admin = Admin { key: "http://restate.prod:9070/".into(), url: "http://restate.prod:9070".into() };
        let asked = spec("prod", "select 1", RestateQueryLimits::default());
        let status = refusal("q", &asked, &admin, &error);
        assert_eq!((status.code().as_u16(), retry_after(&status)), (code, 0));
    }

    #[test]
    fn c12_the_hash_tells_statements_apart_and_gives_none_away() {
        assert_eq!(
            hash("select 1"),
            "sha256:822ae07d4783158bc1912bb623e5107cc9002d519e1143a9c200ed6ee18b6d0f"
        );
        assert_ne!(hash("select 1"), hash("select 2"));
    }

    #[test]
    fn c12_an_answer_that_was_cut_says_by_what() {
        let rows =
            Rows { columns: vec!["n".to_owned()], rows: vec![serde_json::Map::new()], cut: Some(Cut::Bytes) };
        let status = told(rows);
        assert_eq!(
            (status.row_count, status.truncated, status.truncated_by.as_deref()),
            (1, true, Some("bytes"))
        );
        assert!(!told(Rows::default()).truncated);
    }
}
