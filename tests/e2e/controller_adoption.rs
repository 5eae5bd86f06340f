//! Objects that another controller made, as they were recorded on a real cluster, made anew here with live pods and live
//! registrations: our controller takes them over and changes nothing that anybody could notice.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use restate_tests::{FaultProxy, Kubectl, Lab, Namespace, Restate, Result, Service, eventually, lab::Image};
use serde_json::{Deserializer, Value, json};

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../controller/plan/testdata/greeter.yaml");
/// The RestateCluster that the recorded objects name: their hashes rest on it.
const CLUSTER: &str = "rs";
/// What the recorded pods run.
const IMAGE: &str = "docker.io/local/greeter:1";
/// Two answers of Restate: after a question that took a second the next one waits for almost a minute.
const SOON: Duration = Duration::from_mins(3);

/// What was there before, and must be there afterwards.
#[derive(Debug, PartialEq)]
struct Facts {
    /// By replica set: uid, generation, replicas, template.
    sets: BTreeMap<String, (Value, Value, Value, Value)>,
    /// By pod: uid.
    pods: BTreeMap<String, Value>,
    /// Where new calls go, and the revision: another registration would be another one.
    routed: (Value, Value),
}

struct Stage<'l> {
    kubectl: Kubectl,
    namespace: &'l Namespace,
    restate: &'l Restate,
    documents: Vec<Value>,
}

impl Stage<'_> {
    fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.documents.iter().filter(|it| it["kind"] == kind).cloned().collect()
    }

    async fn get(&self, kind: &str, name: &str) -> Result<Value> {
        self.kubectl.json(["-n", self.namespace.name(), "get", kind, name, "-o", "json"]).await
    }

    /// Applies as one of the names that the former controller wrote under.
    async fn apply_as(&self, manager: &str, object: &Value) -> Result {
        let manager = format!("--field-manager=restate-operator{manager}");
        let command = ["apply", "--server-side", "--force-conflicts", &manager, "-f", "-"];
        let answer = self.kubectl.ask(command, Some(object)).await?;
        ensure!(answer.successful, "{manager}: {}", answer.words);
        Ok(())
    }

    /// The object as it was made: in this namespace, without what the API server had added, owned by `owner`.
    fn made_anew(&self, recorded: &Value, owner: Option<&Value>) -> Value {
        let mut object = recorded.clone();
        for field in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
            object["metadata"].as_object_mut().map(|fields| fields.remove(field));
        }
        object.as_object_mut().map(|fields| fields.remove("status"));
        object["metadata"]["namespace"] = self.namespace.name().into();
        if let Some(owner) = owner {
            object["metadata"]["ownerReferences"][0]["uid"] = owner.clone();
        }
        object
    }

    /// One version: replica set and Service made, pods there, registered, its id recorded under that part's own name.
    async fn make_version(&self, recorded: &Value, owner: &Value) -> Result<String> {
        let name = recorded["metadata"]["name"].as_str().context("a name")?.to_owned();
        let mut set = self.made_anew(recorded, Some(owner));
        set["spec"]["replicas"] = 1.into();
        for annotation in ["restate.dev/deployment-id", "restate.dev/remove-version-at"] {
            set["metadata"]["annotations"].as_object_mut().map(|fields| fields.remove(annotation));
        }
        let create = ["create", "--field-manager=restate-operator", "-f", "-"];
        let created = self.kubectl.ask(create, Some(&set)).await?;
        ensure!(created.successful, "{}", created.words);
        let uid = self.get("replicaset", &name).await?["metadata"]["uid"].clone();
        let services = self.of_kind("Service");
        let service =
            services.iter().find(|it| it["metadata"]["name"] == name.as_str()).context("a Service")?;
        let mut service = self.made_anew(service, Some(&uid));
        service["metadata"].as_object_mut().map(|fields| fields.remove("annotations"));
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            service["spec"].as_object_mut().map(|fields| fields.remove(field));
        }
        self.apply_as("", &service).await?;
        let uri = format!("http://{name}.{}.svc.cluster.local:9080/", self.namespace.name());
        let id = eventually(&format!("{name} to be registered"), SOON, || async {
            let answer =
                self.restate.admin("POST", "deployments", Some(&json!({"uri": uri, "force": false}))).await?;
            Ok(answer["id"].as_str().map(str::to_owned).ok_or_else(|| answer.to_string()))
        })
        .await?;
        for (api, kind) in [("apps/v1", "ReplicaSet"), ("v1", "Service")] {
            let part = self.part(api, kind, &name, &json!({"restate.dev/deployment-id": id}));
            self.apply_as("/deployment-id", &part).await?;
        }
        Ok(id)
    }

    fn part(&self, api: &str, kind: &str, name: &str, annotations: &Value) -> Value {
        json!({"apiVersion": api, "kind": kind,
               "metadata": {"name": name, "namespace": self.namespace.name(), "annotations": annotations}})
    }

    /// A superseded version as it was left: no pods, still registered, with a stamp that has passed long ago.
    async fn retire_as_found(&self, recorded: &Value) -> Result {
        let name = recorded["metadata"]["name"].as_str().context("a name")?;
        let stamp = &recorded["metadata"]["annotations"]["restate.dev/remove-version-at"];
        let part = self.part("apps/v1", "ReplicaSet", name, &json!({"restate.dev/remove-version-at": stamp}));
        self.apply_as("/remove-version-at", &part).await?;
        let mut scaled = self.part("apps/v1", "ReplicaSet", name, &json!({}));
        scaled["spec"] = json!({"replicas": 0});
        self.apply_as("/scale-down", &scaled).await
    }

    async fn facts(&self) -> Result<Facts> {
        let list = async |kind: &str| -> Result<Vec<Value>> {
            let list = ["-n", self.namespace.name(), "get", kind, "-o", "json"];
            Ok(self.kubectl.json(list).await?["items"].as_array().cloned().unwrap_or_default())
        };
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let set = |it: &Value| {
            let (meta, spec) = (&it["metadata"], &it["spec"]);
            (
                meta["uid"].clone(),
                meta["generation"].clone(),
                spec["replicas"].clone(),
                spec["template"].clone(),
            )
        };
        let service = self.restate.admin("GET", "services/greeter", None).await?;
        Ok(Facts {
            sets: list("replicasets").await?.iter().map(|it| (name(it), set(it))).collect(),
            pods: list("pods").await?.iter().map(|it| (name(it), it["metadata"]["uid"].clone())).collect(),
            routed: (service["deployment_id"].clone(), service["revision"].clone()),
        })
    }

    /// Which of these versions Restate knows.
    async fn known(&self, ids: &[String]) -> Result<Vec<bool>> {
        let mut known = Vec::new();
        for id in ids {
            known.push(self.restate.knows(id).await?);
        }
        Ok(known)
    }
}

/// Takes away what the test made beside its own namespaces, also where it fails.
struct Remains {
    lab: Lab,
}

impl Drop for Remains {
    fn drop(&mut self) {
        let Some(program) = std::env::var_os("LAB_KUBECTL") else { return };
        for kind in ["restatecluster", "namespace"] {
            let mut kubectl = Command::new(&program);
            kubectl.args(["delete", kind, CLUSTER, "--ignore-not-found", "--wait=false"]);
            kubectl.env("KUBECONFIG", self.lab.kubeconfig());
            // What is gone already is as it should be.
            let _ = kubectl.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// The recorded objects, read by kubectl.
async fn recorded(kubectl: &Kubectl) -> Result<Vec<Value>> {
    let text = kubectl.run(["create", "--dry-run=client", "-o", "json", "-f", RECORDED]).await?;
    Ok(Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>()?)
}

/// A RestateCluster of the recorded name, and behind its address Restate, with a proxy in between that keeps a record of
/// what is asked of it. The proxy is on this machine: it has a Service in a namespace of its own.
async fn stand_in(lab: &Lab, restate: &Restate) -> Result<(FaultProxy, Namespace, Remains)> {
    let kubectl = lab.kubectl()?;
    let remains = Remains { lab: lab.clone() };
    let cluster = Restate::named(lab, CLUSTER).await?;
    let mut object = cluster.object(&json!({}))?;
    object["metadata"]["annotations"] = json!({"restate.dev/reconcile": "disabled"});
    kubectl.apply(&object).await?;
    kubectl
        .apply(&json!({"apiVersion": "v1", "kind": "Namespace",
                       "metadata": {"name": CLUSTER, "labels": {"restate-tests": "true"}}}))
        .await?;
    let (proxy, recorder) = (FaultProxy::new(lab, restate).await?, Namespace::new(lab, "recorder").await?);
    let url = proxy.url();
    let (address, port) =
        url.trim_start_matches("http://").rsplit_once(':').context("an address with a port")?;
    let port: u16 = port.parse()?;
    kubectl
        .apply(&json!({"apiVersion": "v1", "kind": "Service",
                       "metadata": {"name": "restate", "namespace": recorder.name()},
                       "spec": {"ports": [{"name": "admin", "port": 9070, "targetPort": port}]}}))
        .await?;
    kubectl
        .apply(&json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "restate", "namespace": recorder.name(),
                         "labels": {"kubernetes.io/service-name": "restate"}},
            "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
            "ports": [{"name": "admin", "port": port, "protocol": "TCP"}],
        }))
        .await?;
    let there = format!("restate.{}.svc.cluster.local", recorder.name());
    kubectl
        .apply(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "restate", "namespace": CLUSTER},
                       "spec": {"type": "ExternalName", "externalName": there}}))
        .await?;
    Ok((proxy, recorder, remains))
}

/// What reached Restate through the proxy that changes something.
fn orders(proxy: &FaultProxy) -> Vec<String> {
    proxy.record().into_iter().map(|order| order.what).collect()
}

/// adoption.md, its rules 1 to 4 and its test: same pods, same templates, same registrations, no new version; owners of
/// fields change; what was left at zero is deregistered after a delay of its own, and no earlier.
#[tokio::test]
async fn a_recorded_deployment_is_taken_over_as_it_is() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: the recorded image must be on the node");
        return Ok(());
    }
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "adopted").await?);
    let kubectl = lab.kubectl()?;
    lab.tag(Image::GreeterV1, IMAGE).await?;
    let (proxy, _recorder, _remains) = stand_in(&lab, &restate).await?;
    let documents = recorded(&kubectl).await?;
    let stage = Stage { kubectl: kubectl.clone(), namespace: &namespace, restate: &restate, documents };

    // Until everything is as it was recorded, nobody may act on it.
    let found = stage.of_kind("RestateDeployment").remove(0);
    let mut object = stage.made_anew(&found, None);
    object["metadata"]["annotations"] = json!({"restate.dev/reconcile": "disabled"});
    object["spec"]["restate"]["drainDelaySeconds"] = 30.into(); // The recorded five minutes would take as long here.
    kubectl.create(&object).await?;
    let owner = stage.get("restatedeployments.restate.dev", "greeter").await?["metadata"]["uid"].clone();
    let mut sets = stage.of_kind("ReplicaSet");
    sets.sort_by_key(|set| set["metadata"]["creationTimestamp"].to_string());
    let mut ids = Vec::new();
    for set in &sets {
        ids.push(stage.make_version(set, &owner).await?);
    }
    for set in sets.iter().filter(|set| set["spec"]["replicas"] == 0) {
        stage.retire_as_found(set).await?;
    }
    let one_pod = || async {
        let pods = stage.facts().await?.pods.len();
        Ok(if pods == 1 { Ok(()) } else { Err(format!("{pods} pods")) })
    };
    eventually("the pods of the superseded versions to be gone", SOON, one_pod).await?;
    let mut status = found["status"].clone();
    status["deploymentId"] = ids.last().context("versions")?.as_str().into();
    status["observedGeneration"] = 1.into();
    let status = json!({"status": status}).to_string();
    let within = ["-n", namespace.name()];
    let restore =
        ["patch", "restatedeployment", "greeter", "--subresource=status", "--type=merge", "-p", &status];
    kubectl.run(within.into_iter().chain(restore)).await?;
    let before = stage.facts().await?;
    ensure!(before.sets.len() == 4 && stage.known(&ids).await? == [true; 4], "{before:?}");

    // From here on it is ours.
    let take_over = ["annotate", "restatedeployment", "greeter", "restate.dev/reconcile-"];
    kubectl.run(within.into_iter().chain(take_over)).await?;
    let ours = || async {
        let object = stage.get("restatedeployments.restate.dev", "greeter").await?;
        let status = object["status"]["versions"].to_string();
        Ok(if status.matches("Drained").count() == 3 { Ok(()) } else { Err(status) })
    };
    eventually("the versions to be seen", SOON, ours).await?;
    ensure!(stage.facts().await? == before, "{before:#?} became {:#?}", stage.facts().await?);
    ensure!(stage.known(&ids).await? == [true; 4], "deregistered without a delay of its own");
    ensure!(orders(&proxy).is_empty(), "taking over asks nothing of Restate: {:?}", proxy.record());

    let only_the_newest = || async {
        let known = stage.known(&ids).await?;
        Ok(if known == [false, false, false, true] { Ok(()) } else { Err(format!("{known:?}")) })
    };
    eventually("what was at zero to be deregistered", SOON, only_the_newest).await?;
    let after = stage.facts().await?;
    ensure!(after == before, "{before:#?} became {after:#?}");
    let removals: Vec<_> = ids[..3].iter().map(|id| format!("DELETE /deployments/{id}")).collect();
    let (mut asked, mut expected) = (orders(&proxy), removals);
    asked.sort();
    expected.sort();
    ensure!(asked == expected, "nothing but the three removals, once each: {:?}", proxy.record());
    let events = kubectl.run(within.into_iter().chain(["get", "events", "-o", "json"])).await?;
    ensure!(events.contains("which was found without pods"), "{events}");
    for (kind, set) in
        ["replicaset", "service"].into_iter().flat_map(|kind| sets.iter().map(move |it| (kind, it)))
    {
        let name = set["metadata"]["name"].as_str().unwrap_or_default();
        let get = ["get", kind, name, "--show-managed-fields", "-o", "json"];
        let object = kubectl.json(within.into_iter().chain(get)).await?;
        let owners = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let former = owners.iter().any(|it| it["manager"].to_string().contains("restate-operator/"));
        ensure!(!former, "rule 3: {kind} {name}: {owners:?}");
    }
    it_goes_on(&lab, &namespace).await
}

/// It goes on like any other: no version came or went, and it can be deleted.
async fn it_goes_on(lab: &Lab, namespace: &Namespace) -> Result {
    let (kubectl, within) = (lab.kubectl()?, ["-n", namespace.name()]);
    let service = Service::registered(lab, namespace, json!({"cluster": CLUSTER}));
    ensure!(service.versions().await?.len() == 4, "a version came or went");
    kubectl.run(within.into_iter().chain(["delete", "restatedeployment", "greeter", "--wait=false"])).await?;
    service.gone(SOON).await
}
