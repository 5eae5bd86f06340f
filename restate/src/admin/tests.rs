//! The requests that are sent, to the letter, and what is made of answers as a server 1.7.12 gives them.

use restate_model::{FailureKind, ServiceKind, ServiceName};
use rstest::rstest;
use serde_json::json;
use wiremock::matchers::{body_json, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::endpoint::Policy;
use crate::transport::Options;

pub(crate) fn admin(server: &MockServer) -> Admin {
    let policy = Policy::default().with_loopback();
    let endpoint = Endpoint::new(&server.uri(), &policy).unwrap();
    let transport = Transport::new(&Options { policy, extra_ca: Vec::new() }).unwrap();
    Admin::new(&transport, &endpoint)
}

async fn serve(verb: &str, at: &str, status: u16, body: serde_json::Value) -> MockServer {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(&server).await;
    server
}

fn deployments() -> serde_json::Value {
    json!({"deployments": [
        {"id": "dp_1", "uri": "http://127.0.0.1:9080/", "protocol_type": "BidiStream", "http_version": "HTTP/2.0",
         "created_at": "2026-11-22T17:38:40.014000000Z", "min_protocol_version": 5, "max_protocol_version": 7,
         "sdk_version": "restate-sdk-rust/0.13.0", "services": [{"name": "Greeter", "revision": 1}]},
        {"id": "dp_2", "uri": "http://127.0.0.1:9081/", "protocol_type": "RequestResponse",
         "http_version": "HTTP/1.1", "created_at": "2026-11-22T17:39:46Z", "services": []},
        {"id": "dp_3", "arn": "arn:aws:lambda:eu-central-1:1:function:f:1", "services": []}]})
}

#[tokio::test]
async fn deployments_and_services_become_a_registry() {
    let server = serve("GET", "/deployments", 200, deployments()).await;
    let services = json!({"services": [{"name": "Greeter", "ty": "VirtualObject", "revision": 4,
        "deployment_id": "dp_1", "public": true, "idempotency_retention": "1d",
        "handlers": [{"name": "b"}, {"name": "a"}]}, {"name": "New", "ty": "Agent", "revision": 1,
        "deployment_id": "dp_2", "handlers": []}]});
    let answer = ResponseTemplate::new(200).set_body_json(services);
    Mock::given(path("/services")).respond_with(answer).mount(&server).await;

    let before = Timestamp::now();
    let Reading { asked_at, value } = admin(&server).registry().await.unwrap();
    assert!(asked_at >= before && asked_at <= Timestamp::now());
    let (id, first) = value.at_endpoint("http://127.0.0.1:9080/").unwrap();
    assert_eq!((id.as_str(), first.http11, first.services.len()), ("dp_1", false, 1));
    assert_eq!(first.created_at, Some("2026-11-22T17:38:40.014Z".parse().unwrap()));
    assert!(value.deployments[&DeploymentId::from("dp_2")].http11);
    assert!(value.deployments[&DeploymentId::from("dp_3")].endpoint.starts_with("arn:"));
    let greeter = &value.services[&ServiceName::from("Greeter")];
    assert_eq!((greeter.kind, greeter.revision, greeter.public), (ServiceKind::VirtualObject, 4, true));
    assert_eq!(greeter.handlers, ["a", "b"]);
    assert_eq!(value.services[&ServiceName::from("New")].kind, ServiceKind::Other);
}

#[rstest]
#[case::other_shape(json!({"items": []}))]
#[case::no_id(json!({"deployments": [{"uri": "http://x/", "services": []}]}))]
#[case::no_services(json!({"deployments": [{"id": "dp_1", "uri": "http://x/"}]}))]
#[case::no_endpoint(json!({"deployments": [{"id": "dp_1", "services": []}]}))]
#[case::wrong_type(json!({"deployments": [{"id": 7, "uri": "http://x/", "services": []}]}))]
#[case::null(json!(null))]
#[tokio::test]
async fn a_registry_of_another_shape_is_malformed_never_empty(#[case] body: serde_json::Value) {
    let server = serve("GET", "/deployments", 200, body).await;
    assert_eq!(admin(&server).deployments().await.unwrap_err().kind(), FailureKind::Malformed);
}

#[tokio::test]
async fn a_registration_says_everything_and_tells_new_from_known() {
    let server = MockServer::start().await;
    let body = json!({"uri": "http://x:9080", "force": false, "breaking": false, "use_http_11": true});
    let accepted = json!({"id": "dp_1", "services": [{"name": "Greeter", "revision": 2, "ty": "Service"}]});
    Mock::given(method("POST"))
        .and(path("/deployments"))
        .and(body_json(body))
        .respond_with(ResponseTemplate::new(201).set_body_json(&accepted))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_json(&accepted))
        .mount(&server)
        .await;
    let wish = Registration { uri: "http://x:9080".into(), force: false, breaking: false, use_http_11: true };
    let first = admin(&server).register(&wish).await.unwrap();
    assert_eq!((first.id.as_str(), first.new, first.services[0].revision), ("dp_1", true, 2));
    assert!(!admin(&server).register(&wish).await.unwrap().new);
}

#[rstest]
#[case::done(202, json!(null), Some(Deregistered::Acknowledged))]
#[case::unknown(404, json!({"message": "not found: deployment with id 'dp_1'"}), Some(Deregistered::NotFound))]
#[case::proxys_404(404, json!({"message": "no route"}), None)]
#[case::failed(500, json!({"message": "boom"}), None)]
#[tokio::test]
async fn a_removal_is_asked_for_once(
    #[case] status: u16,
    #[case] body: serde_json::Value,
    #[case] expected: Option<Deregistered>,
) {
    let server = MockServer::start().await;
    Mock::given(method("DELETE"))
        .and(path("/deployments/dp_1"))
        .and(query_param("force", "true"))
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .expect(1)
        .mount(&server)
        .await;
    assert_eq!(admin(&server).deregister(&DeploymentId::from("dp_1")).await.ok(), expected);
}

#[tokio::test]
async fn a_server_says_what_it_is() {
    let body = json!({"version": "1.7.12", "min_admin_api_version": 2, "max_admin_api_version": 4,
        "ingress_endpoint": "http://127.0.0.1:8080/", "features": {"vqueues": false}});
    let server = serve("GET", "/version", 200, body).await;
    let version = admin(&server).version().await.unwrap();
    assert_eq!((version.version.as_str(), version.min_admin_api_version), ("1.7.12", 2));
    assert_eq!(version.features.get("vqueues"), Some(&false));
    assert!(admin(&server).health().await.is_err());
}
