//! A RestateCluster, and Restate itself through kube-apiserver's proxy: admin API, SQL and ingress.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use http::Request;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::{Lab, Result, eventually, lab::Image};

/// The RestateCluster that tests share which do no harm to it.
const SHARED: &str = "e2e";

/// An image that has to come first, a volume, a provisioning, elections.
const READY: Duration = Duration::from_mins(3);

/// One RestateCluster and its Restate.
#[derive(Clone)]
pub struct Restate {
    lab: Lab,
    name: String,
    client: Client,
    /// Takes an own cluster away when nobody looks at it any more.
    _guard: Option<Arc<Guard>>,
}

#[derive(Debug)]
struct Guard {
    lab: Lab,
    name: String,
}

impl Restate {
    /// The cluster that all tests share; the first one makes it. It stays for the next run.
    pub async fn shared(lab: &Lab) -> Result<Self> {
        static READY: OnceCell<()> = OnceCell::const_new();
        let restate = Self::named(lab, SHARED).await?;
        READY.get_or_try_init(async || restate.start(&json!({})).await).await?;
        Ok(restate)
    }

    /// A cluster for a test that harms it: it goes with the test. `spec` is laid over the usual one.
    pub async fn own(lab: &Lab, about: &str, spec: &Value) -> Result<Self> {
        let restate = Self::to_be_made(lab, about).await?;
        restate.start(spec).await?;
        Ok(restate)
    }

    /// A cluster that the test makes by itself, of a name that no other has; it goes with the test.
    pub async fn to_be_made(lab: &Lab, about: &str) -> Result<Self> {
        let unique = Uuid::new_v4().simple().to_string();
        let name = format!("{about}-{}", &unique[..8]);
        let guard = Arc::new(Guard { lab: lab.clone(), name: name.clone() });
        Ok(Self { _guard: Some(guard), ..Self::named(lab, &name).await? })
    }

    /// A cluster that is there, or will be.
    pub async fn named(lab: &Lab, name: &str) -> Result<Self> {
        Ok(Self { lab: lab.clone(), name: name.to_owned(), client: lab.client().await?, _guard: None })
    }

    /// The RestateCluster's name, and its namespace's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The RestateCluster as tests make it.
    pub fn object(&self, spec: &Value) -> Result<Value> {
        let mut object = json!({
            "apiVersion": "restate.dev/v1",
            "kind": "RestateCluster",
            "metadata": {"name": self.name},
            "spec": {
                "cluster": {"autoProvision": true},
                "compute": {
                    "image": self.lab.image(Image::Restate)?,
                    "imagePullPolicy": "IfNotPresent",
                    "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
                },
                "storage": {"storageRequestBytes": 1_073_741_824},
                "config": "default-num-partitions = 4\nrocksdb-total-memory-size = \"128 MiB\"\n",
            },
        });
        merge(&mut object["spec"], spec);
        Ok(object)
    }

    /// Applies it and waits until it is Ready.
    pub async fn start(&self, spec: &Value) -> Result {
        self.lab.kubectl()?.apply(&self.object(spec)?).await?;
        self.ready().await
    }

    /// Waits until it is Ready.
    pub async fn ready(&self) -> Result {
        let kubectl = self.lab.kubectl()?;
        let wait = || async {
            let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")]}"#;
            let seen = kubectl.run(["get", "restatecluster", &self.name, "-o", path]).await?;
            let condition: Value = serde_json::from_str(&seen).unwrap_or_default();
            Ok(if condition["status"] == "True" { Ok(()) } else { Err(seen) })
        };
        eventually(&format!("RestateCluster {} to be Ready", self.name), READY, wait).await
    }

    /// Calls a handler through the ingress: `greeter/greet`, `greeter/slow/send`.
    pub async fn call(&self, path: &str, input: &Value) -> Result<Value> {
        let answer = self.send("POST", 8080, path, Some(input)).await?;
        parsed(path, &answer)
    }

    /// Asks the admin API.
    pub async fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.send(method, 9070, path, body).await?;
        parsed(path, &answer)
    }

    /// Rows of a SQL query. Restate breaks an answer off where one of its scans fails: then it is asked again.
    pub async fn query(&self, sql: &str) -> Result<Vec<Value>> {
        let body = json!({"query": sql});
        let ask = || self.admin("POST", "query", Some(&body));
        let answer = match ask().await {
            Err(_) => ask().await?,
            Ok(answer) => answer,
        };
        answer["rows"].as_array().cloned().with_context(|| format!("{sql} answered {answer}"))
    }

    /// The version that each invocation of a handler is or was bound to, and whether it has ended.
    pub async fn invocations(&self, service: &str, handler: &str) -> Result<Vec<(String, String)>> {
        let sql = format!(
            "select pinned_deployment_id, status from sys_invocation_status \
             where target_service_name = '{service}' and target_handler_name = '{handler}'"
        );
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let rows = self.query(&sql).await?;
        Ok(rows.iter().map(|row| (text(row, "pinned_deployment_id"), text(row, "status"))).collect())
    }

    /// The deployment that new calls of a service go to, as Restate says.
    pub async fn routed(&self, service: &str) -> Result<String> {
        let found = self.admin("GET", &format!("services/{service}"), None).await?;
        let id = found["deployment_id"].as_str();
        id.map(str::to_owned).with_context(|| format!("services/{service} answered {found}"))
    }

    /// Whether Restate has this deployment.
    pub async fn knows(&self, id: &str) -> Result<bool> {
        Ok(!self.query(&format!("select id from sys_deployment where id = '{id}'")).await?.is_empty())
    }

    async fn send(&self, method: &str, port: u16, path: &str, body: Option<&Value>) -> Result<String> {
        let uri = format!("/api/v1/namespaces/{}/services/restate:{port}/proxy/{path}", self.name);
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("content-type", "application/json").header("accept", "application/json");
        let request = request.body(body.map(Value::to_string).unwrap_or_default().into_bytes())?;
        self.client.request_text(request).await.with_context(|| format!("{method} {path} of Restate"))
    }
}

/// No answer at all is one too: handlers and deletions give none.
fn parsed(path: &str, answer: &str) -> Result<Value> {
    if answer.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(answer).with_context(|| format!("{path} answered {answer}"))
}

/// Without waiting: the namespace goes after its pods.
impl Drop for Guard {
    fn drop(&mut self) {
        let Some(program) = std::env::var_os("LAB_KUBECTL") else { return };
        let delete = ["delete", "restatecluster", &self.name, "--wait=false", "--ignore-not-found"];
        let mut kubectl = Command::new(program);
        kubectl
            .args(delete)
            .env("KUBECONFIG", self.lab.kubeconfig())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // What stays behind does no harm to the next run: its name is its own.
        let _ = kubectl.status();
    }
}

/// Lays `over` over `base`, field by field.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_laid_over_field_by_field() {
        let mut base = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        merge(&mut base, &json!({"a": {"c": [3]}, "e": {"f": 1}}));
        assert_eq!(base, json!({"a": {"b": 1, "c": [3]}, "d": 1, "e": {"f": 1}}));
        merge(&mut base, &json!({}));
        assert_eq!(base["d"], 1, "nothing laid over changes nothing");
    }
}
