use super::*;
use rstest::rstest;

const BOOK: Named<'_> = Named { group: "demo.example", resource: "books", name: "b1" };

fn json(status: &Status) -> String {
    String::from_utf8(status.json()).unwrap()
}

#[rstest]
#[case::e1("bad-request", Status::bad_request("nonsense"))]
#[case::e2("not-found", Status::not_found(BOOK))]
#[case::e3("method", Status::method_not_allowed(BOOK, "list", "use create"))]
#[case::e4("not-acceptable", Status::not_acceptable(&["application/json"]))]
#[case::e4("media-type", Status::unsupported_media_type(&["application/json", "application/yaml"]))]
#[case::e5("already-exists", Status::already_exists(BOOK))]
#[case::e5("conflict", Status::conflict(BOOK, "it is provisioned"))]
#[case::e6("expired", Status::expired("too old"))]
#[case::e7("too-large", Status::too_large("limit is 3145728"))]
#[case::e8("invalid", Status::invalid("demo.example", "Book", "b1", &[
    FieldError::required("spec.title", "every book has one"),
    FieldError::invalid("spec.pages", -1, "must be positive"),
    FieldError::not_supported("spec.format", "clay", &["paper", "audio"]),
    FieldError::forbidden("status", ""),
]))]
#[case::e8("invalid-one", Status::invalid("demo.example", "Book", "", &[FieldError::required("spec", "")]))]
#[case::e9("too-many", Status::too_many_requests("slow down", 3))]
#[case::e10("internal", Status::internal("boom"))]
#[case::e10("unavailable", Status::unavailable("no answer"))]
#[case::e10("timeout", Status::timeout("no answer in 5s", 1))]
#[case::r13("too-large-version", Status::too_large_resource_version(9, 5))]
fn e_statuses_are_those_of_apimachinery(#[case] name: &str, #[case] status: Status) {
    insta::assert_snapshot!(name, json(&status));
}

#[test]
fn e9_the_header_says_when_to_come_again() {
    let response = Status::too_many_requests("slow down", 3).into_response();
    assert_eq!(response.headers()["retry-after"], "3");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
}
