//! Questions in SQL: answered within limits, refused in Restate's words, and in the audit log by their hash.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use restate_tests::lab::OPERATOR_NAMESPACE;
use restate_tests::{Kubectl, Lab, Restate, Result, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

fn question(cluster: &str, query: &str, limits: &Value) -> Value {
    json!({
        "apiVersion": "control.restate.dev/v1alpha1",
        "kind": "RestateQuery",
        "metadata": {"generateName": "e2e-"},
        "spec": {"cluster": cluster, "query": query, "limits": limits},
    })
}

/// The answer to a question, which is asked again where Restate broke it off: one of its scans failed.
async fn answered(kubectl: &Kubectl, question: &Value) -> Result<Value> {
    match kubectl.create(question).await {
        Err(_) => kubectl.create(question).await,
        answer => answer,
    }
}

/// C2, C12: rows in the order of the statement's columns, cut at the limits, and it says so.
#[tokio::test]
async fn a_question_is_answered_within_its_limits() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, kubectl) = (Restate::shared(&lab).await?, lab.kubectl()?);
    let sql = "select n as zulu, n * 2 as alpha from (values (1), (2), (3)) as t(n) order by n";
    let whole = answered(&kubectl, &question(restate.name(), sql, &json!({}))).await?;
    let status = &whole["status"];
    ensure!(status["columns"] == json!(["zulu", "alpha"]), "{status}");
    ensure!(status["rows"][2] == json!({"zulu": 3, "alpha": 6}), "{status}");
    ensure!((&status["rowCount"], &status["truncated"]) == (&json!(3), &json!(false)), "{status}");
    ensure!(whole["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("e2e-")), "{whole}");

    let cut = answered(&kubectl, &question(restate.name(), sql, &json!({"rows": 2}))).await?;
    ensure!(cut["status"]["rowCount"] == 2 && cut["status"]["truncatedBy"] == "rows", "{cut}");
    let long = "select value from generate_series(1, 500000)";
    let limits = json!({"rows": 10000, "bytes": 5000});
    let cut = answered(&kubectl, &question(restate.name(), long, &limits)).await?;
    let rows = cut["status"]["rows"].as_array().context("no rows")?.len();
    ensure!(cut["status"]["truncatedBy"] == "bytes" && rows > 10 && rows < 1000, "{rows}");
    Ok(())
}

/// C3, C12, E2, E8: what is wrong is said before anything is asked, or in Restate's own words.
#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_the_reason() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, kubectl) = (Restate::shared(&lab).await?, lab.kubectl()?);
    let usual = json!({});
    for (cluster, query, limits, words) in [
        (restate.name(), "selec 1", usual.clone(), "only one SELECT or WITH"),
        (restate.name(), "drop table sys_invocation", usual.clone(), "only one SELECT or WITH"),
        (restate.name(), "select 1; select 2", usual.clone(), "single SQL statement"),
        (restate.name(), "select * into x from sys_service", usual.clone(), "not supported"),
        (restate.name(), "select nothing from sys_invocation", usual.clone(), "No field named nothing"),
        (restate.name(), "select * from nowhere", usual.clone(), "not found"),
        (restate.name(), "select 1", json!({"seconds": 31}), "spec.limits.seconds"),
        (restate.name(), "", usual.clone(), "spec.query: Required value"),
        ("no-such-cluster", "select 1", usual.clone(), "\"no-such-cluster\" not found"),
    ] {
        let object = question(cluster, query, &limits);
        for dry_run in ["--dry-run=none", "--dry-run=server"] {
            let answer = kubectl.ask(["create", "-f", "-", dry_run], Some(&object)).await?;
            ensure!(!answer.successful && answer.words.contains(words), "{query} {dry_run}: {answer:?}");
        }
    }
    let dry = ["create", "-f", "-", "--dry-run=server", "-o", "json"];
    let planned = kubectl.ask(dry, Some(&question(restate.name(), "select 1 as n", &usual))).await?;
    let planned: Value = serde_json::from_str(&planned.output).with_context(|| planned.words.clone())?;
    ensure!(planned["status"]["rows"] == json!([]), "{planned}");
    ensure!(planned["status"].get("observedAt").is_none(), "{planned}");
    Ok(())
}

/// C12, M8: the audit log has the hash, and never the statement.
#[tokio::test]
async fn the_audit_log_has_the_hash_of_a_statement_and_not_its_text() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, kubectl) = (Restate::shared(&lab).await?, lab.kubectl()?);
    let secret = Uuid::new_v4().simple().to_string();
    let sql = format!("select '{secret}' as secret");
    let answer = answered(&kubectl, &question(restate.name(), &sql, &json!({}))).await?;
    ensure!(answer["status"]["rows"][0]["secret"] == secret.as_str(), "{answer}");
    let hash = answer["status"]["statementHash"].as_str().context("no hash")?;
    eventually("the line in the audit log", Duration::from_secs(20), || async {
        let selector = "app.kubernetes.io/component=apiserver";
        let logs = ["-n", OPERATOR_NAMESPACE, "logs", "-l", selector, "--tail=5000"];
        let lines = kubectl.run(logs).await?;
        ensure!(!lines.contains(&secret), "the statement is in the log");
        let line = lines.lines().find(|line| line.contains(hash) && line.contains("restatequeries"));
        Ok(line.map(drop).ok_or_else(|| format!("{} lines without {hash}", lines.lines().count())))
    })
    .await
}
