//! What a wait that came to nothing leaves to read: the object, what stands around it, and what the controller did.
//!
//! Only made when a test fails anyway. Each part stands for itself: one that cannot be read says so and hides no other.

use std::time::Duration;

use serde_json::Value;

use crate::{Kubectl, Lab, Result, lab::OPERATOR_NAMESPACE};

/// Nobody waits longer for one part: a control plane that does not answer is told as such.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of a table: the last ones are the newest.
const ROWS: usize = 40;
/// Of the controller's log.
const LOG_LINES: usize = 60;
/// Of a line.
const WIDTH: usize = 400;
/// How far back the log is read for lines that name the object.
const TAIL: &str = "--tail=20000";

const CONTROLLER: &str = "app.kubernetes.io/component=controller";

/// Everything that may tell why a RestateDeployment is not as it should be, as bounded text.
pub async fn deployment(lab: &Lab, namespace: &str, name: &str) -> String {
    let Ok(kubectl) = lab.kubectl() else { return String::new() };
    let within = |arguments: &[&str]| arguments_in(namespace, arguments);
    let ours = |arguments: &[&str]| arguments_in(OPERATOR_NAMESPACE, arguments);
    let lease = "jsonpath={range .items[*]}{.metadata.name}: held by {.spec.holderIdentity}, renewed {.spec.renewTime}, \
                 {.spec.leaseTransitions} transitions{\"\\n\"}{end}";
    let columns = "custom-columns=LAST:.lastTimestamp,TIME:.eventTime,TYPE:.type,REASON:.reason,\
                   OBJECT:.involvedObject.name,MESSAGE:.message";
    let get = ["get", "restatedeployment", name, "-o", "json"];
    let object = part(&kubectl, within(&get), |text| parsed(text).as_ref().map(object).unwrap_or_default());
    let sets = part(&kubectl, within(&["get", "replicasets,pods", "-o", "wide"]), |text| last(text, ROWS));
    let events = ["get", "events", "--sort-by=.metadata.creationTimestamp", "-o", columns];
    let events = part(&kubectl, within(&events), |text| last(text, ROWS));
    let pods = part(&kubectl, ours(&["get", "pods", "-o", "wide"]), |text| last(text, ROWS));
    let leases = part(&kubectl, ours(&["get", "leases", "-o", lease]), |text| last(text, ROWS));
    let logs = ["logs", "-l", CONTROLLER, "--prefix", "--timestamps", TAIL];
    let log = part(&kubectl, ours(&logs), |text| log_of(text, name));
    let (object, sets, events, pods, leases, log) = tokio::join!(object, sets, events, pods, leases, log);
    let parts = [
        (format!("{name}, as stored"), object),
        (format!("in namespace {namespace}"), sets),
        ("events there".to_owned(), events),
        (format!("pods of {OPERATOR_NAMESPACE}"), pods),
        ("Leases".to_owned(), leases),
        (format!("the controller about {name}"), log),
    ];
    let parts: Vec<_> =
        parts.iter().map(|(title, text)| format!("--- {title}\n{}\n", text.trim_end())).collect();
    parts.concat()
}

fn arguments_in(namespace: &str, arguments: &[&str]) -> Vec<String> {
    ["-n", namespace].iter().chain(arguments).map(|&part| part.to_owned()).collect()
}

async fn part(kubectl: &Kubectl, arguments: Vec<String>, read: impl FnOnce(&str) -> String) -> String {
    let asked: Result<Result<String>, _> = tokio::time::timeout(PATIENCE, kubectl.run(arguments)).await;
    match asked {
        Ok(Ok(text)) => read(&text),
        Ok(Err(error)) => format!("cannot be read: {error:#}"),
        Err(_) => format!("cannot be read: no answer within {} s", PATIENCE.as_secs()),
    }
}

fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// What is stored, in lines: which generation was seen, conditions, versions.
fn object(stored: &Value) -> String {
    let (meta, status) = (&stored["metadata"], &stored["status"]);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines = vec![format!(
        "generation {} of which {} was seen, resourceVersion {}, deleted {}, annotations {}",
        meta["generation"],
        status["observedGeneration"],
        text(&meta["resourceVersion"]),
        text(&meta["deletionTimestamp"]),
        meta["annotations"],
    )];
    for it in status["conditions"].as_array().into_iter().flatten() {
        lines.push(format!(
            "{}={} since {}: {}: {}",
            text(&it["type"]),
            text(&it["status"]),
            text(&it["lastTransitionTime"]),
            text(&it["reason"]),
            text(&it["message"]),
        ));
    }
    lines.extend(status["versions"].as_array().into_iter().flatten().map(Value::to_string));
    last(&lines.join("\n"), ROWS)
}

/// Lines that name the object, and those about who acts.
fn log_of(text: &str, name: &str) -> String {
    let about = |line: &&str| [name, "Lease", "acts from now on"].iter().any(|word| line.contains(word));
    let lines: Vec<_> = text.lines().filter(about).collect();
    last(&lines.join("\n"), LOG_LINES)
}

fn last(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines[from..].iter().map(|line| cut(line)).collect::<Vec<_>>().join("\n")
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_told_in_lines() {
        let stored = json!({
            "metadata": {"generation": 3, "resourceVersion": "17"},
            "status": {
                "observedGeneration": 2,
                "conditions": [{"type": "Ready", "status": "False", "reason": "PodsNotReady", "message": "0 of 1",
                                "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                "versions": [{"name": "a-1", "state": "Pending"}],
            },
        });
        let text = object(&stored);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "generation 3 of which 2 was seen, resourceVersion 17, deleted null, annotations null"
        );
        assert_eq!(lines[1], "Ready=False since 2026-01-01T00:00:00Z: PodsNotReady: 0 of 1");
        assert!(lines[2].contains("Pending") && lines.len() == 3, "{text}");
        assert_eq!(object(&Value::Null).lines().count(), 1, "nothing stored is told as well");
    }

    #[test]
    fn a_log_is_cut_to_what_it_says_about_the_object() {
        let noise = (0..500).map(|at| format!("{at} about another\n{at} about mine-1 {}", "x".repeat(1000)));
        let text = noise.collect::<Vec<_>>().join("\n") + "\nthe Lease is lost";
        let told = log_of(&text, "mine-1");
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), LOG_LINES);
        assert!(lines.iter().all(|line| !line.contains("another") && line.chars().count() <= WIDTH + 1));
        assert_eq!(lines.last(), Some(&"the Lease is lost"), "the newest are kept");
    }
}
