//! The spoofing rows: who is believed what.

use http::Request;
use rstest::rstest;

use super::*;
use crate::health::Health;
use crate::rig::cluster::Cluster;
use crate::rig::{Authority, Identity, Reviewer, config_map};
use crate::user::{ANONYMOUS, AUTHENTICATED};

struct World {
    header_ca: Authority,
    client_ca: Authority,
    config: Arc<LiveConfig>,
    reviewer: Reviewer,
    authn: Authenticator,
}

fn world(allowed_names: &[&str]) -> World {
    let (header_ca, client_ca) = (Authority::new("front"), Authority::new("clients"));
    let config = LiveConfig::new(&Health::new());
    config.offer(&config_map(&header_ca.pem, Some(&client_ca.pem), allowed_names)).unwrap();
    let reviewer = Reviewer::default();
    let authn = Authenticator::new(Arc::clone(&config), reviewer.client(), Metrics::unread());
    World { header_ca, client_ca, config, reviewer, authn }
}

impl World {
    async fn ask(
        &self,
        identity: Option<&Identity>,
        headers: &[(&str, &str)],
    ) -> (Result<User, Error>, Parts) {
        let mut request = Request::new(()).into_parts().0;
        request.extensions.insert(identity.map(Identity::peer).unwrap_or_default());
        for (name, value) in headers {
            request.headers.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        let user = self.authn.authenticate(&mut request, Timestamp::now()).await;
        (user, request)
    }

    async fn name(
        &self,
        identity: Option<&Identity>,
        headers: &[(&str, &str)],
    ) -> Result<String, &'static str> {
        match self.ask(identity, headers).await.0 {
            Ok(user) => Ok(user.name),
            Err(Error::Certificate { .. }) => Err("certificate"),
            Err(Error::Name { .. }) => Err("name"),
            Err(Error::Token) => Err("token"),
            Err(_) => Err("other"),
        }
    }
}

const CLAIM: [(&str, &str); 1] = [("x-remote-user", "admin")];

#[tokio::test]
async fn a1_a_header_without_a_certificate_is_nothing() {
    let (user, request) = world(&["proxy"]).ask(None, &CLAIM).await;
    assert_eq!(user.unwrap(), User::anonymous());
    assert!(request.headers.is_empty(), "A13: {:?}", request.headers);
}

#[tokio::test]
async fn a1_a_header_with_a_certificate_of_the_client_ca_is_nothing() {
    let world = world(&["proxy"]);
    let proxy_in_name_only = world.client_ca.client("proxy", &["dev"]);
    let (user, _) = world.ask(Some(&proxy_in_name_only), &CLAIM).await;
    let user = user.unwrap();
    assert_eq!(
        (user.name.as_str(), user.groups.as_slice()),
        ("proxy", ["dev".to_owned(), AUTHENTICATED.to_owned()].as_slice())
    );
    assert!(user.extra[CREDENTIAL_ID][0].starts_with("X509SHA256="), "A7: {user:?}");
}

#[tokio::test]
async fn a2_a_common_name_that_is_not_listed_is_refused() {
    let world = world(&["proxy"]);
    assert_eq!(world.name(Some(&world.header_ca.client("other", &[])), &CLAIM).await, Err("name"));
    assert_eq!(world.name(Some(&world.header_ca.client("proxy", &[])), &CLAIM).await, Ok("admin".to_owned()));
}

#[tokio::test]
async fn a2_an_empty_list_allows_any_name_of_that_ca_and_no_other_ca() {
    let world = world(&[]);
    assert_eq!(world.name(Some(&world.header_ca.client("any", &[])), &CLAIM).await, Ok("admin".to_owned()));
    assert_eq!(world.name(Some(&world.client_ca.client("any", &[])), &CLAIM).await, Ok("any".to_owned()));
}

#[tokio::test]
async fn a1_expired_foreign_and_server_certificates_are_refused() {
    let world = world(&[]);
    for identity in [
        world.header_ca.expired_client("proxy"),
        Authority::new("front").client("proxy", &[]),
        world.header_ca.server("proxy"),
    ] {
        assert_eq!(world.name(Some(&identity), &CLAIM).await, Err("certificate"));
    }
}

#[tokio::test]
async fn a3_a4_the_whole_identity_is_read() {
    let world = world(&["proxy"]);
    let proxy = world.header_ca.client("proxy", &[]);
    let (user, request) = world
        .ask(
            Some(&proxy),
            &[
                ("x-remote-user", "alice"),
                ("x-remote-uid", "42"),
                ("x-remote-group", "dev"),
                ("x-remote-group", ""),
                ("x-remote-group", "ops"),
                ("x-remote-extra-scopes", "read"),
                ("x-remote-extra-scopes", "write"),
                ("x-remote-extra-example.com%2fkey", "value"),
                ("cookie", "a=b"),
                ("accept", "*/*"),
            ],
        )
        .await;
    insta::assert_debug_snapshot!(user.unwrap(), @r#"
    User {
        name: "alice",
        uid: Some(
            "42",
        ),
        groups: [
            "dev",
            "ops",
            "system:authenticated",
        ],
        extra: {
            "example.com/key": [
                "value",
            ],
            "scopes": [
                "read",
                "write",
            ],
        },
    }
    "#);
    assert_eq!(request.headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["accept"], "A13");
}

#[tokio::test]
async fn a3_header_names_come_from_the_configuration() {
    let world = world(&["proxy"]);
    let mut data = config_map(&world.header_ca.pem, None, &["proxy"]);
    data.insert("requestheader-username-headers".to_owned(), r#"["X-First","X-Second"]"#.to_owned());
    data.remove("requestheader-uid-headers");
    world.config.offer(&data).unwrap();
    let proxy = world.header_ca.client("proxy", &[]);
    let headers =
        [("x-remote-user", "mallory"), ("x-remote-uid", "0"), ("x-first", ""), ("x-second", "alice")];
    let (user, request) = world.ask(Some(&proxy), &headers).await;
    let user = user.unwrap();
    assert_eq!((user.name.as_str(), user.uid), ("alice", None), "the uid is not trusted unless configured");
    assert!(request.headers.is_empty(), "A13: {:?}", request.headers);
}

#[tokio::test]
async fn a5_a_new_ca_counts_at_once_for_certificates_already_shown() {
    let world = world(&["proxy"]);
    let (old, next) = (world.header_ca.client("proxy", &[]), Authority::new("front"));
    assert_eq!(world.name(Some(&old), &CLAIM).await, Ok("admin".to_owned()));
    let both = format!("{}{}", world.header_ca.pem, next.pem);
    world.config.offer(&config_map(&both, None, &["proxy"])).unwrap();
    assert_eq!(world.name(Some(&old), &CLAIM).await, Ok("admin".to_owned()), "both CAs count");
    assert_eq!(world.name(Some(&next.client("proxy", &[])), &CLAIM).await, Ok("admin".to_owned()));
    world.config.offer(&config_map(&next.pem, None, &["proxy"])).unwrap();
    assert_eq!(world.name(Some(&old), &CLAIM).await, Err("certificate"), "the old one does not");
}

#[tokio::test]
async fn a5_what_was_good_stays_when_something_broken_comes() {
    let world = world(&["proxy"]);
    let proxy = world.header_ca.client("proxy", &[]);
    let mut no_list = config_map(&world.header_ca.pem, None, &[]);
    no_list.insert("requestheader-allowed-names".to_owned(), "proxy".to_owned());
    assert!(matches!(world.config.offer(&no_list), Err(config::Error::List { .. })));
    let broken = config_map("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", None, &[]);
    assert!(matches!(world.config.offer(&broken), Err(config::Error::Bundle { .. })));
    assert_eq!(world.name(Some(&proxy), &CLAIM).await, Ok("admin".to_owned()));
    assert_eq!(
        world.name(Some(&world.header_ca.client("x", &[])), &CLAIM).await,
        Err("name"),
        "the old list"
    );
}

#[test]
fn a6_h12_readiness_names_what_is_missing() {
    let health = Health::new();
    let config = LiveConfig::new(&health);
    let reason = || health.readiness().unwrap_err().remove(0);
    assert!(reason().contains("has not been read yet"), "{}", reason());
    assert!(matches!(config.offer(&[].into()), Err(config::Error::NoHeaderCa)));
    config.offer(&config_map(&Authority::new("front").pem, None, &[])).unwrap();
    assert_eq!(health.readiness(), Ok(()));
}

#[tokio::test]
async fn a6_a_certificate_is_refused_while_no_configuration_has_been_read() {
    let reviewer = Reviewer::default();
    let config = LiveConfig::new(&Health::new());
    let world =
        World { authn: Authenticator::new(config, reviewer.client(), Metrics::unread()), ..world(&[]) };
    assert_eq!(world.name(Some(&world.header_ca.client("proxy", &[])), &CLAIM).await, Err("other"));
    assert_eq!(world.name(None, &CLAIM).await, Ok(ANONYMOUS.to_owned()), "probes still work");
}

#[rstest]
#[case(false, false)]
#[case(true, true)]
fn a2_an_empty_list_with_a_shared_ca_is_noticed(#[case] shared: bool, #[case] noticed: bool) {
    let (front, clients) = (Authority::new("front"), Authority::new("clients"));
    let client_ca = if shared { &front.pem } else { &clients.pem };
    let config = Config::parse(&config_map(&front.pem, Some(client_ca), &[])).unwrap();
    assert_eq!(config.lets_clients_impersonate(), noticed);
    let listed = Config::parse(&config_map(&front.pem, Some(client_ca), &["proxy"])).unwrap();
    assert!(!listed.lets_clients_impersonate());
}

#[tokio::test]
async fn a8_tokens_are_reviewed_once_in_a_while() {
    let world = world(&[]);
    for _ in 0..3 {
        let bearer = [("authorization", "Bearer good-carol")];
        let (user, request) = world.ask(None, &bearer).await;
        let user = user.unwrap();
        assert_eq!((user.name.as_str(), user.is_member_of(AUTHENTICATED)), ("carol", true), "A10");
        assert!(request.headers.is_empty(), "A13");
        assert_eq!(world.name(None, &[("authorization", "Bearer bad")]).await, Err("token"), "not anonymous");
    }
    assert_eq!(*world.reviewer.tokens.lock().unwrap(), ["good-carol", "bad"], "good and bad are remembered");
}

#[tokio::test]
async fn a8_tokens_for_others_are_refused() {
    let mut world = world(&[]);
    world.authn = world.authn.for_audiences(vec!["us".to_owned()]);
    assert_eq!(world.name(None, &[("authorization", "Bearer good-carol")]).await, Err("token"));
}

#[tokio::test(start_paused = true)]
async fn a8_a10_no_review_means_no_identity_and_is_asked_again() {
    let world = world(&[]);
    world.reviewer.fail(true);
    let bearer = [("authorization", "Bearer good-carol")];
    assert_eq!(world.name(None, &bearer).await, Err("other"));
    world.reviewer.fail(false);
    assert_eq!(world.name(None, &bearer).await, Ok("carol".to_owned()), "failures are not remembered");
}

#[tokio::test]
async fn a10_the_first_that_knows_the_caller_counts() {
    let world = world(&["proxy"]);
    let bearer = ("authorization", "Bearer good-carol");
    let proxy = world.header_ca.client("proxy", &[]);
    let foreign = Authority::new("foreign").client("x", &[]);
    assert_eq!(world.name(Some(&proxy), &[CLAIM[0], bearer]).await, Ok("admin".to_owned()));
    assert_eq!(
        world.name(Some(&world.client_ca.client("dave", &[])), &[bearer]).await,
        Ok("dave".to_owned())
    );
    assert_eq!(world.name(Some(&foreign), &[bearer]).await, Ok("carol".to_owned()));
    assert_eq!(world.name(Some(&foreign), &[]).await, Err("certificate"), "an objection is not anonymous");
}

fn published(ca: &Authority) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": config::NAME, "namespace": config::NAMESPACE},
        "data": config_map(&ca.pem, None, &["proxy"]),
    })
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(start_paused = true)]
async fn a5_a6_the_config_map_is_followed_through_its_life() {
    const KEY: &str = "configmaps/extension-apiserver-authentication";
    let (cluster, health) = (Cluster::new(), Health::new());
    let config = LiveConfig::new(&health);
    let authn = Authenticator::new(Arc::clone(&config), Reviewer::default().client(), Metrics::unread());
    let world = World { authn, config: Arc::clone(&config), ..world(&[]) };
    let reason = |text: &'static str| {
        let health = health.clone();
        async move || health.readiness().is_err_and(|reasons| reasons[0].contains(text))
    };
    cluster.deny(true);
    tokio::spawn(watch(cluster.client(), config));
    eventually("the missing RoleBinding is named", reason("extension-apiserver-authentication-reader")).await;
    cluster.deny(false);
    eventually("its absence is named", reason("does not exist")).await;
    cluster.put(KEY, published(&world.header_ca));
    eventually("ready", async || health.readiness().is_ok()).await;
    let (old, next) = (world.header_ca.client("proxy", &[]), Authority::new("front"));
    assert_eq!(world.name(Some(&old), &CLAIM).await, Ok("admin".to_owned()));
    cluster.put(KEY, published(&next));
    eventually("the old CA is gone", async || world.name(Some(&old), &CLAIM).await == Err("certificate"))
        .await;
    cluster.delete(KEY);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let new = next.client("proxy", &[]);
    assert_eq!(world.name(Some(&new), &CLAIM).await, Ok("admin".to_owned()), "what was good stays");
    assert_eq!(health.readiness(), Ok(()));
}
