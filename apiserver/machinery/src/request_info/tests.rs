use super::*;
use rstest::rstest;

fn info(method: &str, uri: &str) -> RequestInfo {
    RequestInfo::of(&method.parse().unwrap(), &uri.parse().unwrap())
}

/// verb, namespace, resource, subresource, name.
type Seen<'a> = (&'a str, Option<&'a str>, &'a str, Option<&'a str>, Option<&'a str>);

fn seen(info: &RequestInfo) -> Seen<'_> {
    let RequestInfo { verb, namespace, resource, subresource, name, .. } = info;
    (verb, namespace.as_deref(), resource, subresource.as_deref(), name.as_deref())
}

#[rstest]
#[case("GET", "/apis/g/v/rs", ("list", None, "rs", None, None))]
#[case("HEAD", "/apis/g/v/rs", ("list", None, "rs", None, None))]
#[case("GET", "/apis/g/v/rs?watch=true", ("watch", None, "rs", None, None))]
#[case("GET", "/apis/g/v/rs?watch=1", ("watch", None, "rs", None, None))]
#[case("GET", "/apis/g/v/rs?watch=false", ("list", None, "rs", None, None))]
#[case("GET", "/apis/g/v/rs/a?watch=true", ("get", None, "rs", None, Some("a")))]
#[case("GET", "/apis/g/v/rs?fieldSelector=metadata.name%3Da", ("list", None, "rs", None, Some("a")))]
#[case("GET", "/apis/g/v/rs?watch=1&fieldSelector=metadata.name%3Da", ("watch", None, "rs", None, Some("a")))]
#[case("GET", "/apis/g/v/rs?fieldSelector=metadata.name%3Da%252Fb", ("list", None, "rs", None, None))]
#[case("GET", "/apis/g/v/namespaces/ns/rs", ("list", Some("ns"), "rs", None, None))]
#[case("GET", "/apis/g/v/namespaces/ns/rs/a", ("get", Some("ns"), "rs", None, Some("a")))]
#[case("GET", "/apis/g/v/namespaces/ns/rs/a/sub", ("get", Some("ns"), "rs", Some("sub"), Some("a")))]
#[case("POST", "/apis/g/v/namespaces/ns/rs", ("create", Some("ns"), "rs", None, None))]
#[case("PUT", "/apis/g/v/rs/a", ("update", None, "rs", None, Some("a")))]
#[case("PATCH", "/apis/g/v/rs/a", ("patch", None, "rs", None, Some("a")))]
#[case("DELETE", "/apis/g/v/rs/a", ("delete", None, "rs", None, Some("a")))]
#[case("DELETE", "/apis/g/v/rs", ("deletecollection", None, "rs", None, None))]
#[case("OPTIONS", "/apis/g/v/rs", ("", None, "rs", None, None))]
#[case("GET", "/apis/g/v/namespaces/ns", ("get", Some("ns"), "namespaces", None, Some("ns")))]
#[case("GET", "/apis/g/v/namespaces/ns/status", ("get", Some("ns"), "namespaces", Some("status"), Some("ns")))]
#[case("GET", "/apis/g/v/namespaces", ("list", None, "namespaces", None, None))]
#[case("GET", "/apis/g/v/watch/rs", ("watch", None, "rs", None, None))]
#[case("GET", "/apis/g/v/watch/namespaces/ns/rs/a", ("watch", Some("ns"), "rs", None, Some("a")))]
#[case("GET", "/api/v1/namespaces/ns/pods/p", ("get", Some("ns"), "pods", None, Some("p")))]
fn z2_z3_resources(#[case] method: &str, #[case] uri: &str, #[case] expected: Seen<'_>) {
    let info = info(method, uri);
    assert!(info.is_resource_request);
    assert_eq!(seen(&info), expected);
}

#[rstest]
#[case("GET", "/", "get")]
#[case("GET", "/apis", "get")]
#[case("GET", "/apis/g/v", "get")]
#[case("GET", "/apis/g/v/", "get")]
#[case("HEAD", "/healthz", "head")]
#[case("POST", "/openapi/v3/apis/g/v", "post")]
fn z5_everything_else_is_a_path(#[case] method: &str, #[case] uri: &str, #[case] verb: &str) {
    let info = info(method, uri);
    assert!(!info.is_resource_request);
    let path = uri.to_owned();
    assert_eq!(info.attributes(), Attributes::Path { verb: verb.to_owned(), path });
}

#[rstest]
#[case("/apis/g/v/rs/a/proxy", None)]
#[case("/apis/g/v/rs/a/proxy/x/y", Some("x/y"))]
#[case("/apis/g/v/rs/a/proxy/x/", Some("x/"))]
#[case("/apis/g/v/namespaces/n/rs/a/proxy/services/a%20b", Some("services/a%20b"))]
fn z3_the_path_below_a_subresource_is_kept_raw_and_is_no_attribute(
    #[case] uri: &str,
    #[case] rest: Option<&str>,
) {
    let info = info("GET", uri);
    assert_eq!(info.rest.as_deref(), rest);
    assert_eq!((info.subresource.as_deref(), info.name.as_deref()), (Some("proxy"), Some("a")));
}

#[test]
fn z3_an_encoded_slash_separates_as_in_kube_apiserver() {
    let info = info("GET", "/apis/g/v/namespaces/ns%2Frs/a");
    assert_eq!(seen(&info), ("get", Some("ns"), "rs", None, Some("a")));
}

#[test]
fn z4_selectors_are_attributes_of_lists_only() {
    let query = "?labelSelector=app%3Dweb,!old&fieldSelector=status.state%3DDraining";
    let list = info("GET", &format!("/apis/g/v/rs{query}"));
    assert_eq!((list.label_requirements.len(), list.field_requirements.len()), (2, 1));
    let get = info("GET", &format!("/apis/g/v/rs/a{query}"));
    assert_eq!((get.label_requirements.len(), get.field_requirements.len()), (0, 0));
    let unparsable = info("GET", "/apis/g/v/rs?labelSelector=a+b+c");
    assert_eq!(unparsable.label_requirements, []);
}

#[rstest]
#[case("GET", "/apis/g/v/rs?watch=1", true)]
#[case("POST", "/apis/g/v/rs/a/proxy/x", true)]
#[case("GET", "/apis/g/v/rs/a/log", true)]
#[case("GET", "/apis/g/v/rs/a/health", false)]
#[case("GET", "/watch", false)]
fn c14_streams_are_long_running(#[case] method: &str, #[case] uri: &str, #[case] long: bool) {
    assert_eq!(info(method, uri).is_long_running(), long);
}
