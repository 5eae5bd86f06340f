use super::*;
use rstest::rstest;

fn new_book() -> Value {
    json!({"apiVersion": "demo.example/v1", "kind": "Book", "metadata": {"name": "n1"}, "spec": {"pages": 9}})
}

fn with(pointer: &str, value: Value) -> Value {
    let mut object = new_book();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
    object
}

#[tokio::test]
async fn c2_the_object_comes_back_whole() {
    let stock = stocked();
    let seen = post(&api(&stock), BOOKS, &new_book()).await;
    let json = seen.json();
    assert_eq!(
        (seen.code, json["kind"].as_str(), json["apiVersion"].as_str()),
        (201, Some("Book"), Some("demo.example/v1"))
    );
    assert_eq!((&json["metadata"]["name"], &json["metadata"]["namespace"]), (&json!("n1"), &json!("shop")));
    assert!(json["metadata"]["uid"].as_str().unwrap().len() == 36);
    assert!(json["metadata"]["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!((&json["spec"]["pages"], &json["status"]["state"]), (&json!(9), &json!("Printed")));
    assert_eq!(*stock.created.lock().unwrap(), [("n1".to_owned(), false)]);
}

#[tokio::test]
async fn c3_a_dry_run_is_told_to_the_handler() {
    let stock = stocked();
    assert_eq!(post(&api(&stock), &format!("{BOOKS}?dryRun=All"), &new_book()).await.code, 201);
    assert_eq!(*stock.created.lock().unwrap(), [("n1".to_owned(), true)]);
}

#[rstest]
#[case::c3("?dryRun=Maybe", new_book(), 422, "dryRun: Unsupported value")]
#[case::c4("?fieldValidation=Strict", with("/spec/colour", json!("red")), 400, r#"strict decoding error: unknown field "spec.colour""#)]
#[case::c4("?fieldValidation=Strict", with("/metadata/nam", json!("x")), 400, r#"unknown field "metadata.nam""#)]
#[case::c5("?fieldManager=a%0Ab", new_book(), 422, "fieldManager")]
#[case::c1_kind("", with("/kind", json!("Film")), 400, "does not match")]
#[case::c1_version("", with("/apiVersion", json!("demo.example/v2")), 400, "does not match")]
#[case::c1_namespace("", with("/metadata/namespace", json!("attic")), 400, "does not match the namespace")]
#[case::c2_no_name("", with("/metadata/name", json!("")), 422, "name or generateName is required")]
#[case::c2_bad_name("", with("/metadata/name", json!("Not A Name")), 422, "metadata.name: Invalid value")]
#[case::e1_type("", with("/spec/pages", json!("many")), 400, r#"Book in version "v1" cannot be handled as a Book"#)]
#[case::e1_shape("", json!([1]), 400, "not an object")]
#[tokio::test]
async fn refused(#[case] query: &str, #[case] object: Value, #[case] code: u16, #[case] words: &str) {
    let stock = stocked();
    let seen = post(&api(&stock), &format!("{BOOKS}{query}"), &object).await;
    let message = seen.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(seen.code, code, "{message}");
    assert!(message.contains(words), "{message}");
    assert!(stock.created.lock().unwrap().is_empty(), "the handler is not called");
}

#[rstest]
#[case::c4("", &[r#"299 - "unknown field \"spec.colour\"""#])]
#[case::c4("?fieldValidation=Warn", &[r#"299 - "unknown field \"spec.colour\"""#])]
#[case::c4("?fieldValidation=Ignore", &[])]
#[tokio::test]
async fn c9_unknown_fields_are_warned_of(#[case] query: &str, #[case] warnings: &[&str]) {
    let seen = post(&api(&stocked()), &format!("{BOOKS}{query}"), &with("/spec/colour", json!("red"))).await;
    assert_eq!((seen.code, seen.warnings()), (201, warnings.to_vec()));
}

#[tokio::test]
async fn c4_repeated_fields_are_refused_when_strict() {
    let body = r#"{"metadata":{"name":"n1"},"spec":{"pages":1,"pages":2}}"#;
    let uri = format!("{BOOKS}?fieldValidation=Strict");
    let seen = ask(&api(&stocked()), "POST", &uri, &[], Body::from(body)).await;
    assert_eq!(seen.code, 400);
    assert!(seen.text.contains(r#"duplicate field \"spec.pages\""#), "{}", seen.text);
}

#[tokio::test]
async fn c2_names_are_generated() {
    let object = with("/metadata", json!({"generateName": "book-"}));
    let json = post(&api(&stocked()), BOOKS, &object).await.json();
    let name = json["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("book-") && name.len() == 10, "{name}");
}

#[rstest]
#[case::json("application/json", r#"{"metadata":{"name":"n"},"spec":{"pages":1}}"#, 201)]
#[case::absent("", r#"{"metadata":{"name":"n"},"spec":{"pages":1}}"#, 201)]
#[case::yaml("application/yaml", "metadata: {name: novel}\nspec:\n  pages: 1\n", 201)]
#[case::protobuf("application/vnd.kubernetes.protobuf", "k8s", 415)]
#[case::cbor("application/cbor", "k8s", 415)]
#[tokio::test]
async fn c1_r19_media_types(#[case] media_type: &str, #[case] body: &'static str, #[case] code: u16) {
    let headers = [("content-type", media_type)];
    assert_eq!(ask(&api(&stocked()), "POST", BOOKS, &headers, Body::from(body)).await.code, code);
}

#[tokio::test]
async fn e7_a_body_over_the_limit_is_too_large() {
    let seen = ask(&api(&stocked()), "POST", BOOKS, &[], Body::from(vec![b' '; 3 * 1024 * 1024 + 1])).await;
    assert_eq!((seen.code, &seen.json()["reason"]), (413, &json!("RequestEntityTooLarge")));
}

#[tokio::test]
async fn e7_a_body_that_breaks_off_is_not_called_too_large() {
    let parts = [Ok("{"), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    let body = Body::from_stream(futures::stream::iter(parts));
    let seen = ask(&api(&stocked()), "POST", BOOKS, &[], body).await;
    assert_eq!((seen.code, &seen.json()["reason"]), (400, &json!("BadRequest")));
}

#[tokio::test]
async fn c4_c9_the_complaints_about_a_body_are_bounded() {
    let stock = stocked();
    let mut object = new_book();
    for key in 0..500 {
        object["spec"][format!("{key}{}", "k".repeat(1000))] = json!(0);
    }
    let strict = post(&api(&stock), &format!("{BOOKS}?fieldValidation=Strict"), &object).await;
    let message = strict.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(strict.code, 400);
    assert!(message.ends_with(", and 400 more unknown or duplicate fields"), "{message}");
    assert!(message.len() < 32 * 1024, "{}", message.len());
    let warned = post(&api(&stock), BOOKS, &object).await;
    assert_eq!(warned.code, 201);
    assert!(warned.warnings().iter().map(|warning| warning.len()).sum::<usize>() < 8 * 1024);
}

#[rstest]
#[case::absent("gone", 404, "NotFound")]
#[case::ending("ending", 403, "Forbidden")]
#[tokio::test]
async fn c16_namespaces_are_looked_at(#[case] namespace: &str, #[case] code: u16, #[case] reason: &str) {
    let uri = format!("/apis/demo.example/v1/namespaces/{namespace}/books");
    let seen = post(&api(&stocked()), &uri, &new_book()).await;
    assert_eq!((seen.code, &seen.json()["reason"]), (code, &json!(reason)));
    if namespace == "ending" {
        assert_eq!(seen.json()["details"]["causes"][0]["reason"], "NamespaceTerminating");
    }
}

#[tokio::test]
async fn c2_a_subresource_takes_the_name_of_its_parent() {
    let uri = format!("{BOOKS}/b1/copies");
    let api = api(&stocked());
    let unnamed = post(&api, &uri, &with("/metadata", json!({}))).await;
    assert_eq!((unnamed.code, &unnamed.json()["metadata"]["name"]), (201, &json!("b1")));
    assert_eq!(post(&api, &uri, &new_book()).await.code, 400, "another name than the parent's");
}

#[tokio::test]
async fn e3_nothing_is_created_across_namespaces() {
    assert_eq!(post(&api(&stocked()), "/apis/demo.example/v1/books", &new_book()).await.code, 405);
}
