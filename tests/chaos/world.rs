//! What a run stands on: a Restate of its own, its admin API behind a proxy, the ledger, and services in one
//! namespace.

use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use restate_tests::{
    FaultProxy, Lab, Namespace, Restate, Result, eventually,
    ingress::Ingress,
    lab::Image,
    ledger::{Ledger, Waiting},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Pods of twenty services that start at the same time on a small machine.
const FIRST_READY: Duration = Duration::from_mins(4);
/// Services that go, and their versions: each is asked about twice.
const GONE: Duration = Duration::from_mins(5);
/// A question to Restate.
const DEADLINE: Duration = Duration::from_secs(10);

/// All that a run needs.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) restate: Restate,
    pub(crate) proxy: FaultProxy,
    pub(crate) ledger: Ledger,
    pub(crate) ingress: Ingress,
    /// The names of the services; a RestateDeployment each.
    pub(crate) services: Vec<String>,
    namespace: Namespace,
    kubernetes: Client,
    http: reqwest::Client,
    host: String,
    image: String,
}

/// A version, as its ReplicaSet shows it.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// The ReplicaSet's name.
    pub(crate) name: String,
    /// The service.
    pub(crate) service: String,
    /// What it calls itself.
    pub(crate) says: String,
    /// How many pods it is to have.
    pub(crate) replicas: i32,
}

impl World {
    /// Makes it, with so many services in their first version, ready.
    pub(crate) async fn new(lab: &Lab, services: usize) -> Result<(Self, mpsc::UnboundedReceiver<Waiting>)> {
        // A call that waits for a second is suspended; one that does not react after that is tried again.
        let config = "default-num-partitions = 4\nrocksdb-total-memory-size = \"128 MiB\"\n\
                      [worker.invoker]\ninactivity-timeout = \"1s\"\nabort-timeout = \"30s\"\n";
        let restate = Restate::own(lab, "chaos", &json!({"config": config})).await?;
        let get = ["-n", restate.name(), "get", "service", "restate", "-o", "jsonpath={.spec.clusterIP}"];
        let host = lab.kubectl()?.run(get).await?;
        let (ledger, waiting) = Ledger::open(&lab.address().await?).await?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let world = Self {
            proxy: FaultProxy::new(lab, &restate).await?,
            ingress: Ingress::at(&http, &host),
            services: (0..services).map(|number| format!("walk-{number}")).collect(),
            namespace: Namespace::new(lab, "chaos").await?,
            kubernetes: lab.client().await?,
            image: lab.image(Image::GreeterV1)?,
            lab: lab.clone(),
            restate,
            ledger,
            http,
            host,
        };
        world.start().await?;
        Ok((world, waiting))
    }

    /// Asks for another version of a service.
    pub(crate) async fn roll(&self, service: &str, version: &str) -> Result {
        let patch =
            json!({"spec": {"template": {"spec": {"containers": [self.container(service, version)]}}}});
        self.deployments().patch(service, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// What every RestateDeployment says of itself.
    pub(crate) async fn stored(&self) -> Result<Vec<DynamicObject>> {
        Ok(self.deployments().list(&ListParams::default()).await?.items)
    }

    /// All versions that have a ReplicaSet.
    pub(crate) async fn versions(&self) -> Result<Vec<Version>> {
        let api: Api<ReplicaSet> = Api::namespaced(self.kubernetes.clone(), self.namespace.name());
        Ok(api.list(&ListParams::default()).await?.items.iter().filter_map(Version::of).collect())
    }

    /// Rows of a SQL query, asked of Restate itself and not through the proxy.
    pub(crate) async fn rows<Row: DeserializeOwned>(&self, query: &str) -> Result<Vec<Row>> {
        let request = self.http.post(format!("http://{}:9070/query", self.host)).timeout(DEADLINE);
        let request = request.header("accept", "application/json").json(&json!({"query": query}));
        let mut answer: Value = request.send().await?.error_for_status()?.json().await?;
        Ok(serde_json::from_value(answer["rows"].take())?)
    }

    /// Deletes the services while there is still somebody to say that they may go.
    pub(crate) async fn tear_down(&self) -> Result {
        let delete = ["-n", self.namespace.name(), "delete", "restatedeployments", "--all", "--wait=false"];
        self.lab.kubectl()?.run(delete).await?;
        eventually("the services to be gone", GONE, || async {
            let left = self.stored().await?;
            let names: Vec<_> = left.iter().filter_map(|it| it.metadata.name.as_deref()).collect();
            Ok(if names.is_empty() { Ok(()) } else { Err(names.join(" ")) })
        })
        .await
    }

    async fn start(&self) -> Result {
        let create = |service: String| async move {
            let object = serde_json::from_value(self.object(&service))?;
            self.deployments().create(&PostParams::default(), &object).await?;
            Ok::<_, anyhow::Error>(())
        };
        stream::iter(self.services.clone()).map(create).buffer_unordered(4).try_collect::<()>().await?;
        eventually("the first versions", FIRST_READY, || async {
            let stored = self.stored().await?;
            let waiting: Vec<_> = stored.iter().filter_map(unready).collect();
            Ok(if waiting.is_empty() { Ok(()) } else { Err(waiting.join("; ")) })
        })
        .await
    }

    fn deployments(&self) -> Api<DynamicObject> {
        let kind =
            ApiResource::from_gvk(&GroupVersionKind::gvk("restate.dev", "v1beta1", "RestateDeployment"));
        Api::namespaced_with(self.kubernetes.clone(), self.namespace.name(), &kind)
    }

    fn object(&self, service: &str) -> Value {
        let mut labels = json!({"app": service});
        labels[format!("allow.restate.dev/{}", self.restate.name())] = "true".into();
        json!({
            "apiVersion": "restate.dev/v1beta1",
            "kind": "RestateDeployment",
            "metadata": {"name": service},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": service}},
                "restate": {
                    "register": {"url": self.proxy.url()}, "drainDelaySeconds": 2, "deletePolicy": "force",
                },
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "terminationGracePeriodSeconds": 1,
                        "containers": [self.container(service, "v1")],
                    },
                },
            },
        })
    }

    fn container(&self, service: &str, version: &str) -> Value {
        json!({
            "name": "service",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "env": [
                {"name": "SERVICE_NAME", "value": service},
                {"name": "VERSION", "value": version},
                {"name": "LEDGER", "value": self.ledger.address},
            ],
            "ports": [{"name": "restate", "containerPort": 9080}],
        })
    }
}

impl Version {
    fn of(set: &ReplicaSet) -> Option<Self> {
        let spec = set.spec.as_ref()?;
        let container = spec.template.as_ref()?.spec.as_ref()?.containers.first()?;
        let variable = |name: &str| container.env.iter().flatten().find(|it| it.name == name)?.value.clone();
        Some(Self {
            name: set.metadata.name.clone()?,
            service: variable("SERVICE_NAME")?,
            says: variable("VERSION")?,
            replicas: spec.replicas.unwrap_or(1),
        })
    }
}

/// Why an object is not Ready as of its newest spec.
pub(crate) fn unready(object: &DynamicObject) -> Option<String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let Some(ready) = ready.context("says nothing").ok() else { return Some(format!("{name} says nothing")) };
    let seen = object.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
    let current = seen == object.metadata.generation;
    (ready["status"] != "True" || !current)
        .then(|| format!("{name}: {} {}", ready["reason"], ready["message"]))
}
