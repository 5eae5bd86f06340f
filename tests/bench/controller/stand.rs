//! What is measured on: a Restate of its own, pods in name only, and one real pod that answers for all of them.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use restate_tests::{Lab, Namespace, Restate, Result, eventually, lab::Image};
use serde_json::{Value, json};

/// How many requests are under way while many objects are made.
const AT_A_TIME: usize = 10;
/// Until many objects are gone.
const GONE: Duration = Duration::from_mins(10);
/// Milliseconds until a pod is ready: as long as the quickest real ones. The node's rules for a new Service need a
/// second, too, and who registers before they are there waits for a connection.
const START: &str = "2000";
/// In whose place all pods answer.
const ANSWERING: &str = "answers-for-all";

/// What is measured on.
pub(super) struct Stand {
    pub(super) lab: Lab,
    pub(super) restate: Restate,
    /// Restate's own address.
    pub(super) host: String,
    pub(super) client: Client,
    namespace: Namespace,
    image: String,
}

/// Whose pods are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Subject {
    /// A RestateDeployment each.
    Ours,
    /// A Deployment and a Service each, made by nobody but the client.
    Kubernetes,
}

impl Stand {
    /// Makes it, with a few nodes in name only.
    pub(super) async fn new(lab: &Lab) -> Result<Self> {
        // Restate writes its registry to each partition: with 24 a registration takes it seven times as long as with one.
        let config =
            json!({"config": "default-num-partitions = 1\nrocksdb-total-memory-size = \"512 MiB\"\n"});
        let restate = Restate::own(lab, "bench", &config).await?;
        let namespace = Namespace::new(lab, "bench").await?;
        let kubectl = lab.kubectl()?;
        let get = ["-n", restate.name(), "get", "service", "restate", "-o", "jsonpath={.spec.clusterIP}"];
        let host = kubectl.run(get).await?;
        let image = lab.image(Image::GreeterV1)?;
        kubectl.apply(&answering(namespace.name(), &image)).await?;
        let pod = format!("pod/{ANSWERING}");
        let of = ["-n", namespace.name()];
        kubectl.run(of.into_iter().chain(["wait", &pod, "--for=condition=Ready", "--timeout=60s"])).await?;
        let address =
            kubectl.run(of.into_iter().chain(["get", &pod, "-o", "jsonpath={.status.podIP}"])).await?;
        lab.command(&["nodes", "5", "--address", &address, "--delay", START]).await?;
        Ok(Self { lab: lab.clone(), restate, host, client: lab.client().await?, namespace, image })
    }

    /// The namespace of everything that is made.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// Objects of this kind.
    pub(super) fn api(&self, subject: Subject) -> Api<DynamicObject> {
        let (group, version, kind) = match subject {
            Subject::Ours => ("restate.dev", "v1beta1", "RestateDeployment"),
            Subject::Kubernetes => ("apps", "v1", "Deployment"),
        };
        self.objects(group, version, kind)
    }

    /// Replica sets.
    pub(super) fn replica_sets(&self) -> Api<DynamicObject> {
        self.objects("apps", "v1", "ReplicaSet")
    }

    /// Makes so many of them, which register with the stand's Restate.
    pub(super) async fn create(&self, subject: Subject, count: usize) -> Result {
        self.create_at(subject, count, &json!({"cluster": self.restate.name()})).await
    }

    /// The same, registered elsewhere.
    pub(super) async fn create_at(&self, subject: Subject, count: usize, register: &Value) -> Result {
        let (api, services) = (self.api(subject), self.objects("", "v1", "Service"));
        let create = |number: usize| {
            let (api, services) = (api.clone(), services.clone());
            async move {
                let params = PostParams::default();
                if subject == Subject::Kubernetes {
                    services.create(&params, &serde_json::from_value(service(number))?).await?;
                }
                api.create(&params, &serde_json::from_value(self.object(subject, number, register))?).await?;
                Ok::<_, anyhow::Error>(())
            }
        };
        stream::iter(0..count).map(create).buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// Gives them another template.
    pub(super) async fn roll(
        &self,
        subject: Subject,
        numbers: std::ops::Range<usize>,
        version: &str,
    ) -> Result {
        let api = self.api(subject);
        let patch = json!({"spec": {"template": {"spec": {"containers": [self.container(version)]}}}});
        let roll = |number: usize| {
            let (api, patch) = (api.clone(), Patch::Merge(patch.clone()));
            async move {
                api.patch(&name(number), &PatchParams::default(), &patch).await?;
                Ok::<_, anyhow::Error>(())
            }
        };
        stream::iter(numbers).map(roll).buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// Deletes them, and waits until nothing is left of them.
    pub(super) async fn clear(&self, subject: Subject) -> Result {
        self.api(subject).delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        if subject == Subject::Kubernetes {
            let services = self.objects("", "v1", "Service");
            services.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        }
        eventually("all to be gone", GONE, || async {
            let left = ListParams::default().labels("bench").limit(1);
            let objects = self.api(subject).list(&ListParams::default().limit(1)).await?.items.len();
            let pods = self.objects("", "v1", "Pod").list(&left).await?.items.len();
            let sets = self.replica_sets().list(&ListParams::default().limit(1)).await?.items.len();
            let all = objects + pods + sets;
            Ok(if all == 0 { Ok(()) } else { Err("some are left".to_owned()) })
        })
        .await
    }

    /// Takes away the nodes in name only.
    pub(super) async fn tear_down(&self) -> Result {
        self.clear(Subject::Ours).await?;
        self.lab.command(&["nodes", "0"]).await
    }

    fn objects(&self, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), self.namespace.name(), &kind)
    }

    fn object(&self, subject: Subject, number: usize, register: &Value) -> Value {
        let name = name(number);
        let mut labels = json!({"app": name, "bench": "true"});
        labels[format!("allow.restate.dev/{}", self.restate.name())] = "true".into();
        let pods = json!({
            "metadata": {"labels": labels},
            "spec": {
                "nodeSelector": {"lab.restate.dev/kwok": "true"},
                "tolerations": [{"key": "lab.restate.dev/kwok", "operator": "Exists"}],
                "terminationGracePeriodSeconds": 0,
                "containers": [self.container("v1")],
            },
        });
        let selector = json!({"matchLabels": {"app": name}});
        match subject {
            Subject::Kubernetes => json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
                "spec": {"replicas": 1, "selector": selector, "template": pods},
            }),
            Subject::Ours => json!({
                "apiVersion": "restate.dev/v1beta1", "kind": "RestateDeployment", "metadata": {"name": name},
                "spec": {
                    "replicas": 1, "revisionHistoryLimit": 1, "selector": selector, "template": pods,
                    "restate": {
                        "register": register, "servicePath": format!("/{name}"),
                        "drainDelaySeconds": 20, "deletePolicy": "force",
                    },
                },
            }),
        }
    }

    fn container(&self, version: &str) -> Value {
        json!({
            "name": "service", "image": self.image, "env": [{"name": "VERSION", "value": version}],
            "ports": [{"name": "restate", "containerPort": 9080}],
        })
    }
}

/// The name of an object, and of the service that it is registered as.
pub(super) fn name(number: usize) -> String {
    format!("bench-{number}")
}

fn service(number: usize) -> Value {
    let name = name(number);
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "restate", "port": 9080}]},
    })
}

fn answering(namespace: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": ANSWERING, "namespace": namespace},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "service", "image": image, "imagePullPolicy": "IfNotPresent",
                "env": [{"name": "OFFER", "value": "greeter"}], "ports": [{"containerPort": 9080}],
                "readinessProbe": {"tcpSocket": {"port": 9080}, "periodSeconds": 1},
            }],
        },
    })
}

/// The status of a condition, as of the newest spec.
pub(super) fn holds(object: &DynamicObject, kind: &str) -> bool {
    let seen = object.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let condition = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    seen == object.metadata.generation && condition.is_some_and(|condition| condition["status"] == "True")
}
