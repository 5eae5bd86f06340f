use super::*;
use rstest::rstest;

#[rstest]
#[case::r7("list", BOOKS, "application/json")]
#[case::r2("list-table", BOOKS, TABLE)]
#[case::r2_v1beta1("list-table-v1beta1", BOOKS, "application/json;as=Table;v=v1beta1;g=meta.k8s.io")]
#[case::r4_none("list-table-none", "/apis/demo.example/v1/namespaces/shop/books?includeObject=None", TABLE)]
#[case::r4_object(
    "list-table-object",
    "/apis/demo.example/v1/namespaces/attic/books?includeObject=Object",
    TABLE
)]
#[case::r6("list-metadata", BOOKS, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")]
#[case::r7("get", "/apis/demo.example/v1/namespaces/shop/books/b1", "application/json")]
#[case::r2("get-table", "/apis/demo.example/v1/namespaces/shop/books/b1", TABLE)]
#[case::r6(
    "get-metadata",
    "/apis/demo.example/v1/namespaces/shop/books/b1",
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
)]
#[case::e2("get-none", "/apis/demo.example/v1/namespaces/shop/books/b9", TABLE)]
#[case::r18("subresource", "/apis/demo.example/v1/namespaces/shop/books/b1/copies", "application/json")]
#[case::r18("subresource-table", "/apis/demo.example/v1/namespaces/shop/books/b1/copies", TABLE)]
#[case::e2("subresource-none", "/apis/demo.example/v1/namespaces/shop/books/b9/copies", "application/json")]
#[case::r12("list-limited", "/apis/demo.example/v1/books?limit=2", "application/json")]
#[case::r11("list-empty", "/apis/demo.example/v1/namespaces/nowhere/books", "application/json")]
#[tokio::test]
async fn shapes(#[case] name: &str, #[case] uri: &str, #[case] accept: &str) {
    let seen = get(&api(&stocked()), uri, accept).await;
    insta::assert_snapshot!(name, seen.golden());
}

async fn names(api: &Api, uri: &str) -> Vec<String> {
    let json = get(api, uri, "").await.json();
    let name = |item: &Value| {
        format!("{}/{}", item["metadata"]["namespace"], item["metadata"]["name"]).replace('"', "")
    };
    json["items"].as_array().unwrap_or_else(|| panic!("{json}")).iter().map(name).collect()
}

#[rstest]
#[case::r11("/apis/demo.example/v1/books", &["attic/b0", "shop/b1", "shop/b2"])]
#[case::r9("/apis/demo.example/v1/books?labelSelector=state%3DFinal", &["attic/b0", "shop/b2"])]
#[case::r9("/apis/demo.example/v1/books?labelSelector=state+notin+(Final)", &["shop/b1"])]
#[case::r9("/apis/demo.example/v1/books?fieldSelector=metadata.name%3Db1", &["shop/b1"])]
#[case::r9("/apis/demo.example/v1/books?fieldSelector=metadata.namespace!%3Dshop", &["attic/b0"])]
#[case::r9("/apis/demo.example/v1/books?fieldSelector=status.state%3DDraft", &["shop/b1"])]
#[case::r9("/apis/demo.example/v1/namespaces/shop/books?fieldSelector=status.state%3DFinal,metadata.name%3Db1", &[])]
#[tokio::test]
async fn selections(#[case] uri: &str, #[case] expected: &[&str]) {
    assert_eq!(names(&api(&stocked()), uri).await, expected);
}

#[rstest]
#[case::e3_patch("PATCH", "/apis/demo.example/v1/namespaces/shop/books/b1", 405)]
#[case::c8_delete("DELETE", "/apis/demo.example/v1/namespaces/shop/books/b1", 405)]
#[case::c8_deletecollection("DELETE", BOOKS, 405)]
#[case::e3_post_to_name("POST", "/apis/demo.example/v1/namespaces/shop/books/b1", 405)]
#[case::e3_put("PUT", "/apis/demo.example/v1/namespaces/shop/books/b1/copies", 405)]
#[case::e3_unknown_resource("GET", "/apis/demo.example/v1/namespaces/shop/films", 404)]
#[case::e3_unknown_subresource("GET", "/apis/demo.example/v1/namespaces/shop/books/b1/pages", 404)]
#[case::e3_other_version("GET", "/apis/demo.example/v2/namespaces/shop/books", 404)]
#[case::e3_no_namespace("GET", "/apis/demo.example/v1/books/b1", 404)]
#[case::r9_unknown_field("GET", "/apis/demo.example/v1/books?fieldSelector=spec.pages%3D3", 400)]
#[case::r4_unknown_include("GET", "/apis/demo.example/v1/books?includeObject=All", 400)]
#[case::r18_too_deep("GET", "/apis/demo.example/v1/namespaces/shop/books/b1/copies/1", 404)]
#[tokio::test]
async fn refusals(#[case] method: &str, #[case] uri: &str, #[case] code: u16) {
    let seen = ask(&api(&stocked()), method, uri, &[("accept", TABLE)], Body::empty()).await;
    assert_eq!(
        (seen.code, &seen.json()["kind"], &seen.json()["code"]),
        (code, &json!("Status"), &json!(code))
    );
}

#[rstest]
#[case::r19("application/vnd.kubernetes.protobuf")]
#[case::r6_wrong("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")]
#[tokio::test]
async fn e4_not_acceptable(#[case] accept: &str) {
    assert_eq!(get(&api(&stocked()), BOOKS, accept).await.code, 406);
}

#[tokio::test]
async fn r12_portions_make_the_whole_and_stay_at_their_version() {
    let stock = stocked();
    let api = api(&stock);
    let first = get(&api, "/apis/demo.example/v1/books?limit=2", "").await.json();
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    stock.store.publish(vec![book("attic", "b0", "Final", 5), book("zoo", "b9", "New", 1)]).unwrap();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = get(&api, &format!("/apis/demo.example/v1/books?limit=2&continue={token}"), "").await.json();
    assert_eq!(rest["items"][0]["metadata"]["name"], "b2");
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert_eq!(rest["metadata"].get("continue"), None);
}

/// The same books, of which another replica might be asked for the next portion.
struct Whole(Books);

impl Readable for Whole {
    type Object = Book;

    const IN_PORTIONS: bool = false;

    fn store(&self) -> &Store<Book> {
        self.0.store()
    }
}

#[tokio::test]
async fn r12_a_kind_may_give_whole_lists() {
    let stock = stocked();
    let api = read_from(Whole(stock.clone()), &stock);
    let list = get(&api, "/apis/demo.example/v1/books?limit=1", "").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    assert_eq!(list["metadata"].get("continue"), None);
}

#[tokio::test]
async fn r12_e6_an_expired_token_comes_with_a_new_one() {
    let stock = stocked();
    let elsewhere = get(&api(&stock), "/apis/demo.example/v1/books?limit=1", "").await.json();
    let token = elsewhere["metadata"]["continue"].as_str().unwrap();
    let other = stocked();
    other.store.publish(vec![book("attic", "b0", "Final", 5), book("zoo", "b9", "New", 1)]).unwrap();
    let api = api(&other);
    let expired = get(&api, &format!("/apis/demo.example/v1/books?limit=1&continue={token}"), "").await;
    assert_eq!((expired.code, &expired.json()["reason"]), (410, &json!("Expired")));
    let token = expired.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(
        names(&api, &format!("/apis/demo.example/v1/books?limit=5&continue={token}")).await,
        ["zoo/b9"]
    );
}

#[tokio::test]
async fn d4_e10_what_was_last_seen_is_shown_with_a_warning() {
    let mut stock = stocked();
    stock.look = Err(Status::unavailable("no answer from prod"));
    let seen = get(&api(&stock), BOOKS, "").await;
    assert_eq!(
        (seen.code, seen.warnings()),
        (200, vec![r#"299 - "what is shown may be out of date: no answer from prod""#])
    );
    let cached = get(&api(&stock), &format!("{BOOKS}?resourceVersion=0"), "").await;
    assert_eq!((cached.code, cached.warnings()), (200, vec![]));
}

#[tokio::test]
async fn d4_e10_without_anything_seen_the_failure_is_the_answer() {
    let api = api(&books(Err(Status::timeout("no answer from prod", 1))));
    let seen = get(&api, BOOKS, "").await;
    assert_eq!((seen.code, &seen.headers["retry-after"]), (504, &"1".parse().unwrap()));
}

/// W15: whoever keeps a copy deletes from it what a list does not show.
#[rstest]
#[case::list(BOOKS, 503)]
#[case::cached("/apis/demo.example/v1/books?resourceVersion=0", 503)]
#[case::watch("/apis/demo.example/v1/books?watch=1&timeoutSeconds=1", 503)]
#[case::streamed(
    "/apis/demo.example/v1/books?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
    503
)]
#[case::unknown("/apis/demo.example/v1/namespaces/shop/books/b9", 503)]
#[case::known("/apis/demo.example/v1/namespaces/shop/books/b1", 200)]
#[case::elsewhere("/apis/demo.example/v1/namespaces/attic/books", 200)]
#[tokio::test]
async fn w15_what_may_be_there_is_not_left_out(#[case] uri: &str, #[case] code: u16) {
    let mut stock = stocked();
    stock.whole = Err(Status::unavailable("one has not told yet").retry_after(2));
    let seen = get(&api(&stock), uri, "").await;
    assert_eq!(seen.code, code, "{}", seen.text);
    assert!(code == 200 || seen.headers["retry-after"] == "2");
}

#[tokio::test(start_paused = true)]
async fn e10_nothing_observed_yet_is_unavailable_for_the_moment() {
    assert_eq!(get(&api(&books(Ok(()))), BOOKS, "").await.code, 503);
}

#[tokio::test]
async fn r11_partial_results_are_said_to_be_partial() {
    let stock = stocked();
    stock.store.set_warning(Some("cluster b does not answer".to_owned()));
    assert_eq!(get(&api(&stock), BOOKS, "").await.warnings(), [r#"299 - "cluster b does not answer""#]);
}

#[tokio::test(start_paused = true)]
async fn r13_versions() {
    let stock = stocked();
    let api = api(&stock);
    let version: u64 =
        get(&api, BOOKS, "").await.json()["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let code = async |query: String| get(&api, &format!("{BOOKS}?{query}"), "").await.code;
    assert_eq!(code(format!("resourceVersion={version}")).await, 200);
    assert_eq!(code(format!("resourceVersion={version}&resourceVersionMatch=Exact")).await, 200);
    assert_eq!(code(format!("resourceVersion={}&resourceVersionMatch=Exact", version - 4096)).await, 410);
    let ahead = get(&api, &format!("{BOOKS}?resourceVersion={}", version + (1 << 40)), "").await;
    assert_eq!(
        (ahead.code, &ahead.json()["details"]["causes"][0]["reason"]),
        (504, &json!("ResourceVersionTooLarge"))
    );
}

#[tokio::test]
async fn w4_r13_another_replicas_version_is_passed_after_a_fresh_look() {
    let stock = stocked();
    let others = Clock::tagged(10).stamp(jiff::Timestamp::now());
    let seen = get(&api(&stock), &format!("{BOOKS}?resourceVersion={others}"), "").await.json();
    let version: u64 = seen["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!(version > others);
    let mut down = stocked();
    down.look = Err(Status::unavailable("down"));
    assert_eq!(get(&api(&down), &format!("{BOOKS}?resourceVersion={others}"), "").await.code, 503);
}

#[tokio::test]
async fn r15_curl_gets_lines() {
    let seen = ask(&api(&stocked()), "GET", BOOKS, &[("user-agent", "curl/8")], Body::empty()).await;
    assert!(
        seen.text.starts_with("{\n  \"apiVersion\": \"demo.example/v1\",\n  \"kind\": \"BookList\","),
        "{}",
        seen.text
    );
}

#[tokio::test]
async fn c13_a13_connections_get_the_path_below_and_no_identity() {
    let headers = [
        ("authorization", "Bearer x"),
        ("x-remote-user", "eve"),
        ("impersonate-user", "root"),
        ("cookie", "a=b"),
        ("x-own", "1"),
    ];
    let uri = format!("{BOOKS}/b1/proxy/services/a%20b?x=1");
    let seen = ask(&api(&stocked()), "POST", &uri, &headers, Body::empty()).await;
    assert_eq!((seen.code, seen.text.as_str()), (200, "POST services/a%20b x-own"));
    assert_eq!(ask(&api(&stocked()), "DELETE", &uri, &[], Body::empty()).await.code, 405);
    assert_eq!(
        ask(&api(&stocked()), "POST", &format!("{uri}&dryRun=All"), &[], Body::empty()).await.code,
        400
    );
}

/// Allows what is no write.
struct ReadersOnly;

impl SubAccess for ReadersOnly {
    fn check<'a>(
        &'a self,
        user: &'a crate::user::User,
        attributes: &'a crate::authz::Attributes,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            match attributes.resource() {
                Some(asked) if asked.verb == "get" => Ok(()),
                _ => Err(crate::authz::forbidden::status(user, attributes, "readers only")),
            }
        }
        .boxed()
    }
}

#[tokio::test]
async fn z8_an_upgrade_needs_the_right_to_write() {
    let books = stocked();
    let api = Api::builder("demo.example", "v1")
        .access(ReadersOnly)
        .readable(books.clone())
        .creatable(books.clone())
        .readable_subresource::<Book, _>("copies", books.clone())
        .creatable_subresource::<Book, _>("copies", books.clone())
        .connection::<Book, _>("proxy", books)
        .build()
        .unwrap();
    let uri = format!("{BOOKS}/b1/proxy/ws");
    assert_eq!(ask(&api, "GET", &uri, &[], Body::empty()).await.code, 200);
    let upgrade = [("upgrade", "websocket"), ("connection", "upgrade")];
    let refused = ask(&api, "GET", &uri, &upgrade, Body::empty()).await;
    assert_eq!(refused.code, 403);
    assert!(refused.text.contains(r#"cannot create resource \"books/proxy\""#), "{}", refused.text);
}
