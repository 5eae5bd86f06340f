//! A RestateDeployment of the small service, and what the aggregated API says about its versions.

use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use serde_json::{Value, json};

use crate::{Lab, Namespace, Restate, Result, explain, lab::Image, wait};

/// Pods that start, a registration, and the pauses between tries on a slow machine.
const ROLLED_OUT: Duration = Duration::from_mins(2);
/// A call that is sent, and its first attempt.
const BOUND: Duration = Duration::from_secs(30);

/// One RestateDeployment, named after its namespace: service names are global in a Restate.
#[derive(Clone, Debug)]
pub struct Service {
    lab: Lab,
    namespace: String,
    register: Value,
}

/// A version, as `kubectl get restatedeploymentversions -o json` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Version(Value);

impl Service {
    /// A service that registers with a RestateCluster; it exists when it is applied.
    pub fn new(lab: &Lab, namespace: &Namespace, restate: &Restate) -> Self {
        Self::registered(lab, namespace, json!({"cluster": restate.name()}))
    }

    /// A service that registers elsewhere: `{"url": …}`.
    pub fn registered(lab: &Lab, namespace: &Namespace, register: Value) -> Self {
        Self { lab: lab.clone(), namespace: namespace.name().to_owned(), register }
    }

    /// The name of the RestateDeployment and of the service in Restate: it has no equal in this Restate.
    pub fn name(&self) -> &str {
        &self.namespace
    }

    /// The name under which the object with a lock is served.
    pub fn counter(&self) -> String {
        format!("{}-counter", self.name())
    }

    /// The name under which the workflow is served that ends when it is told to.
    pub fn job(&self) -> String {
        format!("{}-job", self.name())
    }

    /// The object, in the version of an image.
    pub fn object(&self, image: &str) -> Value {
        let name = self.name();
        json!({
            "apiVersion": "restate.dev/v1beta1",
            "kind": "RestateDeployment",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": name}},
                "restate": {"register": self.register, "drainDelaySeconds": 2},
                "template": {
                    "metadata": {"labels": self.labels()},
                    "spec": {
                        "terminationGracePeriodSeconds": 1,
                        "securityContext": {
                            "runAsNonRoot": true,
                            "runAsUser": 65532,
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [{
                            "name": "service",
                            "image": image,
                            "imagePullPolicy": "IfNotPresent",
                            "env": [{"name": "SERVICE_NAME", "value": name}],
                            "ports": [{"name": "restate", "containerPort": 9080}],
                            "securityContext": {
                                "allowPrivilegeEscalation": false,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }],
                    },
                },
            },
        })
    }

    /// Applies the version of an image.
    pub async fn apply(&self, image: Image) -> Result {
        let object = self.object(&self.lab.image(image)?);
        self.lab.kubectl()?.apply(&object).await
    }

    /// Applies the version of an image, with something else changed beside it.
    pub async fn apply_with(&self, image: Image, change: impl FnOnce(&mut Value)) -> Result {
        let mut object = self.object(&self.lab.image(image)?);
        change(&mut object);
        self.lab.kubectl()?.apply(&object).await
    }

    /// Changes the stored object, as `kubectl patch --type=merge` does.
    pub async fn patch(&self, patch: &Value) -> Result {
        let patch = patch.to_string();
        let command = ["patch", "restatedeployment", self.name(), "--type=merge", "-p", &patch];
        self.kubectl(command).await.map(drop)
    }

    /// The stored object.
    pub async fn stored(&self) -> Result<Value> {
        self.lab.kubectl()?.json(self.within(["get", "restatedeployment", self.name(), "-o", "json"])).await
    }

    /// What `kubectl describe` says about it, events and all.
    pub async fn described(&self) -> Result<String> {
        self.kubectl(["describe", "restatedeployment", self.name()]).await
    }

    /// Waits until `kubectl describe` says these words.
    pub async fn describes(&self, words: &[&str]) -> Result {
        let look = || async {
            let text = self.described().await?;
            Ok(if words.iter().all(|word| text.contains(word)) { Ok(()) } else { Err(text) })
        };
        self.eventually(&format!("`kubectl describe` to say {words:?}"), ROLLED_OUT, look).await
    }

    /// Waits for a warning about it with this reason and these words, and gives all that have the reason.
    pub async fn warned(&self, reason: &str, words: &str) -> Result<Vec<Value>> {
        let look = || async {
            let list = self.lab.kubectl()?.json(self.within(["get", "events", "-o", "json"])).await?;
            let about = |event: &&Value| {
                event["involvedObject"]["name"] == self.name()
                    && event["type"] == "Warning"
                    && event["reason"] == reason
            };
            let found: Vec<_> =
                list["items"].as_array().into_iter().flatten().filter(about).cloned().collect();
            let has = |event: &Value| event["message"].as_str().is_some_and(|text| text.contains(words));
            let told = found.iter().any(has);
            Ok(if told { Ok(found) } else { Err(format!("{found:?}")) })
        };
        self.eventually(&format!("a warning {reason} about {}", self.name()), ROLLED_OUT, look).await
    }

    /// The same, and that it was said once: also after a while there is one event, which is no series.
    pub async fn warned_once(&self, reason: &str, words: &str) -> Result {
        self.warned(reason, words).await?;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let found = self.warned(reason, words).await?;
        ensure!(found.len() == 1 && found[0]["series"].is_null(), "said again: {found:?}");
        Ok(())
    }

    /// Waits as [`wait::eventually`] does; what came to nothing explains itself.
    pub async fn eventually<T, F>(&self, what: &str, limit: Duration, look: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<Result<T, String>>>,
    {
        match wait::eventually(what, limit, look).await {
            Ok(found) => Ok(found),
            Err(error) => {
                let around = explain::deployment(&self.lab, &self.namespace, self.name()).await;
                Err(anyhow!("{error:#}\n{around}"))
            }
        }
    }

    /// Asks for its deletion and does not wait.
    pub async fn delete(&self) -> Result {
        self.kubectl(["delete", "restatedeployment", self.name(), "--wait=false"]).await.map(drop)
    }

    /// Waits until it and everything that belonged to it is gone.
    pub async fn gone(&self, limit: Duration) -> Result {
        let kinds = "restatedeployments.restate.dev,replicasets,services,horizontalpodautoscalers";
        let look = || async {
            let left = self.kubectl(["get", kinds, "-o", "name"]).await?;
            Ok(if left.trim().is_empty() { Ok(()) } else { Err(left) })
        };
        self.eventually(&format!("{} to go", self.name()), limit, look).await
    }

    /// The replica set of a version, or whatever else has its name.
    pub async fn object_of(&self, kind: &str, version: &Version) -> Result<Value> {
        self.lab.kubectl()?.json(self.within(["get", kind, version.name(), "-o", "json"])).await
    }

    /// kubectl within the service's namespace.
    pub async fn kubectl<'a>(&'a self, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
        self.lab.kubectl()?.run(self.within(arguments)).await
    }

    fn within<'a>(&'a self, arguments: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
        ["-n", self.namespace.as_str()].into_iter().chain(arguments)
    }

    /// Applies the version of an image and waits until new calls go to it.
    pub async fn roll_out(&self, image: Image) -> Result<Version> {
        self.apply(image).await?;
        self.version(image, |version| version.state() == "Current").await
    }

    /// Waits until the version of an image is as it should be.
    pub async fn version(&self, image: Image, wanted: impl Fn(&Version) -> bool) -> Result<Version> {
        let name = self.lab.image(image)?;
        let look = || async {
            let versions = self.versions().await?;
            let found = versions.iter().find(|version| version.image() == name && wanted(version));
            Ok(found.cloned().ok_or_else(|| summary(&versions)))
        };
        self.eventually(&format!("the version {name} of {}", self.name()), ROLLED_OUT, look).await
    }

    /// The first version that is not this one, once there is one that is as it should be.
    pub async fn other(&self, than: &Version, wanted: impl Fn(&Version) -> bool) -> Result<Version> {
        let look = || async {
            let versions = self.versions().await?;
            let found = versions.iter().find(|version| version.name() != than.name() && wanted(version));
            Ok(found.cloned().ok_or_else(|| summary(&versions)))
        };
        self.eventually(&format!("another version of {}", self.name()), ROLLED_OUT, look).await
    }

    /// Waits until its job is bound to this version: what was sent is bound only when it is tried.
    pub async fn job_is_bound(&self, restate: &Restate, version: &Version) -> Result {
        let look = || async {
            let found = restate.invocations(&self.job(), "run").await?;
            let bound = found.iter().any(|(id, _)| id == version.deployment_id());
            Ok(if bound { Ok(()) } else { Err(format!("{found:?}")) })
        };
        self.eventually("the job to be bound to its version", BOUND, look).await
    }

    /// Waits until the version of an image is retired or gone.
    pub async fn retired(&self, image: Image, limit: Duration) -> Result {
        let name = self.lab.image(image)?;
        let look = || async {
            let versions = self.versions().await?;
            let left = versions.iter().any(|version| version.image() == name && version.state() != "Retired");
            Ok(if left { Err(summary(&versions)) } else { Ok(()) })
        };
        self.eventually(&format!("the version {name} of {} to retire", self.name()), limit, look).await
    }

    /// All versions, as the aggregated API has them.
    pub async fn versions(&self) -> Result<Vec<Version>> {
        let get = ["-n", &self.namespace, "get", "restatedeploymentversions", "-o", "json"];
        let list = self.lab.kubectl()?.json(get).await?;
        let items = list["items"].as_array().with_context(|| format!("no list: {list}"))?;
        Ok(items.iter().cloned().map(Version).collect())
    }

    /// Waits until a condition of the RestateDeployment has this status, and gives reason and message.
    pub async fn condition(&self, kind: &str, status: &str) -> Result<(String, String)> {
        self.condition_with(kind, status, "").await
    }

    /// The same, with words in its message.
    pub async fn condition_with(&self, kind: &str, status: &str, words: &str) -> Result<(String, String)> {
        let kubectl = self.lab.kubectl()?;
        let look = || async {
            let get = ["-n", &self.namespace, "get", "restatedeployment", self.name(), "-o", "json"];
            let object = kubectl.json(get).await?;
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let text =
                |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
            let found = conditions.iter().find(|condition| {
                condition["type"] == kind
                    && condition["status"] == status
                    && text(condition, "message").contains(words)
            });
            let found = found.map(|condition| (text(condition, "reason"), text(condition, "message")));
            Ok(found.ok_or_else(|| format!("{conditions:?}")))
        };
        self.eventually(&format!("{kind}={status} on {}", self.name()), ROLLED_OUT, look).await
    }

    fn labels(&self) -> Value {
        let mut labels = json!({"app": self.name()});
        if let Some(cluster) = self.register["cluster"].as_str() {
            labels[format!("allow.restate.dev/{cluster}")] = "true".into();
        }
        labels
    }
}

impl Version {
    /// Its name, which is its ReplicaSet's.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    /// `Current`, `Draining`, …
    pub fn state(&self) -> &str {
        self.text("/status/state")
    }

    /// Restate's id of it.
    pub fn deployment_id(&self) -> &str {
        self.text("/status/deploymentId")
    }

    /// The image of its only container.
    pub fn image(&self) -> &str {
        self.text("/status/images/0")
    }

    /// When it goes, as recorded.
    pub fn remove_at(&self) -> Option<&str> {
        self.0.pointer("/status/removeAt").and_then(Value::as_str)
    }

    /// How many pods it should have.
    pub fn desired(&self) -> Option<i64> {
        self.0.pointer("/status/replicas/desired").and_then(Value::as_i64)
    }

    /// Unfinished invocations that can resume nowhere else; none if Restate could not tell.
    pub fn pinned(&self) -> Option<u64> {
        self.0.pointer("/status/invocations/pinned").and_then(Value::as_u64)
    }

    /// Why it is still there.
    pub fn kept_because(&self) -> Vec<&str> {
        let reasons = self.0.pointer("/status/keptBecause").and_then(Value::as_array);
        reasons.into_iter().flatten().filter_map(|kept| kept["reason"].as_str()).collect()
    }

    /// The whole object.
    pub fn json(&self) -> &Value {
        &self.0
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

fn summary(versions: &[Version]) -> String {
    let line = |version: &Version| {
        let pinned = version.pinned().map_or_else(|| "?".to_owned(), |pinned| pinned.to_string());
        format!("{} {} {} ({pinned} pinned)", version.name(), version.state(), version.image())
    };
    if versions.is_empty() {
        "no versions".to_owned()
    } else {
        versions.iter().map(line).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_by_the_names_of_the_contract() {
        let version = Version(json!({
            "metadata": {"name": "a-1", "uid": "u"},
            "status": {
                "state": "Draining", "deploymentId": "dp_1", "images": ["x:1"], "invocations": {"pinned": 2},
                "keptBecause": [{"reason": "PinnedInvocations", "count": 2}],
            },
        }));
        assert_eq!((version.name(), version.state(), version.deployment_id()), ("a-1", "Draining", "dp_1"));
        assert_eq!(
            (version.image(), version.pinned(), version.kept_because()),
            ("x:1", Some(2), vec!["PinnedInvocations"])
        );
        assert_eq!(summary(&[version]), "a-1 Draining x:1 (2 pinned)");
    }

    #[test]
    fn unknown_is_not_zero() {
        let version = Version(json!({"metadata": {"name": "a-1"}, "status": {"state": "Unknown"}}));
        assert_eq!(version.pinned(), None);
        assert_eq!(summary(&[version]), "a-1 Unknown  (? pinned)");
    }
}
