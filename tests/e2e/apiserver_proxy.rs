//! `restateclusters/proxy` through kube-apiserver: the admin API path by path, each with a right of its own.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use http::Request;
use kube::Client;
use kube::client::Body;
use restate_tests::lab::{Image, OPERATOR_NAMESPACE};
use restate_tests::{Lab, Namespace, Restate, Result, Service, eventually};
use serde_json::{Value, json};

/// The path of a cluster's proxy, and below it.
fn proxy(restate: &Restate, below: &str) -> String {
    format!("/apis/control.restate.dev/v1alpha1/restateclusters/{}/proxy{below}", restate.name())
}

/// Sends a request as the administrator; gives code and body, whatever they are.
async fn send(client: &Client, request: http::request::Builder, body: Vec<u8>) -> Result<(u16, Vec<u8>)> {
    let answer = client.send(request.body(Body::from(body))?).await?;
    let code = answer.status().as_u16();
    Ok((code, answer.into_body().collect_bytes().await?.to_vec()))
}

/// Binds a user to a ClusterRole with these rules; both go with the namespace's test.
async fn bind(lab: &Lab, user: &str, rules: Value) -> Result<Granted> {
    let kubectl = lab.kubectl()?;
    let metadata = json!({"name": user, "labels": {"restate-tests": "true"}});
    let (api, group) = ("rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io");
    let granted = Granted { lab: lab.clone(), name: user.to_owned() };
    kubectl
        .apply(&json!({"apiVersion": api, "kind": "ClusterRole", "metadata": metadata, "rules": rules}))
        .await?;
    let role = json!({"apiGroup": group, "kind": "ClusterRole", "name": user});
    let subject = json!({"apiGroup": group, "kind": "User", "name": user});
    kubectl
        .apply(&json!({
            "apiVersion": api, "kind": "ClusterRoleBinding", "metadata": metadata, "roleRef": role,
            "subjects": [subject],
        }))
        .await?;
    Ok(granted)
}

/// Rights that go with the test.
struct Granted {
    lab: Lab,
    name: String,
}

impl Drop for Granted {
    fn drop(&mut self) {
        let Some(program) = std::env::var_os("LAB_KUBECTL") else { return };
        let mut kubectl = std::process::Command::new(program);
        kubectl.args(["delete", "clusterrole,clusterrolebinding", &self.name, "--ignore-not-found"]);
        kubectl.env("KUBECONFIG", self.lab.kubeconfig()).stdout(std::process::Stdio::null());
        // What stays behind gives a right to a user of a name that nobody has.
        let _ = kubectl.status();
    }
}

/// Z8: a role allows reading `/services` and forbids `DELETE /deployments`, though it may delete through the proxy.
#[tokio::test]
async fn a_role_reads_services_and_deregisters_nothing() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "proxy-rights").await?);
    let rule = |resource: &str, verbs: &[&str]| {
        json!({
            "apiGroups": ["control.restate.dev"], "resources": [resource], "verbs": verbs,
            "resourceNames": [restate.name()],
        })
    };
    let rules =
        [rule("restateclusters/proxy", &["get", "delete"]), rule("restateclusters/proxy/services", &["get"])];
    let _granted = bind(&lab, namespace.name(), json!(rules)).await?;
    let kubectl = lab.kubectl()?.as_user(namespace.name());
    eventually("the right to read services", Duration::from_secs(30), || async {
        let answer = kubectl.ask(["get", "--raw", &proxy(&restate, "/services")], None).await?;
        Ok(if answer.output.contains("\"services\"") { Ok(()) } else { Err(answer.words) })
    })
    .await?;
    for below in ["/deployments/dp_none?force=true", "/v3/deployments/dp_none?force=true"] {
        let answer = kubectl.ask(["delete", "--raw", &proxy(&restate, below)], None).await?;
        let words = format!(
            "User \"{}\" cannot delete resource \"restateclusters/proxy/deployments\"",
            namespace.name()
        );
        ensure!(!answer.successful && answer.words.contains(&words), "{answer:?}");
    }
    let answer = kubectl.ask(["get", "--raw", &proxy(&restate, "/deployments")], None).await?;
    ensure!(answer.words.contains("cannot get resource \"restateclusters/proxy/deployments\""), "{answer:?}");
    let other = proxy(&restate, "/services").replace(restate.name(), "another");
    let answer = kubectl.ask(["get", "--raw", &other], None).await?;
    ensure!(answer.words.contains("cannot get resource \"restateclusters/proxy\""), "{answer:?}");
    Ok(())
}

/// C13: every method arrives with its path, its query and its body, and the answer comes back as it is.
#[tokio::test]
async fn the_admin_api_is_there_in_full() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "proxied").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let version = service.roll_out(Image::GreeterV1).await?;
    let client = lab.client().await?;
    let json = "application/json";
    let query =
        json!({"query": format!("select id from sys_deployment where id = '{}'", version.deployment_id())});
    let ask = async || -> Result<Value> {
        let request = Request::post(proxy(&restate, "/query"));
        let request = request.header("content-type", json).header("accept", json);
        let (code, rows) = send(&client, request, query.to_string().into_bytes()).await?;
        ensure!(code == 200, "{code}: {}", String::from_utf8_lossy(&rows));
        Ok(serde_json::from_slice(&rows)?)
    };
    // Restate breaks an answer off where one of its scans fails.
    let rows = match ask().await {
        Err(_) => ask().await?,
        Ok(rows) => rows,
    };
    ensure!(rows["rows"][0]["id"] == version.deployment_id(), "{rows}");

    let one = proxy(&restate, &format!("/services/{}", service.name()));
    let request = Request::patch(&one).header("content-type", json);
    let (code, body) = send(&client, request, br#"{"public": false}"#.to_vec()).await?;
    ensure!(code == 200, "{}", String::from_utf8_lossy(&body));
    let (_, found) = send(&client, Request::get(&one), Vec::new()).await?;
    ensure!(
        serde_json::from_slice::<Value>(&found)?["public"] == false,
        "{}",
        String::from_utf8_lossy(&found)
    );

    // Restate's own refusals are passed on: without force nothing is deregistered.
    let unforced = proxy(&restate, &format!("/deployments/{}", version.deployment_id()));
    let (code, body) = send(&client, Request::delete(unforced), Vec::new()).await?;
    ensure!(code == 501, "{code}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

/// P8, C13, E7: no redirect comes back, no path names a host, a body has a limit, an absent cluster is said so.
#[tokio::test]
async fn what_the_proxy_does_not_pass_on_it_says_in_kubernetes_words() -> Result {
    let lab = Lab::of_this_run()?;
    let restate = Restate::shared(&lab).await?;
    let client = lab.client().await?;
    // Restate answers `/` with a redirect, which the aggregation layer would refuse.
    for below in ["", "/", "/ui"] {
        let (code, page) = send(&client, Request::get(proxy(&restate, below)), Vec::new()).await?;
        let page = String::from_utf8_lossy(&page).into_owned();
        ensure!(code == 200 && page.contains("<title>Restate</title>"), "{below}: {code} {page}");
    }
    // A browser offers encodings that kube-apiserver cannot read in pages, and breaks off.
    let request = Request::get(proxy(&restate, "/ui/")).header("accept-encoding", "gzip, deflate, br, zstd");
    let (code, page) = send(&client, request, Vec::new()).await?;
    ensure!(code == 200 && !page.is_empty(), "{code}, {} bytes", page.len());
    let cases = [
        ("GET", proxy(&restate, "/http:/169.254.169.254/latest"), 0, 400),
        ("GET", proxy(&restate, "/services/%252e%252e/deployments"), 0, 400),
        ("POST", proxy(&restate, "/query"), 3 * 1024 * 1024 + 1, 413),
        ("GET", proxy(&restate, "/services").replace(restate.name(), "nowhere"), 0, 404),
    ];
    for (method, path, size, expected) in cases {
        let request = Request::builder().method(method).uri(&path);
        let (code, body) = send(&client, request, vec![b'x'; size]).await?;
        let status: Value = serde_json::from_slice(&body).with_context(|| format!("{path}: {body:?}"))?;
        ensure!(code == expected && status["kind"] == "Status", "{method} {path}: {code} {status}");
    }
    Ok(())
}

/// M8: who did what through the proxy stands in the audit log, by area.
#[tokio::test]
async fn the_audit_log_names_the_area() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "proxy-audit").await?);
    // The name of nobody: only this request can have left this line.
    let mark = format!("/services/{}", namespace.name());
    lab.kubectl()?.ask(["get", "--raw", &proxy(&restate, &mark)], None).await?;
    eventually("the line", Duration::from_secs(20), || async {
        let select = "app.kubernetes.io/component=apiserver";
        let logs = ["-n", OPERATOR_NAMESPACE, "logs", "-l", select, "--tail", "2000"];
        let text = lab.kubectl()?.run(logs).await?;
        let line = text.lines().find(|line| line.contains(&mark) && line.contains("audit.k8s.io"));
        let named = line.is_some_and(|line| line.contains(r#""control.restate.dev/proxied":"get services""#));
        Ok(if named { Ok(()) } else { Err(line.unwrap_or("no such line").to_owned()) })
    })
    .await
}
