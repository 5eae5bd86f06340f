//! The chain as a whole, over real connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use axum::{Extension, Json};
use futures::{FutureExt, StreamExt};
use http::StatusCode;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::warnings::Warnings;
use super::*;
use crate::authn::LiveConfig;
use crate::rig::{Authority, Identity, Reviewer, config_map};
use crate::status::Status;
use crate::tls::slot::CertificateSlot;
use crate::user::User;

const HOST: &str = "things.shop.svc";
const THING: &str = "/apis/example.dev/v1/namespaces/shop/things/a";
const QUIET: &str = "/apis/example.dev/v1/things/b/log";

struct World {
    header_ca: Authority,
    client_ca: Authority,
    serving_ca: Authority,
    slot: Arc<CertificateSlot>,
    reviewer: Reviewer,
    address: SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

fn router() -> Router {
    let whoami = |Extension(user): Extension<User>, request: Request| async move {
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str().to_owned()).collect();
        Json(json!({"name": user.name, "groups": user.groups, "headers": names}))
    };
    Router::new()
        .route(THING, any(whoami))
        .route("/panic", get(panicking))
        .route("/redirect", get(|| async { axum::response::Redirect::to("/elsewhere") }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_mins(10)).await }))
        .route("/long", get(long))
        .route("/brief", get(|| async { tokio::time::sleep(Duration::from_millis(400)).await }))
        .route(
            "/warn",
            get(|Extension(warnings): Extension<Warnings>| async move { warnings.add("careful") }),
        )
        .route("/echo", axum::routing::post(|body: axum::body::Bytes| async move { body.len().to_string() }))
        .route("/teapot", get(|| async { (StatusCode::IM_A_TEAPOT, "plain text") }))
        .route(
            "/proxied",
            get(|| async {
                let mut response = (StatusCode::NOT_FOUND, "their text").into_response();
                response.extensions_mut().insert(Verbatim);
                response
            }),
        )
        .route("/apis/example.dev/v1/things/a/proxy/echo", get(echo))
        .route("/apis/example.dev/v1/things/a/log", get(endless))
        .route(QUIET, get(quiet))
        .fallback(|| async { Status::no_such_path() })
}

async fn panicking() -> StatusCode {
    panic!("secret")
}

/// Sends back what comes over the upgraded connection.
async fn echo(mut request: Request) -> axum::response::Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let stream = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
        let (mut read, mut write) = tokio::io::split(stream);
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    });
    let headers = [("connection", "upgrade"), ("upgrade", "echo")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// More than anybody reads.
async fn long() -> axum::response::Response {
    let lines = futures::stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![b'x'; 64 * 1024]));
    axum::body::Body::from_stream(lines).into_response()
}

/// Lines until the server is draining.
async fn endless(Extension(draining): Extension<Draining>) -> axum::response::Response {
    let lines = futures::stream::unfold(draining, |draining| async {
        tokio::select! {
            () = draining.turn_to_end() => None,
            () = tokio::time::sleep(Duration::from_millis(20)) => Some((Ok::<_, std::convert::Infallible>("line\n"), draining)),
        }
    });
    axum::body::Body::from_stream(lines).into_response()
}

/// A line, and then nothing for long, like most watches. A thousand streams with more than that want a client that
/// reads them: a library of HTTP/2 ends the connection where many small frames wait to be read.
async fn quiet() -> axum::response::Response {
    let line = futures::stream::iter([Ok::<_, std::convert::Infallible>("line\n")]);
    axum::body::Body::from_stream(line.chain(futures::stream::pending())).into_response()
}

async fn world() -> World {
    world_with(|server| server).await
}

async fn world_with(change: impl FnOnce(Server) -> Server) -> World {
    let (header_ca, client_ca, serving_ca) =
        (Authority::new("front"), Authority::new("clients"), Authority::new("serving"));
    let (health, reviewer, slot) = (Health::new(), Reviewer::default(), CertificateSlot::new());
    let config = LiveConfig::new(&health);
    config.offer(&config_map(&header_ca.pem, Some(&client_ca.pem), &["proxy"])).unwrap();
    let serving = serving_ca.server(HOST);
    slot.store(serving.chain.as_bytes(), serving.key.as_bytes()).unwrap();
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry, "test");
    let server = change(Server {
        router: router(),
        resources: Vec::new(),
        tls: Tls::new(Arc::clone(&slot) as _).unwrap(),
        authn: Authenticator::new(config, reviewer.client(), metrics.clone()),
        authz: Authorizer::new(reviewer.client(), metrics.clone()).with_health(&health),
        health: health.clone(),
        metrics,
        registry: Arc::new(registry),
        audit: audit::Log::off(),
        version: Info { git_version: "v0.1.0".to_owned(), ..Info::default() },
        limits: Limits::default(),
        grace: Grace {
            delay: Duration::from_millis(300),
            spread: Duration::from_millis(50),
            drain: Duration::from_secs(5),
        },
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let running = tokio::spawn(server.run(listener, shutdown.clone()));
    World { header_ca, client_ca, serving_ca, slot, reviewer, address, shutdown, running }
}

impl World {
    fn config(&self, identity: Option<&Identity>, alpn: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let ca = Identity { chain: self.serving_ca.pem.clone(), key: String::new() };
        roots.add(ca.certificates().remove(0)).unwrap();
        let builder = ClientConfig::builder_with_provider(crate::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => {
                builder.with_client_auth_cert(identity.certificates(), identity.private_key()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }

    fn client(&self, identity: Option<&Identity>, alpn: &[&str]) -> reqwest::Client {
        let config = self.config(identity, alpn);
        let builder = reqwest::Client::builder().resolve(HOST, self.address).no_proxy();
        builder.redirect(reqwest::redirect::Policy::none()).tls_backend_preconfigured(config).build().unwrap()
    }

    /// A connection of the front proxy's, without any HTTP library.
    async fn raw(&self) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
        let config = self.config(Some(&self.header_ca.client("proxy", &[])), &["http/1.1"]);
        let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect(HOST.try_into().unwrap(), stream).await.unwrap()
    }

    fn anonymous(&self) -> reqwest::Client {
        self.client(None, &["h2", "http/1.1"])
    }

    fn proxy(&self) -> reqwest::Client {
        self.client(Some(&self.header_ca.client("proxy", &[])), &["h2", "http/1.1"])
    }

    fn url(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.address.port())
    }

    /// As the aggregation layer sends it for alice.
    async fn by_alice(&self, path: &str) -> reqwest::Response {
        self.proxy().get(self.url(path)).header("x-remote-user", "alice").send().await.unwrap()
    }
}

async fn status(response: reqwest::Response) -> (u16, String, String) {
    let code = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff", "P11");
    let body: Value = response.json().await.unwrap();
    assert_eq!((body["kind"].as_str(), body["code"].as_u64()), (Some("Status"), Some(code.into())));
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    (code, text("reason"), text("message"))
}

#[tokio::test]
async fn t1_p9_both_protocols_and_no_certificate_demanded() {
    let world = world().await;
    for (alpn, version) in [("h2", http::Version::HTTP_2), ("http/1.1", http::Version::HTTP_11)] {
        let response = world.client(None, &[alpn]).get(world.url("/readyz")).send().await.unwrap();
        assert_eq!((response.version(), response.status().as_u16()), (version, 200));
        assert_eq!(response.text().await.unwrap(), "ok", "T7");
    }
}

#[tokio::test]
async fn a1_a13_the_front_proxy_is_believed_and_its_headers_go_no_further() {
    let world = world().await;
    let request =
        world.proxy().get(world.url(THING)).header("x-remote-user", "alice").header("x-remote-group", "dev");
    let response = request.header("cookie", "a=b").send().await.unwrap();
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["name"], &body["groups"]), (&json!("alice"), &json!(["dev", "system:authenticated"])));
    assert!(
        !body["headers"].to_string().contains("x-remote") && !body["headers"].to_string().contains("cookie")
    );
}

#[tokio::test]
async fn a1_a2_whoever_only_claims_to_be_alice_is_refused() {
    let world = world().await;
    let clients = [
        ("no certificate", None, 403),
        ("client CA", Some(world.client_ca.client("proxy", &[])), 403),
        ("wrong name", Some(world.header_ca.client("other", &[])), 401),
        ("expired", Some(world.header_ca.expired_client("proxy")), 401),
        ("stranger", Some(Authority::new("front").client("proxy", &[])), 401),
    ];
    for (case, identity, expected) in clients {
        let client = world.client(identity.as_ref(), &["h2"]);
        let response = client.get(world.url(THING)).header("x-remote-user", "alice").send().await.unwrap();
        let (code, reason, _) = status(response).await;
        let words = if expected == 401 { "Unauthorized" } else { "Forbidden" };
        assert_eq!((code, reason.as_str()), (expected, words), "A12, {case}");
    }
}

#[tokio::test]
async fn z9_a_refusal_is_in_the_words_of_kube_apiserver() {
    let world = world().await;
    let response = world.proxy().get(world.url(THING)).header("x-remote-user", "bob").send().await.unwrap();
    let (code, _, message) = status(response).await;
    assert_eq!(code, 403);
    assert_eq!(
        message,
        r#"things.example.dev "a" is forbidden: User "bob" cannot get resource "things" in API group "example.dev" in the namespace "shop""#
    );
}

#[tokio::test]
async fn a15_impersonation_takes_the_right_to_it() {
    let world = world().await;
    let ask = |by: &'static str| {
        let request = world.proxy().get(world.url(THING)).header("x-remote-user", by);
        request.header("impersonate-user", "alice").send()
    };
    let (code, _, message) = status(ask("bob").await.unwrap()).await;
    assert_eq!(code, 403);
    assert!(
        message.contains(r#"users "alice" is forbidden: User "bob" cannot impersonate resource "users""#),
        "{message}"
    );
    let body: Value = ask("alice").await.unwrap().json().await.unwrap();
    assert_eq!(body["name"], "alice");
    assert!(!body["headers"].to_string().contains("impersonate"));
}

#[tokio::test]
async fn h1_a_new_certificate_is_served_under_open_connections() {
    let mut world = world().await;
    let client = world.proxy();
    let ask = || async {
        client
            .get(world.url("/livez"))
            .header("x-remote-user", "alice")
            .send()
            .await
            .map(|response| response.status().as_u16())
    };
    assert_eq!(ask().await.unwrap(), 200);
    let next = Authority::new("next");
    let serving = next.server(HOST);
    world.slot.store(serving.chain.as_bytes(), serving.key.as_bytes()).unwrap();
    assert_eq!(ask().await.unwrap(), 200, "the open connection lives on");
    let old_roots = world.anonymous();
    assert!(
        old_roots.get(world.url("/livez")).send().await.is_err(),
        "new connections see the new certificate"
    );
    world.serving_ca = next;
    assert_eq!(world.anonymous().get(world.url("/livez")).send().await.unwrap().status(), 200);
}

/// The kubelet asks over TLS and trusts everybody; where it is not answered it restarts the container.
#[tokio::test]
async fn h1_a_server_without_a_certificate_is_alive_and_not_ready() {
    let slot = CertificateSlot::new();
    let empty = Arc::clone(&slot);
    let mut gate = None;
    let world = world_with(|mut server| {
        gate = Some(server.health.gate("serving-certificate", "there is none yet"));
        server.tls = Tls::new(empty).unwrap();
        server
    })
    .await;
    let mut roots = RootCertStore::empty();
    roots.add(slot.served().unwrap().cert[0].clone()).unwrap();
    let config = ClientConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder().resolve("not-yet.invalid", world.address).no_proxy();
    let client = client.tls_backend_preconfigured(config).build().unwrap();
    let ask = async |path: &str| {
        let url = format!("https://not-yet.invalid:{}{path}", world.address.port());
        client.get(url).send().await.unwrap().status().as_u16()
    };
    assert_eq!((ask("/livez").await, ask("/readyz").await), (200, 500));
    assert!(!slot.is_filled());
}

#[tokio::test]
async fn e11_p8_everything_that_fails_is_a_status() {
    let world = world().await;
    for (path, code, reason) in [
        ("/panic", 500, "InternalError"),
        ("/redirect", 500, "InternalError"),
        ("/nowhere", 404, "NotFound"),
        ("/echo", 405, "MethodNotAllowed"),
        ("/teapot", 418, "BadRequest"),
        ("/slow?timeout=20ms", 504, "Timeout"),
        ("/slow?timeout=soon", 400, "BadRequest"),
        ("/slow?timeout=99999999999999999999s", 400, "BadRequest"),
    ] {
        let response = world.by_alice(path).await;
        assert!(!response.headers().contains_key("location"));
        assert!(!response.headers().contains_key("audit-id"), "P11: the front proxy's own is enough");
        if path == "/teapot" {
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["reason"], reason);
            continue;
        }
        let (seen, why, message) = status(response).await;
        assert_eq!((seen, why.as_str()), (code, reason), "{path}");
        assert!(!message.contains("secret"), "{message}");
    }
    assert_eq!(world.by_alice("/proxied").await.text().await.unwrap(), "their text", "what is proxied stays");
}

#[tokio::test]
async fn e7_t4_bodies_are_bounded() {
    let world = world().await;
    let post = |bytes: usize, chunked: bool| {
        let body = vec![b'x'; bytes];
        let body = if chunked {
            reqwest::Body::wrap_stream(futures::stream::iter([Ok::<_, std::io::Error>(body)]))
        } else {
            reqwest::Body::from(body)
        };
        world.proxy().post(world.url("/echo")).header("x-remote-user", "alice").body(body).send()
    };
    let limit = Limits::default().body;
    for chunked in [false, true] {
        let (code, reason, _) = status(post(limit + 1, chunked).await.unwrap()).await;
        assert_eq!((code, reason.as_str()), (413, "RequestEntityTooLarge"), "chunked: {chunked}");
    }
}

#[tokio::test]
async fn c9_p11_warnings_and_the_audit_id_reach_the_client() {
    let world = world().await;
    let request =
        world.proxy().get(world.url("/warn")).header("x-remote-user", "alice").header("audit-id", "joined");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["warning"], r#"299 - "careful""#);
}

/// What the front proxy adds itself is left to it, whether the answer is good, bad or late; everybody else gets it
/// from us.
#[tokio::test]
async fn p11_audit_id_and_cache_control_are_there_once() {
    let world = world().await;
    let alice = world.client_ca.client("alice", &[]);
    let direct = world.client(Some(&alice), &["h2"]);
    for path in ["/warn", "/nowhere", "/slow?timeout=20ms", "/slow?timeout=soon", "/panic"] {
        let ask = |client: &reqwest::Client| {
            client.get(world.url(path)).header("x-remote-user", "alice").header("audit-id", "joined").send()
        };
        let proxied = ask(&world.proxy()).await.unwrap();
        for name in ["audit-id", "cache-control"] {
            assert!(!proxied.headers().contains_key(name), "{path}: {name}");
        }
        let answer = ask(&direct).await.unwrap();
        assert_eq!(answer.headers()["audit-id"], "joined", "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-cache, private", "{path}");
    }
}

#[tokio::test]
async fn t7_t8_m6_what_the_server_says_about_itself() {
    let world = world_with(|server| {
        server.health.gate("mood", "bad");
        server
    })
    .await;
    let response = world.anonymous().get(world.url("/readyz?verbose")).send().await.unwrap();
    assert_eq!(response.status(), 500);
    insta::assert_snapshot!(response.text().await.unwrap(), @r"
    [+]ping ok
    [+]authentication ok
    [+]authorization ok
    [-]mood failed: reason withheld
    [+]shutdown ok
    readyz check failed
    ");
    let code = |path: &str| world.anonymous().get(world.url(path)).send();
    assert_eq!(code("/livez").await.unwrap().status(), 200, "liveness does not depend on it");
    assert_eq!(code("/readyz/ping").await.unwrap().status(), 200);
    assert_eq!(code("/readyz?exclude=mood").await.unwrap().status(), 200);
    assert_eq!(code("/readyz/nothing").await.unwrap().status(), 404);
    assert_eq!(code("/metrics").await.unwrap().status(), 403, "M6: by permission only");
    let version: Value = world.by_alice("/version").await.json().await.unwrap();
    assert_eq!(version["gitVersion"], "v0.1.0");
    let metrics = world.by_alice("/metrics").await.text().await.unwrap();
    assert!(metrics.contains(r#"apiserver_request_total{component="test",verb="GET""#), "{metrics}");
}

#[tokio::test]
async fn t5_too_much_at_a_time_is_shed_but_not_the_aggregator() {
    let world = world_with(|mut server| {
        server.limits.reading = 1;
        server
    })
    .await;
    let open = world.by_alice("/brief");
    let shed = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let response = world.by_alice(THING).await;
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(status(response).await.0, 429);
        let poll = world.proxy().get(world.url("/nowhere")).header("x-remote-user", "system:kube-aggregator");
        let answer = poll.header("x-remote-group", "system:masters").send().await.unwrap();
        assert_eq!(answer.status(), 404, "never shed");
        assert_eq!(world.anonymous().get(world.url("/livez")).send().await.unwrap().status(), 200);
    };
    let (first, ()) = tokio::join!(open, shed);
    assert_eq!(first.status(), 200);
    assert_eq!(world.by_alice(THING).await.status(), 200, "the place is free again");
}

/// C11, T5: a client that asks and does not read keeps its place no longer than others, and its stream is cut.
#[rstest::rstest]
#[case("h2")]
#[case("http/1.1")]
#[tokio::test]
async fn c11_t5_a_reader_that_stalls_gives_its_place_back(#[case] alpn: &str) {
    let limit = Duration::from_secs(4);
    let world = world_with(|mut server| {
        (server.limits.reading, server.limits.deadline) = (1, limit);
        server
    })
    .await;
    let client = world.client(Some(&world.header_ca.client("proxy", &[])), &[alpn]);
    let long = client.get(world.url("/long")).header("x-remote-user", "alice");
    let start = Instant::now();
    let mut stalled = long.send().await.unwrap();
    assert_eq!(stalled.status(), 200);
    let shed = world.by_alice(THING).await.status();
    assert!(shed == 429 || start.elapsed() >= limit, "it has the only place");
    let again = async { while world.by_alice(THING).await.status() == 429 {} };
    tokio::time::timeout(4 * limit, again).await.expect("its time is over");
    let rest = async { while let Ok(Some(_)) = stalled.chunk().await {} };
    tokio::time::timeout(4 * limit, rest).await.expect("the stream is cut");
}

/// M8: what is never answered has a line all the same.
#[tokio::test]
async fn m8_what_times_out_or_is_given_up_is_recorded() {
    let (lines, out) = tokio::io::duplex(64 * 1024);
    let world = world_with(|mut server| {
        server.audit = audit::Log::new(audit::Level::Metadata, out, server.metrics.clone());
        server
    })
    .await;
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(lines));
    let mut recorded =
        async || -> Value { serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap() };
    assert_eq!(world.by_alice("/slow?timeout=20ms").await.status(), 504);
    let late = recorded().await;
    assert_eq!((&late["responseStatus"]["code"], &late["user"]["username"]), (&json!(504), &json!("alice")));
    let client = world.proxy();
    let slow = client.get(world.url("/slow")).header("x-remote-user", "alice").send();
    assert!(tokio::time::timeout(Duration::from_millis(300), slow).await.is_err());
    drop(client);
    let left = recorded().await;
    assert_eq!((&left["responseStatus"]["code"], &left["requestURI"]), (&json!(499), &json!("/slow")));
    assert_eq!(world.by_alice(THING).await.status(), 200);
    assert_eq!(recorded().await["responseStatus"]["code"], 200, "one line for each");
}

#[tokio::test]
async fn t9_w21_a_stop_loses_nothing() {
    let world = world().await;
    let client = world.proxy();
    let get = |path: &str| client.get(world.url(path)).header("x-remote-user", "alice").send();
    let stream = get("/apis/example.dev/v1/things/a/log").await.unwrap();
    world.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ready = world.anonymous().get(world.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 500, "not ready, but still accepting");
    assert_eq!(get(THING).await.unwrap().status(), 200, "still serving");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let brief = get("/brief").await.unwrap();
    assert_eq!(brief.status(), 200, "begun before the drain, answered after");
    let lines = stream.text().await.unwrap();
    assert!(lines.ends_with("line\n"), "the stream ends cleanly");
    let start = Instant::now();
    world.running.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "nothing is left to wait for");
    assert!(tokio::net::TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn t9_what_does_not_end_is_cut() {
    let world = world_with(|mut server| {
        server.grace =
            Grace { delay: Duration::ZERO, spread: Duration::ZERO, drain: Duration::from_millis(200) };
        server
    })
    .await;
    let slow = tokio::spawn(world.proxy().get(world.url("/slow")).header("x-remote-user", "alice").send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(3), world.running).await.unwrap().unwrap();
    assert!(slow.await.unwrap().is_err());
}

/// Passes connections on to the server, and counts them: how many there were, and how many have ended.
#[derive(Clone, Default)]
struct Counted {
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Counted {
    /// From now on `world` is reached through here.
    async fn before(world: &mut World) -> Self {
        let (counted, target) = (Self::default(), world.address);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        world.address = listener.local_addr().unwrap();
        let own = counted.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                own.begun.fetch_add(1, Ordering::SeqCst);
                let ended = Arc::clone(&own.ended);
                tokio::spawn(async move {
                    let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        counted
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    async fn have_ended(&self, count: usize) {
        let ended = async {
            while self.ended.load(Ordering::SeqCst) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the server ends the connection");
    }
}

#[tokio::test]
async fn a12_unknown_callers_get_a_new_connection_each_time() {
    let mut world = world().await;
    let counted = Counted::before(&mut world).await;
    let stranger = world.client(Some(&world.header_ca.client("other", &[])), &["h2"]);
    for round in 1..=3 {
        assert_eq!(stranger.get(world.url(THING)).send().await.unwrap().status(), 401);
        counted.have_ended(round).await;
        assert_eq!(counted.begun(), round, "a connection for each of them");
    }
    assert!(world.reviewer.questions().is_empty(), "nobody is asked about them");
    let proxy = world.proxy();
    for _ in 0..3 {
        let answer = proxy.get(world.url(THING)).header("x-remote-user", "alice").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
    }
    assert_eq!(counted.begun(), 4, "whoever is known keeps theirs");
}

/// A thousand at a time on one connection, each of them answered while all are open; one more waits its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t2_a_connection_has_a_thousand_streams() {
    const STREAMS: usize = 1000;
    let mut world = world().await;
    let counted = Counted::before(&mut world).await;
    let client = world.client(Some(&world.header_ca.client("proxy", &[])), &["h2"]);
    let ask = async || {
        let get = client.get(world.url(QUIET)).header("x-remote-user", "alice");
        let mut answer = get.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "line\n");
        answer
    };
    let mut open = vec![ask().await];
    open.extend(futures::future::join_all((1..STREAMS).map(|_| ask())).await);
    let one_more = tokio::time::timeout(Duration::from_millis(500), ask()).await;
    assert!(one_more.is_err(), "the bound of the connection, not of the server");
    open.truncate(STREAMS / 2);
    tokio::time::timeout(Duration::from_secs(10), ask()).await.expect("a place is free");
    assert!(
        open.iter_mut().all(|answer| answer.chunk().now_or_never().is_none()),
        "the others are still open"
    );
    assert_eq!(counted.begun(), 1);
}

/// C11, T2: kube-apiserver has all its users on one connection. What is cut takes nothing along: neither the streams
/// beside it nor any of the room that the connection has, however often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_t2_a_stream_that_is_cut_leaves_the_others_alone() {
    let mut world = world().await;
    let counted = Counted::before(&mut world).await;
    let client = world.client(Some(&world.header_ca.client("proxy", &[])), &["h2"]);
    let get = |path: &str| client.get(world.url(path)).header("x-remote-user", "alice").send();
    let mut beside = get(QUIET).await.unwrap();
    assert_eq!(beside.chunk().await.unwrap().unwrap(), "line\n");
    let stalled = async || {
        let mut answer = get("/long?timeout=200ms").await.unwrap();
        assert_eq!(answer.status(), 200);
        tokio::time::sleep(Duration::from_millis(300)).await;
        while let Ok(Some(_)) = answer.chunk().await {}
    };
    // More than a library of HTTP/2 forgives a peer in the life of one connection.
    for _ in 0..11 {
        futures::future::join_all((0..100).map(|_| stalled())).await;
    }
    assert_eq!(get(THING).await.unwrap().status(), 200);
    assert!(beside.chunk().now_or_never().is_none(), "it is still open");
    assert_eq!(counted.begun(), 1);
}

/// Holds back what is sent to the server while it is shut.
async fn dam(world: &mut World) -> tokio::sync::watch::Sender<bool> {
    let (is_shut, shut) = tokio::sync::watch::channel(false);
    let (target, listener) = (world.address, TcpListener::bind("127.0.0.1:0").await.unwrap());
    world.address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = tokio::net::TcpStream::connect(target).await.unwrap();
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let (mut shut, mut held) = (shut, Vec::new());
        loop {
            tokio::select! {
                read = from_client.read_buf(&mut held) => if read.unwrap() == 0 { return },
                () = async { drop(shut.wait_for(|shut| !shut).await) }, if !held.is_empty() => {
                    to_server.write_all(&held).await.unwrap();
                    held.clear();
                }
            }
        }
    });
    is_shut
}

/// T2: requests that somebody gives up before the server has looked at them end nobody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t2_many_requests_that_are_given_up_at_once_leave_the_others_alone() {
    let mut world = world().await;
    let is_shut = dam(&mut world).await;
    let client = world.client(Some(&world.header_ca.client("proxy", &[])), &["h2"]);
    let get = |path: &str| client.get(world.url(path)).header("x-remote-user", "alice").send();
    let mut beside = get(QUIET).await.unwrap();
    assert_eq!(beside.chunk().await.unwrap().unwrap(), "line\n");
    is_shut.send_replace(true);
    let given_up = (0..200).map(|_| tokio::time::timeout(Duration::from_millis(300), get(THING)));
    assert!(futures::future::join_all(given_up).await.iter().all(Result::is_err));
    tokio::time::sleep(Duration::from_millis(300)).await;
    is_shut.send_replace(false);
    assert_eq!(get(THING).await.unwrap().status(), 200);
    assert!(beside.chunk().now_or_never().is_none(), "it is still open");
}

/// Who it is comes before how much there is to do, and that before whether they may; what is shed is in the audit log.
#[tokio::test]
async fn t6_the_order_of_the_stages() {
    let (read, write) = tokio::io::duplex(64 * 1024);
    let world = world_with(|mut server| {
        server.limits.reading = 1;
        server.audit = audit::Log::new(audit::Level::Metadata, write, Metrics::unread());
        server
    })
    .await;
    let hold = || tokio::spawn(world.proxy().get(world.url("/slow")).header("x-remote-user", "alice").send());
    let mut open = hold();
    let full = async {
        while world.by_alice(THING).await.status() != 429 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            // The one who asks was in its way.
            if open.is_finished() {
                open = hold();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), full).await.expect("the place is taken");
    let stranger = world.client(Some(&world.header_ca.client("other", &[])), &["h2"]);
    let unknown = stranger.get(world.url(THING)).send().await.unwrap().status();
    let bob = world.proxy().get(world.url(THING)).header("x-remote-user", "bob").header("audit-id", "shed");
    let shed = bob.send().await.unwrap().status();
    let path = world.by_alice("/slow?timeout=soon").await.status();
    assert_eq!((unknown.as_u16(), shed.as_u16(), path.as_u16()), (401, 429, 400));
    assert!(!open.is_finished(), "it was there all the time");
    open.abort();
    let about_bob = |spec: &k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec| {
        spec.user.as_deref() == Some("bob")
    };
    assert!(!world.reviewer.questions().iter().any(about_bob), "nobody is asked about what is shed");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(read));
    let recorded = async {
        loop {
            let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
            if line["auditID"] == "shed" {
                return line;
            }
        }
    };
    let line = tokio::time::timeout(Duration::from_secs(5), recorded).await.expect("a line about it");
    assert_eq!((&line["responseStatus"]["code"], &line["user"]["username"]), (&json!(429), &json!("bob")));
}

/// kube-apiserver's poller of schemas: it names no group, has a group added by us, and is asked about as a path.
#[tokio::test]
async fn o2_the_poller_of_schemas_is_reviewed_like_anybody() {
    let world = world().await;
    for path in ["/openapi/v2", "/openapi/v3"] {
        let poll = world.proxy().get(world.url(path)).header("x-remote-user", "system:aggregator");
        poll.send().await.unwrap();
        let asked = world.reviewer.questions();
        let spec = asked.last().expect("a question");
        let place = spec.non_resource_attributes.as_ref().expect("about a path");
        assert_eq!(spec.user.as_deref(), Some("system:aggregator"));
        assert_eq!(spec.groups.as_deref(), Some(["system:authenticated".to_owned()].as_slice()));
        assert_eq!((place.path.as_deref(), place.verb.as_deref()), (Some(path), Some("get")));
    }
}

#[tokio::test]
async fn t3_garbage_is_no_harm() {
    let world = world().await;
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"), "plain text is not answered");
    assert_eq!(world.by_alice(THING).await.status(), 200);
    let metrics = world.by_alice("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("apiserver_tls_handshake_errors_total 1"), "M3");
}

#[tokio::test]
async fn p9_an_upgrade_is_piped() {
    let world = world().await;
    let mut stream = world.raw().await;
    let head = "GET /apis/example.dev/v1/things/a/proxy/echo HTTP/1.1\r\nhost: x\r\nx-remote-user: alice\r\n\
                connection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello");
}

#[tokio::test]
async fn p9_a_refused_upgrade_ends_the_connection() {
    let world = world().await;
    let mut stream = world.raw().await;
    let smuggled = "GET /nowhere HTTP/1.1\r\nhost: x\r\nx-remote-user: bob\r\nconnection: upgrade\r\n\
                    upgrade: echo\r\n\r\nGET /version HTTP/1.1\r\nhost: x\r\nx-remote-user: alice\r\n\r\n";
    stream.write_all(smuggled.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection ends");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("connection: close"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "the second request is not answered");
}

#[tokio::test]
async fn t3_malformed_requests_are_answered_or_cut_but_never_kill() {
    let world = world().await;
    let pieces = [
        "GET",
        " ",
        "/",
        "\r\n",
        "HTTP/1.1",
        ":",
        "host",
        "x-remote-user: alice",
        "\0",
        "content-length: -1",
        "%zz",
        "ü",
    ];
    for round in 0..60_usize {
        let mut stream = world.raw().await;
        let text: String =
            (0..12).map(|step| pieces[(round * 7 + step * (round + 3)) % pieces.len()]).collect();
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.write_all(b"\r\n\r\n").await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_millis(20), stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP/1.1 5"), "{text:?}: {}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(world.by_alice(THING).await.status(), 200);
}

#[tokio::test]
async fn t3_a_user_may_be_in_hundreds_of_groups() {
    let world = world().await;
    for alpn in ["h2", "http/1.1"] {
        let client = world.client(Some(&world.header_ca.client("proxy", &[])), &[alpn]);
        let request = client.get(world.url(THING)).header("x-remote-user", "alice");
        let request = (0..600)
            .fold(request, |request, group| request.header("x-remote-group", format!("group-{group}")));
        let body: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(body["groups"].as_array().unwrap().len(), 601, "{alpn}");
    }
}

#[tokio::test]
async fn m1_a_request_that_is_given_up_counts_as_aborted() {
    let world = world().await;
    let client = world.proxy();
    let slow = client.get(world.url("/slow")).header("x-remote-user", "alice").send();
    assert!(tokio::time::timeout(Duration::from_millis(200), slow).await.is_err());
    drop(client);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let metrics = world.by_alice("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains(r#"apiserver_request_aborts_total{component="test",verb="GET""#),
        "P4: {metrics}"
    );
    assert!(
        metrics.contains(r#"inflight_requests{component="test",request_kind="readOnly"} 1"#),
        "only this one"
    );
}
