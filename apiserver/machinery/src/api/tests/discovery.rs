use super::*;
use rstest::rstest;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

#[rstest]
#[case::s1_s4("aggregated", "/apis", AGGREGATED)]
#[case::s8("group-list", "/apis", "application/json")]
#[case::s8("group", "/apis/demo.example", "")]
#[case::s8("resource-list", "/apis/demo.example/v1", "*/*")]
#[tokio::test]
async fn documents(#[case] name: &str, #[case] uri: &str, #[case] accept: &str) {
    let seen = get(&api(&stocked()), uri, accept).await;
    insta::assert_snapshot!(name, seen.golden());
}

#[rstest]
#[case("/apis", AGGREGATED)]
#[case("/apis", "application/json")]
#[case("/apis/demo.example/v1?timeout=32s", "application/json")]
#[case("/openapi/v2", "application/json")]
#[tokio::test]
async fn s2_who_has_it_is_told_so(#[case] uri: &str, #[case] accept: &str) {
    let api = api(&stocked());
    let first = get(&api, uri, accept).await;
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    assert!(tag.len() == 130 && tag.trim_matches('"').bytes().all(|byte| byte.is_ascii_hexdigit()), "{tag}");
    assert_eq!(
        (&first.headers["vary"], &first.headers["cache-control"]),
        (&"Accept".parse().unwrap(), &"public".parse().unwrap())
    );
    let again = ask(&api, "GET", uri, &[("accept", accept), ("if-none-match", &tag)], Body::empty()).await;
    assert_eq!((again.code, again.text.as_str()), (304, ""));
}

#[tokio::test]
async fn s12_each_replica_says_the_same() {
    let (one, other) = (api(&stocked()), api(&books(Err(Status::unavailable("down")))));
    for uri in ["/apis", "/apis/demo.example/v1", "/openapi/v2", "/openapi/v3"] {
        assert_eq!(
            get(&one, uri, "").await.headers["etag"],
            get(&other, uri, "").await.headers["etag"],
            "{uri}"
        );
    }
}

#[rstest]
#[case::s13("HEAD", "/apis", 200)]
#[case::s13("HEAD", "/apis/demo.example/v1", 200)]
#[case::s13("OPTIONS", "/apis", 200)]
#[case::s13("GET", "/apis/", 200)]
#[case::e3("POST", "/apis", 405)]
#[case::e3("GET", "/apis/other.example", 404)]
#[case::e3("GET", "/apis/demo.example/v2", 404)]
#[case::s8("GET", "/api", 404)]
#[case::e11("GET", "/nothing/here", 404)]
#[case::e11("GET", "/", 404)]
#[tokio::test]
async fn methods(#[case] method: &str, #[case] uri: &str, #[case] code: u16) {
    let seen = ask(&api(&stocked()), method, uri, &[], Body::empty()).await;
    assert_eq!(seen.code, code);
    if code >= 400 {
        assert_eq!(seen.json()["kind"], "Status");
        assert_eq!(seen.json()["code"], code);
    }
    if ["HEAD", "OPTIONS"].contains(&method) {
        assert_eq!(seen.text, "");
    }
}

#[tokio::test]
async fn s3_d4_discovery_does_not_depend_on_what_is_behind() {
    let api = api(&books(Err(Status::unavailable("down"))));
    for uri in ["/apis", "/apis/demo.example", "/apis/demo.example/v1"] {
        assert_eq!(get(&api, uri, "").await.code, 200);
    }
}

#[tokio::test]
async fn s15_discovery_is_small() {
    let api = api(&stocked());
    assert!(get(&api, "/apis", AGGREGATED).await.text.len() < 50 * 1024);
}
