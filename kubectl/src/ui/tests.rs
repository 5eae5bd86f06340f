//! The web UI before an API server that says what it was asked.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request as Asked;
use rstest::rstest;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

async fn serve(router: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

async fn api_server(request: Asked) -> Response {
    if request.uri().path().contains("/forbidden/") {
        let status = json!({"kind": "Status", "message": "User \"jo\" cannot get resource"});
        return (StatusCode::FORBIDDEN, axum::Json(status)).into_response();
    }
    let (parts, body) = request.into_parts();
    let names: Vec<_> = parts.headers.keys().map(|name| name.as_str().to_owned()).collect();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().len();
    let said = json!({"method": parts.method.as_str(), "uri": parts.uri.to_string(), "headers": names, "body": body});
    ([("content-security-policy", "sandbox"), ("set-cookie", "a=b"), ("etag", "\"x\"")], axum::Json(said))
        .into_response()
}

async fn app(cluster: &str) -> App {
    app_before(Router::new().fallback(api_server), cluster).await
}

async fn app_before(api_server: Router, cluster: &str) -> App {
    rustls::crypto::ring::default_provider().install_default().ok();
    let port = serve(api_server).await;
    let config = Config::new(format!("http://127.0.0.1:{port}").parse().unwrap());
    App::new(config, cluster, 0).unwrap()
}

/// The web UI of `demo`, where it is.
async fn opened() -> String {
    opened_before(Router::new().fallback(api_server)).await
}

/// The same before another API server.
async fn opened_before(api_server: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = App { port, ..app_before(api_server, "demo").await };
    tokio::spawn(async move { axum::serve(listener, app.router()).await });
    format!("http://127.0.0.1:{port}")
}

const BASE: &str = "/apis/control.restate.dev/v1alpha1/restateclusters/demo/proxy";

#[rstest]
#[case("GET", "/services", "")]
#[case("POST", "/query?x=1", "select 1")]
#[case("DELETE", "/deployments/dp_1?force=true", "")]
#[case("GET", "/ui/assets/a.js", "")]
#[tokio::test]
async fn the_root_here_is_the_proxy_there(
    #[case] method: &str,
    #[case] path: &str,
    #[case] body: &'static str,
) {
    let url = format!("{}{path}", opened().await);
    let request = reqwest::Client::new().request(method.parse().unwrap(), url).body(body);
    let request = request.header("authorization", "hush").header("cookie", "hush").header("accept", "*/*");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["etag"], "\"x\"");
    assert!(
        ["content-security-policy", "set-cookie"].iter().all(|name| !answer.headers().contains_key(*name))
    );
    let said: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(said["uri"], format!("{BASE}{path}"));
    assert_eq!((said["method"].as_str(), said["body"].as_u64()), (Some(method), Some(body.len() as u64)));
    let names = said["headers"].as_array().unwrap();
    assert!(!names.iter().any(|name| name == "authorization" || name == "cookie"), "{said}");
}

#[rstest]
#[case("/")]
#[case("/ui")]
#[tokio::test]
async fn the_root_leads_to_the_web_ui(#[case] path: &str) {
    let answer = reqwest::get(format!("{}{path}", opened().await)).await.unwrap();
    assert_eq!(answer.url().path(), "/ui/");
}

#[tokio::test]
async fn what_the_guard_refuses_is_not_sent_on() {
    let url = format!("{}/services", opened().await);
    let request = reqwest::Client::new().get(url);
    assert_eq!(request.header("origin", "http://evil.example").send().await.unwrap().status(), 403);
}

/// A 503 may come of a write that was done: the page is told, and nothing is sent again.
#[rstest]
#[case("PATCH")]
#[case("GET")]
#[tokio::test]
async fn a_refusal_reaches_the_page_after_one_request(#[case] method: &str) {
    let asked = Arc::new(AtomicUsize::default());
    let counted = Arc::clone(&asked);
    let busy = move |_: Asked| async move {
        counted.fetch_add(1, Ordering::Relaxed);
        StatusCode::SERVICE_UNAVAILABLE
    };
    let url = format!("{}/invocations/inv_1/kill", opened_before(Router::new().fallback(busy)).await);
    let request = reqwest::Client::new().request(method.parse().unwrap(), url);
    assert_eq!(request.send().await.unwrap().status(), 503);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let url = format!("{}/query", opened().await);
    let request = reqwest::Client::new().post(url);
    assert_eq!(request.body(vec![0; LARGEST_BODY + 1]).send().await.unwrap().status(), 413);
}

#[tokio::test]
async fn a_refusal_is_said_before_anything_is_opened() {
    app("demo").await.check().await.unwrap();
    let error = app("forbidden").await.check().await.unwrap_err().to_string();
    assert_eq!(error, "User \"jo\" cannot get resource");
}

#[rstest]
#[case("a-b", "/restateclusters/a-b/proxy")]
#[case("../x?y", "/restateclusters/%2E%2E%2Fx%3Fy/proxy")]
#[tokio::test]
async fn a_name_stays_a_name(#[case] name: &str, #[case] expected: &str) {
    assert!(app(name).await.base.ends_with(expected));
}
