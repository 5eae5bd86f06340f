//! The same requests to `k8s.io/sample-apiserver` and to ours, both behind the same aggregation layer: codes, headers
//! and shapes are the same, but for the differences that [`differences::KNOWN`] explains.

mod differences;
mod requests;
mod sample;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Request;
use kube::client::Body;
use restate_tests::{Lab, Namespace, Parked, Result, eventually};
use serde_json::Value;

use differences::{ALL, KNOWN, Known};
use requests::{Case, cases};
use sample::Sample;
use shape::shape;

/// Longer than any watch of these requests wants to last.
const ENDLESS: Duration = Duration::from_secs(15);

/// Warnings are about this very cluster; `nosniff` on refusals is ours (P11), and no client minds; whether a connection
/// is closed under a body that is too long depends on how much of it was sent.
const VARYING: [&str; 4] = ["warning", "x-content-type-options", "date", "connection"];

/// One of the two servers, by the words that differ between them.
#[derive(Clone, Debug)]
struct Side {
    group: &'static str,
    version: &'static str,
    /// A namespaced kind that can be read: plural, singular kind.
    readable: (&'static str, &'static str),
    /// A kind of the cluster that can be created.
    creatable: (&'static str, &'static str),
    namespace: String,
    name: String,
}

/// What was answered, without what belongs to one server alone.
#[derive(Debug, PartialEq)]
struct Answer {
    parts: BTreeMap<&'static str, String>,
}

/// P11, R1–R7, R12–R15, W1–W12, C1–C5, E1–E8, Z9, O4–O5, S8: a table of requests in [`requests`].
#[tokio::test]
async fn our_answers_are_those_of_the_sample_apiserver() -> Result {
    let lab = Lab::of_this_run()?;
    let sample = Sample::start(&lab).await?;
    let theirs = sample.side();
    let namespace = Namespace::new(&lab, "golden").await?;
    let ours = ours(&lab, &namespace).await?;
    let client = lab.client_without_retry().await?;
    let mut found = BTreeSet::new();
    let mut shown = Vec::new();
    for case in cases() {
        let expected = ask(&client, &case, &theirs).await?;
        let seen = ask(&client, &case, &ours).await?;
        for (part, text) in &expected.parts {
            let ours = seen.parts.get(part).map(String::as_str).unwrap_or_default();
            if ours != text {
                found.insert((case.name, *part));
                shown.push(format!("{} {part}\n  theirs: {text}\n  ours:   {ours}", case.name));
            }
        }
    }
    let fits = |(case, part): &(&str, &str), known: &Known| {
        *part == known.part && (known.cases == ALL || known.cases.contains(case))
    };
    let new: Vec<_> = found.iter().filter(|seen| !KNOWN.iter().any(|known| fits(seen, known))).collect();
    let gone = KNOWN.iter().flat_map(|known| known.cases.iter().map(move |case| (*case, known.part)));
    let gone: Vec<_> = gone.filter(|each| each.0 != "*" && !found.contains(each)).collect();
    ensure!(new.is_empty() && gone.is_empty(), "new: {new:?}\ngone: {gone:?}\n{}", shown.join("\n"));
    Ok(())
}

async fn ours(lab: &Lab, namespace: &Namespace) -> Result<Side> {
    let parked = Parked::new(lab, namespace);
    parked.apply("golden", 1).await?;
    let name = eventually("a version", Duration::from_mins(1), || async {
        let versions = parked.versions().await?;
        Ok(versions.into_iter().next().ok_or_else(|| "none".to_owned()))
    })
    .await?;
    Ok(Side {
        group: "control.restate.dev",
        version: "v1alpha1",
        readable: ("restatedeploymentversions", "RestateDeploymentVersion"),
        creatable: ("restateclusterprovisions", "RestateClusterProvision"),
        namespace: namespace.name().to_owned(),
        name,
    })
}

async fn ask(client: &kube::Client, case: &Case, side: &Side) -> Result<Answer> {
    let path = if case.path.starts_with('/') {
        side.of(case.path)
    } else {
        side.of(&format!("/apis/{{group}}/{{version}}/{}", case.path)).trim_end_matches('/').to_owned()
    };
    let mut request = Request::builder().method(case.method).uri(path);
    for (name, value) in &case.headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(side.of(&case.body).into_bytes()))?;
    let (head, body) = client.send(request).await.with_context(|| case.name)?.into_parts();
    // What one of them refuses the other may take for a watch without end.
    let body = tokio::time::timeout(ENDLESS, body.collect_bytes()).await;
    let body =
        body.map_or_else(|_| Ok(Bytes::from_static(b"endless")), |body| body.with_context(|| case.name))?;
    let text = side.without(&String::from_utf8_lossy(&body));
    let header = |name: &str| {
        let values = head.headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
        side.without(&values.collect::<Vec<_>>().join(" + "))
    };
    let names = head.headers.keys().map(http::HeaderName::as_str).filter(|name| !VARYING.contains(name));
    let names: BTreeSet<_> = names.collect();
    let mut parts = BTreeMap::from([
        ("code", head.status.as_str().to_owned()),
        ("content-type", header("content-type")),
        ("cache-control", header("cache-control")),
        ("audit-id", head.headers.get_all("audit-id").iter().count().to_string()),
        ("headers", names.into_iter().collect::<Vec<_>>().join(" ")),
        ("shape", shape(&text)),
    ]);
    let status: Value = serde_json::from_str(&text).unwrap_or_default();
    if status["kind"] == "Status" {
        parts.insert("reason", status["reason"].to_string());
        parts.insert("message", status["message"].to_string());
        parts.insert("details", status["details"].to_string());
    }
    Ok(Answer { parts })
}

impl Side {
    /// A template in the words of this server.
    fn of(&self, template: &str) -> String {
        self.words().iter().fold(template.to_owned(), |text, (place, word)| text.replace(place, word))
    }

    /// A text of this server without its words.
    fn without(&self, text: &str) -> String {
        self.words().iter().fold(text.to_owned(), |text, (place, word)| text.replace(word.as_str(), place))
    }

    /// Longer words first: one may be a part of another.
    fn words(&self) -> Vec<(&'static str, String)> {
        let mut words = vec![
            ("{namespace}", self.namespace.clone()),
            ("{name}", self.name.clone()),
            ("{readable}", self.readable.0.to_owned()),
            ("{Readable}", self.readable.1.to_owned()),
            ("{creatable}", self.creatable.0.to_owned()),
            ("{Creatable}", self.creatable.1.to_owned()),
            ("{group}", self.group.to_owned()),
            ("{version}", self.version.to_owned()),
        ];
        words.sort_by_key(|(_, word)| std::cmp::Reverse(word.len()));
        words
    }
}
