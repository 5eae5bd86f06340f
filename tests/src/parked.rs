//! RestateDeployments that register nowhere and run nothing: versions to look at that cost no pod and no Restate.

use serde_json::{Value, json};

use crate::{Lab, Namespace, Restate, Result, lab::Image};

/// An address that is for documentation only: nobody answers there.
const NOWHERE: &str = "http://192.0.2.1:9070/";

/// RestateDeployments of one namespace.
#[derive(Clone, Debug)]
pub struct Parked {
    lab: Lab,
    namespace: String,
    register: Value,
}

impl Parked {
    /// In this namespace, where nobody answers.
    pub fn new(lab: &Lab, namespace: &Namespace) -> Self {
        Self::registered(lab, namespace, json!({"url": NOWHERE}))
    }

    /// In this namespace, with a Restate that answers; they have no pods that it could find.
    pub fn with(lab: &Lab, namespace: &Namespace, restate: &Restate) -> Self {
        Self::registered(lab, namespace, json!({"cluster": restate.name()}))
    }

    fn registered(lab: &Lab, namespace: &Namespace, register: Value) -> Self {
        Self { lab: lab.clone(), namespace: namespace.name().to_owned(), register }
    }

    /// One of them; another revision is another version of it.
    pub fn object(&self, name: &str, revision: u32) -> Result<Value> {
        Ok(json!({
            "apiVersion": "restate.dev/v1beta1",
            "kind": "RestateDeployment",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": name}},
                // Whether anything is unfinished nobody can tell.
                "restate": {"register": self.register, "deletePolicy": "force"},
                "template": {
                    "metadata": {"labels": {"app": name}, "annotations": {"revision": revision.to_string()}},
                    "spec": {"containers": [{"name": "service", "image": self.lab.image(Image::Busybox)?}]},
                },
            },
        }))
    }

    /// Makes it, or gives it another revision.
    pub async fn apply(&self, name: &str, revision: u32) -> Result {
        self.lab.kubectl()?.apply(&self.object(name, revision)?).await
    }

    /// Takes it away at once: nobody waits for a Restate that does not exist.
    pub async fn delete(&self, name: &str) -> Result {
        let kubectl = self.lab.kubectl()?;
        let object = ["-n", &self.namespace, "restatedeployments.restate.dev", name];
        kubectl.run(["delete", "--wait=false"].into_iter().chain(object)).await?;
        let release = ["patch", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
        // It may be gone already.
        kubectl.ask(release.into_iter().chain(object), None).await.map(drop)
    }

    /// The names of its versions, as the aggregated API has them.
    pub async fn versions(&self) -> Result<Vec<String>> {
        let get = ["-n", &self.namespace, "get", "restatedeploymentversions", "-o", "name"];
        let names = self.lab.kubectl()?.run(get).await?;
        Ok(names.lines().filter_map(|line| line.split_once('/')).map(|(_, name)| name.to_owned()).collect())
    }
}
