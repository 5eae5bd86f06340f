//! The proxy between a caller and a Restate that says what it was asked, both over real connections.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use apiserver_machinery::api::Api;
use apiserver_machinery::authz::Attributes;
use apiserver_machinery::resource::{Computed, SubAccess};
use apiserver_machinery::user::User;
use axum::Router;
use axum::extract::Request as Asked;
use axum::response::IntoResponse;
use futures::future::BoxFuture;
use http::header::{CONNECTION, UPGRADE};
use hyper_util::rt::TokioIo;
use restate_apiservice::{GROUP, VERSION};
use restate_client::Policy;
use restate_client::endpoint;
use restate_client::transport::Options;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

mod kind;
use kind::Thing;

/// Refuses these questions, and remembers all.
#[derive(Clone, Default)]
struct Rights {
    refused: Arc<BTreeSet<&'static str>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl SubAccess for Rights {
    fn check<'a>(&'a self, user: &'a User, attributes: &'a Attributes) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let resource = attributes.resource().unwrap();
            let question = format!("{} {}", resource.verb, resource.subresource.clone().unwrap());
            assert_eq!((resource.resource.as_str(), resource.name.as_deref()), ("things", Some("prod")));
            self.asked.lock().unwrap().push(question.clone());
            if self.refused.contains(question.as_str()) {
                return Err(apiserver_machinery::authz::forbidden::status(user, attributes, ""));
            }
            Ok(())
        })
    }
}

struct One(String);

impl Targets for One {
    fn admin_api(&self, cluster: &str) -> Option<Result<Endpoint, endpoint::Error>> {
        (cluster == "prod").then(|| Endpoint::new(&self.0, &Policy::default().with_loopback()))
    }
}

impl Computed for One {
    type Object = Thing;

    async fn get(&self, _: &Call) -> Result<Option<Thing>, Status> {
        Ok(None)
    }
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Says what it was asked; some paths do something else.
async fn restate(mut request: Asked) -> Response {
    let to =
        |location: &'static str| (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response();
    match request.uri().path() {
        "/" => to("/ui/"),
        "/away" => to("http://169.254.169.254/latest"),
        "/around" => to("/around"),
        "/up" => to("/v3/deployments/../../services/x"),
        "/locked" => StatusCode::UNAUTHORIZED.into_response(),
        "/slow" => {
            let first = futures::stream::iter([Ok::<_, Infallible>("first")]);
            Body::from_stream(first.chain(futures::stream::pending())).into_response()
        }
        "/echo" => {
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded.await.unwrap()));
                tokio::io::copy(&mut from, &mut to).await
            });
            (StatusCode::SWITCHING_PROTOCOLS, [(UPGRADE, "websocket"), (CONNECTION, "upgrade")])
                .into_response()
        }
        _ => said(request).await,
    }
}

async fn said(request: Asked) -> Response {
    let (parts, body) = request.into_parts();
    let headers: BTreeSet<_> = parts.headers.keys().map(|name| name.as_str().to_owned()).collect();
    let body = axum::body::to_bytes(body, usize::MAX).await.map(|bytes| bytes.len()).ok();
    let uri = parts.uri.to_string();
    axum::Json(json!({"method": parts.method.as_str(), "uri": uri, "headers": headers, "body": body}))
        .into_response()
}

struct Rig {
    rights: Rights,
    address: SocketAddr,
}

impl Rig {
    async fn new(refused: &[&'static str]) -> Self {
        let backend = serve(Router::new().fallback(restate)).await;
        Self::before(&format!("http://{backend}"), refused).await
    }

    async fn before(backend: &str, refused: &[&'static str]) -> Self {
        Self::with(backend, refused, Turnstiles::wide()).await
    }

    async fn with(backend: &str, refused: &[&'static str], turnstiles: Turnstiles) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let policy = Policy::default().with_loopback();
        let passage = Passage::new(&Options { policy, extra_ca: Vec::new() }).unwrap();
        let rights = Rights { refused: Arc::new(refused.iter().copied().collect()), ..Rights::default() };
        let api = Api::builder(GROUP, VERSION)
            .access(rights.clone())
            .computed(One(backend.to_owned()))
            .connection::<Thing, _>(
                "proxy",
                Proxy { turnstiles, ..Proxy::new(One(backend.to_owned()), passage) },
            )
            .build()
            .unwrap();
        Self { rights, address: serve(api.router()).await }
    }

    fn url(&self, below: &str) -> String {
        format!("http://{}/apis/{GROUP}/{VERSION}/things/prod/proxy{below}", self.address)
    }

    async fn ask(&self, method: &str, below: &str) -> (u16, Value) {
        let request = reqwest::Client::new().request(method.parse().unwrap(), self.url(below));
        let answer = request.send().await.unwrap();
        let code = answer.status().as_u16();
        (code, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.rights.asked.lock().unwrap())
    }

    /// Sends the head of a request as it is, and gives the connection with the head of the answer.
    async fn upgrade(&self, below: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let path = format!("/apis/{GROUP}/{VERSION}/things/prod/proxy{below}");
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nauthorization: Bearer \
             hush\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        (stream, String::from_utf8(answer).unwrap())
    }
}

/// C13, Z8: method, path and query arrive as they are; the second check has the verb of the method.
#[rstest]
#[case("GET", "/services?x=1&y=%20", "/services?x=1&y=%20", "get proxy/services")]
#[case("HEAD", "/services", "/services", "get proxy/services")]
#[case("POST", "/query", "/query", "create proxy/query")]
#[case("PUT", "/limits/rules", "/limits/rules", "update proxy/limits/rules")]
#[case("PATCH", "/invocations/inv_1/kill", "/invocations/inv_1/kill", "patch proxy/invocations/kill")]
#[case("DELETE", "/deployments/dp_1?force=true", "/deployments/dp_1?force=true", "delete proxy/deployments")]
#[case("DELETE", "/v3/%64eployments/dp_1", "/v3/deployments/dp_1", "delete proxy/deployments")]
#[case("GET", "/ui/", "/ui/", "get proxy/ui")]
#[tokio::test]
async fn a_request_is_checked_twice_and_carried(
    #[case] method: &str,
    #[case] below: &str,
    #[case] uri: &str,
    #[case] question: &str,
) {
    let rig = Rig::new(&[]).await;
    let (code, said) = rig.ask(method, below).await;
    assert_eq!(code, 200);
    assert_eq!(rig.asked(), [question]);
    if method != "HEAD" {
        assert_eq!((said["method"].as_str(), said["uri"].as_str()), (Some(method), Some(uri)));
    }
}

/// A role can allow reading services and forbid `DELETE /deployments`.
#[tokio::test]
async fn z8_what_is_refused_below_never_arrives() {
    let rig = Rig::new(&["delete proxy/deployments"]).await;
    assert_eq!(rig.ask("GET", "/services").await.0, 200);
    let (code, status) = rig.ask("DELETE", "/deployments/dp_1?force=true").await;
    assert_eq!((code, status["reason"].as_str()), (403, Some("Forbidden")));
    let words = r#"cannot delete resource "things/proxy/deployments""#;
    assert!(status["message"].as_str().unwrap().contains(words), "{status}");
}

#[tokio::test]
async fn a13_restate_learns_nothing_about_the_caller() {
    let rig = Rig::new(&[]).await;
    let names =
        ["authorization", "cookie", "x-remote-user", "x-forwarded-for", "impersonate-user", "x-other"];
    let mut request = reqwest::Client::new().post(rig.url("/query")).header("accept", "application/json");
    for name in names {
        request = request.header(name, "me");
    }
    let said: Value = request.json(&json!({"query": "select 1"})).send().await.unwrap().json().await.unwrap();
    assert_eq!(said["headers"], json!(["accept", "content-length", "content-type", "host"]));
    assert_eq!(said["body"], 20);
}

/// C13, P8: redirects never leave, and lead nowhere without the right to it.
#[rstest]
#[case("/", 200)]
#[case("/away", 503)]
#[case("/around", 503)]
#[tokio::test]
async fn redirects_stay_where_they_are(#[case] below: &str, #[case] expected: u16) {
    let rig = Rig::new(&[]).await;
    let (code, said) = rig.ask("GET", below).await;
    assert_eq!(code, expected, "{said}");
    if code == 200 {
        assert_eq!(said["uri"], "/ui/");
        assert_eq!(rig.asked(), ["get proxy/ui", "get proxy/ui"]);
    }
}

#[tokio::test]
async fn a_redirect_is_checked_where_it_leads_and_followed_by_reads_alone() {
    let rig = Rig::new(&["get proxy/services"]).await;
    assert_eq!(rig.ask("GET", "/up").await.0, 403);
    assert_eq!(rig.asked(), ["get proxy/up", "get proxy/services"]);
    assert_eq!(rig.ask("POST", "/up").await.0, 503);
    assert_eq!(rig.asked(), ["create proxy/up"]);
}

/// C13: a host in the path is refused before anybody is asked anything.
#[rstest]
#[case("/http://169.254.169.254/latest")]
#[case("/169.254.169.254:80/latest")]
#[case("//169.254.169.254/latest")]
#[case("/services/..%2f..%2fdeployments")]
#[tokio::test]
async fn hosts_in_paths_are_refused(#[case] below: &str) {
    let rig = Rig::new(&[]).await;
    let (code, status) = rig.ask("GET", below).await;
    assert_eq!((code, status["reason"].as_str()), (400, Some("BadRequest")), "{status}");
    assert!(rig.asked().is_empty());
}

/// T4, E7: announced or not, a body has a limit.
#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let rig = Rig::new(&[]).await;
    let post = |body: reqwest::Body| reqwest::Client::new().post(rig.url("/query")).body(body).send();
    let large = vec![b'x'; LARGEST_BODY + 1];
    assert_eq!(post(large.clone().into()).await.unwrap().status(), 413);
    let chunks = large.chunks(64 * 1024).map(|chunk| Ok::<_, Infallible>(chunk.to_vec())).collect::<Vec<_>>();
    let streamed = post(reqwest::Body::wrap_stream(futures::stream::iter(chunks))).await;
    assert_eq!(streamed.unwrap().status(), 413);
    let said: Value = post(large[..LARGEST_BODY].to_vec().into()).await.unwrap().json().await.unwrap();
    assert_eq!(said["body"], LARGEST_BODY);
}

#[tokio::test]
async fn an_answer_is_passed_on_as_it_comes() {
    let rig = Rig::new(&[]).await;
    let mut answer = reqwest::get(rig.url("/slow")).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "first");
}

/// P9, Z8: bytes flow both ways, and reading alone is not enough.
#[tokio::test]
async fn an_upgrade_joins_both_ends() {
    let rig = Rig::new(&[]).await;
    let (mut stream, head) = rig.upgrade("/echo").await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    stream.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello");
    assert_eq!(rig.asked(), ["create proxy", "get proxy/echo", "create proxy/echo"]);
}

#[rstest]
#[case("create proxy")]
#[case("create proxy/echo")]
#[tokio::test]
async fn z8_an_upgrade_needs_the_right_to_write(#[case] refused: &'static str) {
    let rig = Rig::new(&[refused]).await;
    let (_, head) = rig.upgrade("/echo").await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
}

/// P9: an upgrade that Restate does not make is an ordinary answer.
#[tokio::test]
async fn an_upgrade_that_is_refused_is_an_ordinary_answer() {
    let rig = Rig::new(&[]).await;
    let (_, head) = rig.upgrade("/services").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

/// E10: what is wrong with Restate is no fault of the caller's.
#[tokio::test]
async fn what_restate_cannot_do_is_said_as_such() {
    let rig = Rig::new(&[]).await;
    assert_eq!(rig.ask("GET", "/locked").await.0, 503);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let rig = Rig::before(&format!("http://{gone}"), &[]).await;
    let (code, status) = rig.ask("GET", "/services").await;
    assert_eq!((code, status["reason"].as_str()), (503, Some("ServiceUnavailable")));
    let other = rig.url("/services").replace("/prod/", "/other/");
    assert_eq!(reqwest::get(other).await.unwrap().status(), 404);
}

/// C3: there is no dry run of a connection.
#[tokio::test]
async fn c3_a_dry_run_is_refused() {
    let rig = Rig::new(&[]).await;
    assert!(rig.ask("POST", "/deployments?dryRun=All").await.0 >= 400);
    assert!(rig.asked().is_empty());
}

/// T5: a stream holds its turn until it ends.
#[tokio::test]
async fn t5_one_restate_is_passed_only_so_much_at_once() {
    let backend = serve(Router::new().fallback(restate)).await;
    let rig = Rig::with(&format!("http://{backend}"), &[], Turnstiles::of(1)).await;
    let streamed = reqwest::get(rig.url("/slow")).await.unwrap();
    assert_eq!(streamed.status(), 200);
    assert_eq!(rig.ask("GET", "/services").await.0, 429);
    drop(streamed);
    assert_eq!(rig.ask("GET", "/services").await.0, 200);
}
