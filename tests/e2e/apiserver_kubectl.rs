//! Every command of kubectl that people use, against the virtual kinds (aggregated-api.md §13), with the newest kubectl
//! and in the long run also with two older minors.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use restate_tests::{Kubectl, Lab, Namespace, Parked, Result, eventually, kubectl::Answer};
use serde_json::{Value, json};
use tokio::time::Instant;

const RDV: &str = "restatedeploymentversions";
/// What a kind looks like is published by every replica and asked for about once a minute.
const PUBLISHED: Duration = Duration::from_secs(100);
/// A watch may come to the replica that does not know the list before it, and says so (W4); the other one is as likely.
const SAME_REPLICA: Duration = Duration::from_mins(4);
/// kubectl has listed and watches by then, on a busy machine as well.
const WATCHING: Duration = Duration::from_secs(10);

/// A place with three versions: `one` has two of them.
struct Stage {
    kubectl: Kubectl,
    namespace: Namespace,
    parked: Parked,
    names: Vec<String>,
    /// Whether this kubectl is of the newest minor.
    is_newest: bool,
}

impl Stage {
    async fn with(lab: &Lab, (place, kubectl): (usize, Kubectl)) -> Result<Self> {
        let namespace = Namespace::new(lab, "kubectl").await?;
        let parked = Parked::new(lab, &namespace);
        for (name, revision) in [("one", 1), ("two", 1), ("one", 2)] {
            parked.apply(name, revision).await?;
            let wanted = format!("{name}-");
            eventually("a version", Duration::from_mins(1), || async {
                let versions = parked.versions().await?;
                let here = versions.iter().filter(|version| version.starts_with(&wanted)).count();
                Ok(if here >= revision as usize { Ok(()) } else { Err(versions.join(" ")) })
            })
            .await?;
        }
        let mut names = parked.versions().await?;
        names.sort();
        ensure!(names.len() == 3, "{names:?}");
        Ok(Self { kubectl, namespace, parked, names, is_newest: place == 0 })
    }

    /// `kubectl -n NAMESPACE …`, which succeeds.
    async fn run(&self, words: &str) -> Result<String> {
        self.kubectl.run(self.words(words)).await
    }

    /// `kubectl -n NAMESPACE …`, which is refused; its words.
    async fn refused(&self, words: &str, input: Option<&Value>) -> Result<String> {
        let answer = self.kubectl.ask(self.words(words), input).await?;
        ensure!(!answer.successful, "kubectl {words} succeeded: {answer:?}");
        Ok(answer.words)
    }

    fn words(&self, words: &str) -> Vec<String> {
        let own = ["-n", self.namespace.name()].into_iter().chain(words.split_whitespace());
        own.map(|word| word.replace("NAME", &self.names[0])).collect()
    }
}

/// Rows of §13 that read: S1, S8, S10, R1–R4, R7, R9, R12, R15, W1, W5, W12, O4–O8.
#[tokio::test]
async fn kubectl_reads_virtual_kinds_as_any_other() -> Result {
    let lab = Lab::of_this_run()?;
    for kubectl in lab.kubectls()?.into_iter().enumerate() {
        let stage = Stage::with(&lab, kubectl).await?;
        lists(&stage).await?;
        objects(&stage).await?;
        selections(&stage).await?;
        watches(&stage).await?;
        waits(&stage).await?;
        documents(&stage).await?;
    }
    Ok(())
}

fn column(table: &str, index: usize) -> Vec<&str> {
    table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(index)).collect()
}

/// `get`, `-A`, `-o wide`, `-L`, `--show-labels`, `--sort-by`, `--chunk-size`, short name, category.
async fn lists(stage: &Stage) -> Result {
    let table = stage.run("get restatedeploymentversions").await?;
    let head: Vec<_> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(head == ["NAME", "DEPLOYMENT", "STATE", "LATEST", "IN-FLIGHT", "REPLICAS", "AGE"], "{table}");
    ensure!(column(&table, 0) == stage.names, "{table}");
    ensure!(column(&stage.run("get rdv").await?, 0) == stage.names);
    let everywhere = stage.run("get rdv -A").await?;
    ensure!(everywhere.starts_with("NAMESPACE "), "{everywhere}");
    ensure!(stage.names.iter().all(|name| column(&everywhere, 1).contains(&name.as_str())), "{everywhere}");
    ensure!(stage.run("get rdv -o wide").await?.contains("KEPT-BECAUSE"));
    let labelled = stage.run("get rdv -L restate.dev/deployment").await?;
    ensure!(
        labelled.lines().skip(1).all(|line| line.ends_with("one") || line.ends_with("two")),
        "{labelled}"
    );
    ensure!(stage.run("get rdv --show-labels").await?.contains("restate.dev/deployment=one"));
    let sorted = stage.run("get rdv --sort-by=.status.deployment").await?;
    ensure!(column(&sorted, 1) == ["one", "one", "two"], "{sorted}");
    // Whole, whatever portion is asked for: the other replica could not go on with it (R12).
    let whole = stage.run("get rdv --chunk-size=2 -o name").await?;
    ensure!(whole.lines().count() == 3, "{whole}");
    let both = stage.run("get rdv,configmaps").await?;
    ensure!(
        both.contains(&format!("/{}", stage.names[0])),
        "with several kinds the name has its kind: {both}"
    );
    ensure!(!stage.run("get all").await?.contains(RDV), "S10: not in the category of everything");
    Ok(())
}

/// `-o yaml/json/jsonpath/name`, `describe`, `--subresource`, mirrors.
async fn objects(stage: &Stage) -> Result {
    let object: Value = serde_json::from_str(&stage.run("get rdv NAME -o json").await?)?;
    ensure!(
        object["kind"] == "RestateDeploymentVersion" && object["metadata"]["uid"].is_string(),
        "{object}"
    );
    ensure!(stage.run("get rdv NAME -o yaml").await?.contains("apiVersion: control.restate.dev/v1alpha1"));
    ensure!(stage.run("get rdv NAME -o jsonpath={.status.deployment}").await? == "one");
    ensure!(
        stage.run("get rdv NAME -o name").await?.trim()
            == format!("restatedeploymentversion.control.restate.dev/{}", stage.names[0])
    );
    let described = stage.run("describe rdv NAME").await?;
    ensure!(described.contains("Kind:") && described.contains("Events:"), "{described}");
    let sub = "get restatedeployments.control.restate.dev one --subresource=versions -o json";
    let versions = stage.kubectl.ask(stage.words(sub), None).await?;
    // Older ones know status, scale and resize alone (R18).
    let is_old = !stage.is_newest && versions.words.contains("invalid subresource value");
    ensure!(versions.successful || is_old, "{versions:?}");
    let missing = stage.refused("get rdv nothing", None).await?;
    ensure!(
        missing.contains(r#"restatedeploymentversions.control.restate.dev "nothing" not found"#),
        "{missing}"
    );
    Ok(())
}

/// `-l`, `--field-selector`, `--raw`, `kubectl get --raw` with `?pretty`.
async fn selections(stage: &Stage) -> Result {
    let by_label = stage.run("get rdv -l restate.dev/deployment=two -o name").await?;
    ensure!(by_label.lines().count() == 1, "{by_label}");
    let by_set = stage.run("get rdv -l restate.dev/deployment,restate.dev/deployment!=two -o name").await?;
    ensure!(by_set.lines().count() == 2, "{by_set}");
    let by_field = stage.run("get rdv --field-selector=metadata.name=NAME -o name").await?;
    ensure!(by_field.lines().count() == 1, "{by_field}");
    let unknown = stage.refused("get rdv --field-selector=spec.colour=red", None).await?;
    ensure!(unknown.contains("field label not supported: spec.colour"), "{unknown}");
    let path = format!("/apis/control.restate.dev/v1alpha1/namespaces/{}/{RDV}", stage.namespace.name());
    let raw: Value = stage.kubectl.json(["get", "--raw", &path]).await?;
    ensure!(
        raw["kind"] == "RestateDeploymentVersionList"
            && raw["items"].as_array().is_some_and(|items| items.len() == 3)
    );
    let pretty = stage.kubectl.run(["get", "--raw", &format!("{path}?pretty=true")]).await?;
    ensure!(pretty.starts_with("{\n  "), "R15");
    let nowhere = stage.kubectl.ask(["get", "--raw", &format!("{path}/a/b/c")], None).await?;
    ensure!(!nowhere.successful && nowhere.words.contains("NotFound"), "E11: {nowhere:?}");
    Ok(())
}

/// `-w`, `--watch-only`, by name; a table row for each event.
async fn watches(stage: &Stage) -> Result {
    // A Restate that does not answer is waited for by the list before the watch, three seconds at most.
    let watch = async |words: &str| stage.kubectl.ask(stage.words(words), None).await;
    let (all, one) = futures::join!(
        watch("get rdv -w --request-timeout=9s"),
        watch("get rdv NAME -w --request-timeout=9s")
    );
    let (all, one) = (all?, one?);
    ensure!(all.output.starts_with("NAME ") && column(&all.output, 0).len() >= 3, "{all:?}");
    ensure!(
        column(&one.output, 0).iter().all(|name| *name == stage.names[0]) && !one.output.is_empty(),
        "{one:?}"
    );
    let deadline = Instant::now() + SAME_REPLICA;
    while let Some(said) = watch_only(stage).await? {
        if Instant::now() > deadline {
            let waited = SAME_REPLICA.as_secs();
            bail!("waited {waited} s for a watch at the replica that made the list; last seen: {said}");
        }
    }
    Ok(())
}

/// A watch without a list shows a version that is made meanwhile. Or there was no watch: what was said instead.
async fn watch_only(stage: &Stage) -> Result<Option<String>> {
    let change = async {
        tokio::time::sleep(WATCHING).await;
        stage.parked.apply("three", 1).await
    };
    let watch = stage.kubectl.ask(stage.words("get rdv --watch-only --request-timeout=30s"), None);
    let (seen, changed) = futures::join!(watch, change);
    let seen = seen?;
    changed?;
    if column(&seen.output, 1).contains(&"three") {
        return Ok(None);
    }
    let versions = stage.parked.versions().await?;
    let was_made = versions.iter().any(|name| name.starts_with("three-"));
    ensure!(!was_made || was_no_watch(&seen), "the watch lost its event; there are {versions:?}: {seen:?}");
    // The next watch shows it as new.
    stage.parked.delete("three").await?;
    eventually("the third version to go", Duration::from_mins(1), || async {
        let versions = stage.parked.versions().await?;
        let left = versions.iter().any(|name| name.starts_with("three-"));
        Ok(if left { Err(versions.join(" ")) } else { Ok(()) })
    })
    .await?;
    Ok(Some(format!("{seen:?}")))
}

/// The list was unknown where the watch came to, or a request timed out before it was answered, or reached nobody. A
/// watch that ends when its time is up is one, and kubectl succeeds.
fn was_no_watch(seen: &Answer) -> bool {
    let has_timed_out = ["Client.Timeout", "context deadline exceeded", "i/o timeout"];
    let has_timed_out = has_timed_out.iter().any(|words| seen.words.contains(words));
    let was_watching = seen.words.contains("watch stream");
    [&seen.output, &seen.words].iter().any(|text| text.contains("Expired"))
        || (!seen.successful && has_timed_out && !was_watching)
        || seen.has_lost_its_connection()
}

/// `wait` for a condition, a field, creation and deletion.
async fn waits(stage: &Stage) -> Result {
    stage.run("wait --for=jsonpath={.status.deployment}=one rdv/NAME --timeout=10s").await?;
    let later = "wait --for=create rdv -l restate.dev/deployment=three --timeout=30s";
    ensure!(stage.run(later).await?.contains("condition met"));
    let three =
        stage.run("get rdv -l restate.dev/deployment=three -o jsonpath={.items[0].metadata.name}").await?;
    let gone = format!("wait --for=delete rdv/{three} --timeout=60s");
    let (gone, deleted) = futures::join!(stage.run(&gone), stage.parked.delete("three"));
    deleted?;
    gone.context("W13: what is gone is told")?;
    let never = stage.refused("wait --for=condition=Never rdv/NAME --timeout=1s", None).await?;
    ensure!(never.contains("timed out waiting"), "{never}");
    Ok(())
}

/// `explain`, `api-resources`, `api-versions`, `--request-timeout`.
async fn documents(stage: &Stage) -> Result {
    for words in [
        "explain rdv",
        "explain rdv --recursive",
        "explain rdv.status.keptBecause",
        "explain rdv --output=plaintext-openapiv2",
    ] {
        eventually(&format!("kubectl {words}"), PUBLISHED, || async {
            let text = stage.run(words).await?;
            let told = text.contains("control.restate.dev") && !text.contains("<empty>\n\n\n");
            Ok(if told { Ok(()) } else { Err(text) })
        })
        .await?;
    }
    let listed = stage.run("api-resources --api-group=control.restate.dev --verbs=list -o name").await?;
    ensure!(listed.lines().any(|line| line == "restatedeploymentversions.control.restate.dev"), "{listed}");
    let category = stage.run("api-resources --categories=restate -o wide").await?;
    ensure!(category.contains("rdv") && category.contains("get,list,watch"), "{category}");
    ensure!(stage.run("api-versions").await?.lines().any(|line| line == "control.restate.dev/v1alpha1"));
    stage.run("get rdv --request-timeout=5s").await?;
    let logged = stage.kubectl.ask(stage.words("get rdv -v=8"), None).await?;
    ensure!(logged.words.contains("control.restate.dev"), "-v=8 shows the request");
    Ok(())
}

/// Rows of §13 that change things, and who may: C1–C8, A15, Z1, Z9.
#[tokio::test]
async fn kubectl_is_told_what_cannot_be_done_to_virtual_kinds() -> Result {
    let lab = Lab::of_this_run()?;
    for kubectl in lab.kubectls()?.into_iter().enumerate() {
        let stage = Stage::with(&lab, kubectl).await?;
        changes(&stage).await?;
        creates(&stage).await?;
        others(&stage).await?;
    }
    Ok(())
}

/// `delete`, `patch`, `edit`, `replace`, `apply`, `scale`, `diff`.
async fn changes(stage: &Stage) -> Result {
    let object: Value = serde_json::from_str(&stage.run("get rdv NAME -o json").await?)?;
    for (words, input) in [
        ("delete rdv NAME", None),
        ("delete rdv --all", None),
        ("patch rdv NAME --type=merge -p {\"metadata\":{\"labels\":{\"a\":\"b\"}}}", None),
        ("label rdv NAME a=b", None),
        ("annotate rdv NAME a=b", None),
        ("replace -f -", Some(&object)),
        ("apply --server-side --force-conflicts -f -", Some(&object)),
    ] {
        let said = stage.refused(words, input).await?;
        ensure!(said.contains("(MethodNotAllowed)"), "C7, C8: {words}: {said}");
        ensure!(said.contains("is not supported on resources of kind"), "{words}: {said}");
        ensure!(said.contains("use get, list, watch"), "what can be done instead: {words}: {said}");
    }
    // kubectl asks for a subresource that the kind has not.
    let said = stage.refused("scale rdv NAME --replicas=2", None).await?;
    ensure!(said.contains("(NotFound)") || said.contains("could not find the requested resource"), "{said}");
    ensure!(stage.parked.versions().await?.len() == 3, "nothing came of it");
    Ok(())
}

/// `create -f`, `--dry-run=server`, `--validate`, `apply` of what can only be created.
async fn creates(stage: &Stage) -> Result {
    let provision = |spec: Value| {
        json!({
            "apiVersion": "control.restate.dev/v1alpha1", "kind": "RestateClusterProvision",
            "metadata": {"name": "no-such-cluster"}, "spec": spec,
        })
    };
    let plain = provision(json!({}));
    for words in ["create -f -", "create -f - --dry-run=server"] {
        let said = stage.refused(words, Some(&plain)).await?;
        ensure!(said.contains("not found"), "E2, the parent's: {words}: {said}");
    }
    let typo = provision(json!({"colour": "red"}));
    let strict = stage.refused("create -f - --validate=strict --dry-run=server", Some(&typo)).await?;
    ensure!(strict.contains("unknown field") && strict.contains("colour"), "C4: {strict}");
    let warned = stage.refused("create -f - --validate=warn --dry-run=server", Some(&typo)).await?;
    ensure!(!warned.contains("strict decoding error"), "C4: {warned}");
    let ignored = stage.refused("create -f - --validate=ignore --dry-run=server", Some(&typo)).await?;
    ensure!(ignored.contains("not found") && !ignored.contains("colour"), "C4: {ignored}");
    let applied = stage.refused("apply -f -", Some(&plain)).await?;
    ensure!(applied.contains("(MethodNotAllowed)") && applied.contains("use create"), "C7: {applied}");
    Ok(())
}

/// `auth can-i`, `--as`, `--as-group`, `--as-uid`.
async fn others(stage: &Stage) -> Result {
    ensure!(stage.run("auth can-i list rdv").await?.trim() == "yes");
    let someone = stage.kubectl.as_user("nobody-in-particular");
    let answer = someone.ask(stage.words("auth can-i list rdv"), None).await?;
    ensure!(answer.output.trim() == "no", "{answer:?}");
    let sub =
        "auth can-i get restateclusters.control.restate.dev --subresource=proxy --as=nobody-in-particular";
    let answer = stage.kubectl.ask(stage.words(sub), None).await?;
    ensure!(answer.output.trim() == "no", "{answer:?}");
    stage.run("get rdv --as=somebody --as-group=system:masters").await?;
    stage.run("get rdv --as=somebody --as-group=system:masters --as-uid=7").await?;
    let refused = stage.refused("get rdv --as=somebody", None).await?;
    ensure!(refused.contains(r#"User "somebody" cannot list resource"#), "A15: {refused}");
    Ok(())
}
