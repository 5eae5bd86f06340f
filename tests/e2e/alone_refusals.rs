//! What kube-apiserver refused to our own service accounts while all other tests ran.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use restate_tests::{Audit, Lab, Result, lab::OPERATOR_NAMESPACE};
use serde_json::Value;

/// Rights that Helm has just made are not known to every authorizer yet, and a release that has gone has none.
const SETTLES: SignedDuration = SignedDuration::from_secs(60);

/// When which revision of the release was installed, the oldest first.
async fn installed(lab: &Lab) -> Result<Vec<Timestamp>> {
    let times = r"jsonpath={.items[*].metadata.creationTimestamp}";
    let secrets = ["-n", OPERATOR_NAMESPACE, "get", "secrets", "-l", "owner=helm", "-o", times];
    let text = lab.kubectl()?.run(secrets).await?;
    let mut times: Vec<Timestamp> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    times.sort();
    Ok(times)
}

/// `patch /apis/…`, without the names of objects: those are another one each time.
fn what(request: &Value) -> String {
    let object = &request["objectRef"];
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (resource, subresource) = (text("resource"), text("subresource"));
    let whole = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
    let user = request["user"]["username"].as_str().unwrap_or_default();
    format!("{user}: {} {whole} of {:?}", request["verb"].as_str().unwrap_or_default(), text("apiGroup"))
}

/// users.md 2a (op#35 and its kin): a feature shipped without its right is a 403 for one of our service accounts. The
/// lab's audit log has every request but those for Leases; refusals by admission are others' business.
#[tokio::test]
async fn no_right_was_missing() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: the audit log of a cluster elsewhere is not ours to read");
        return Ok(());
    }
    let installed = installed(&lab).await?;
    let first = *installed.first().context("the release is not installed by Helm")?;
    let ours = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:");
    let audit = Audit::of(&lab)?;
    let seen = audit.requests(&[ours.as_str(), r#""verb":"patch""#])?;
    ensure!(!seen.is_empty(), "the audit log has nothing of ours: it proves nothing");
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    // A kube-apiserver that has just started knows no roles for a moment: what was allowed another time is no right that
    // is missing.
    let allowed = audit.requests(&[ours.as_str(), r#""authorization.k8s.io/decision":"allow""#])?;
    let allowed: BTreeSet<String> = allowed.iter().map(what).collect();
    for request in audit.requests(&[ours.as_str(), r#""authorization.k8s.io/decision":"forbid""#])? {
        let by_us = request["user"]["username"].as_str().is_some_and(|name| name.starts_with(&ours));
        let at = request["requestReceivedTimestamp"].as_str().unwrap_or_default();
        let at: Timestamp = at.parse().with_context(|| format!("no moment: {request}"))?;
        let settles = installed.iter().any(|from| at >= *from && at.duration_since(*from) < SETTLES);
        // What somebody else did in our name is a test about rights.
        let what = what(&request);
        let ours_to_answer = by_us && request["impersonatedUser"].is_null();
        if ours_to_answer && at >= first && !settles && !allowed.contains(&what) {
            *refused.entry(what).or_default() += 1;
        }
    }
    ensure!(refused.is_empty(), "refused, by what and how often: {refused:#?}");
    Ok(())
}
