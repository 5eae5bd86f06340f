use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    api::Api,
    kind::{Answer, Descriptor, Gvk, Kind, Resource, Row, Scope, Subresource, Verb},
    resource::{Call, Computed, Connectable, Creatable, CreatableSubresource, Given, ReadableSubresource},
    status::Status,
    testing::{Book, BookSpec, book},
    write::CreateOptions,
};

/// A kind of the cluster that is only created.
#[derive(Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Order {
    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    /// What is ordered.
    spec: BookSpec,
    /// How it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    /// Loose notes.
    #[serde(default)]
    notes: std::collections::BTreeMap<String, String>,
}

/// How an order went.
#[derive(Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
enum Outcome {
    /// It is on its way.
    Sent,
    /// Nobody has it.
    Refused,
}

impl Kind for Order {
    const GVK: Gvk = Gvk { group: "demo.example", version: "v1", kind: "Order" };
    const COLUMNS: &'static [crate::kind::Column] = &[crate::kind::Column::NAME];

    fn metadata(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        vec![self.metadata.name.clone().into()]
    }
}

impl Resource for Order {
    const DESCRIPTOR: Descriptor = Descriptor {
        gvk: Self::GVK,
        plural: "orders",
        singular: "order",
        short_names: &[],
        categories: &[],
        scope: Scope::Cluster,
        verbs: &[Verb::Create],
        selectable_fields: &[],
        subresources: &[],
    };
}

/// The book as a mirror with subresources.
#[derive(Clone, serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
struct Mirror(Book);

impl Kind for Mirror {
    const GVK: Gvk = Gvk { kind: "Mirror", ..Book::GVK };
    const COLUMNS: &'static [crate::kind::Column] = Book::COLUMNS;

    fn metadata(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        self.0.metadata()
    }

    fn metadata_mut(&mut self) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        self.0.metadata_mut()
    }

    fn row(&self) -> Row {
        self.0.row()
    }
}

impl Resource for Mirror {
    const DESCRIPTOR: Descriptor = Descriptor {
        gvk: Self::GVK,
        plural: "mirrors",
        singular: "mirror",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: &[Verb::Get, Verb::List],
        selectable_fields: &[],
        subresources: &[
            Subresource {
                name: "copies",
                gvk: Book::GVK,
                verbs: &[Verb::Get, Verb::Create],
                answer: Answer::List,
            },
            Subresource {
                name: "proxy",
                gvk: Mirror::GVK,
                verbs: &[Verb::Get, Verb::Update],
                answer: Answer::Stream,
            },
        ],
    };
}

struct Nothing;

impl Computed for Nothing {
    type Object = Mirror;

    async fn get(&self, _: &Call) -> Result<Option<Mirror>, Status> {
        Ok(Some(Mirror(book("shop", "m", "x", 1))))
    }
}

impl Creatable for Nothing {
    type Object = Order;

    async fn create(&self, _: &Call, order: Order, _: &CreateOptions) -> Result<Order, Status> {
        Ok(order)
    }
}

impl ReadableSubresource for Nothing {
    type Object = Book;

    async fn get(&self, _: &Call) -> Result<Given<Book>, Status> {
        Ok(Given::Many(Vec::new()))
    }
}

impl CreatableSubresource for Nothing {
    type Object = Book;

    async fn create(&self, _: &Call, book: Book, _: &CreateOptions) -> Result<Book, Status> {
        Ok(book)
    }
}

impl Connectable for Nothing {
    async fn connect(
        &self,
        call: &Call,
        _: http::Request<axum::body::Body>,
    ) -> Result<axum::response::Response, Status> {
        Err(call.not_found())
    }
}

fn api() -> Api {
    Api::builder("demo.example", "v1")
        .creatable(Nothing)
        .computed(Nothing)
        .readable_subresource::<Mirror, _>("copies", Nothing)
        .creatable_subresource::<Mirror, _>("copies", Nothing)
        .connection::<Mirror, _>("proxy", Nothing)
        .build()
        .unwrap()
}

async fn ask(uri: &str, accept: &str) -> (u16, http::HeaderMap, Value) {
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let request =
        http::Request::builder().uri(uri).header("accept", accept).body(axum::body::Body::empty()).unwrap();
    let response = api().router().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap())
}

async fn document(uri: &str) -> Value {
    let (code, _, json) = ask(uri, "application/json").await;
    assert_eq!(code, 200);
    json
}

const V3: &str = "/openapi/v3/apis/demo.example/v1";

/// The document without what Kubernetes' own types say.
fn own(mut json: Value, schemas: &str) -> String {
    let schemas = json.pointer_mut(schemas).unwrap().as_object_mut().unwrap();
    schemas.retain(|name, _| !name.starts_with("io.k8s."));
    serde_json::to_string_pretty(&json).unwrap()
}

#[tokio::test]
async fn o7_o8_o9_v3() {
    insta::assert_snapshot!(own(document(V3).await, "/components/schemas"));
}

#[tokio::test]
async fn o1_o10_v2() {
    insta::assert_snapshot!(own(document("/openapi/v2").await, "/definitions"));
}

#[tokio::test]
async fn o10_the_document_is_openapi_3() {
    let parsed: openapiv3::OpenAPI = serde_json::from_value(document(V3).await).unwrap();
    assert_eq!(parsed.paths.paths.len(), 7);
}

fn references(json: &Value, found: &mut BTreeSet<String>) {
    match json {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.insert(reference.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[rstest::rstest]
#[case(V3)]
#[case("/openapi/v2")]
#[tokio::test]
async fn o8_every_reference_leads_somewhere(#[case] uri: &str) {
    let json = document(uri).await;
    let mut found = BTreeSet::new();
    references(&json, &mut found);
    assert!(found.iter().any(|reference| reference.ends_with("meta.v1.ObjectMeta")), "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(json.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

/// kubectl explain looks for such a path, and then for the schema with the same triple.
#[rstest::rstest]
#[case("/apis/demo.example/v1/orders", "post", "Order")]
#[case("/apis/demo.example/v1/namespaces/{namespace}/mirrors", "get", "Mirror")]
#[case("/apis/demo.example/v1/mirrors", "get", "Mirror")]
#[case("/apis/demo.example/v1/namespaces/{namespace}/mirrors/{name}", "get", "Mirror")]
#[tokio::test]
async fn o7_explain_finds_each_kind(#[case] path: &str, #[case] method: &str, #[case] kind: &str) {
    let json = document(V3).await;
    let gvk = &json["paths"][path][method]["x-kubernetes-group-version-kind"];
    assert_eq!(gvk["kind"], kind);
    let schemas = json["components"]["schemas"].as_object().unwrap();
    let mine = |schema: &&Value| schema["x-kubernetes-group-version-kind"][0] == *gvk;
    let schema = schemas.values().find(mine).unwrap();
    assert!(schema["properties"]["metadata"].is_object() && schema["properties"]["kind"]["type"] == "string");
}

#[tokio::test]
async fn o8_every_field_of_ours_is_described() {
    let json = document(V3).await;
    for (name, schema) in json["components"]["schemas"].as_object().unwrap() {
        let Some(properties) = schema["properties"].as_object() else { continue };
        for (field, schema) in properties.iter().filter(|_| !name.starts_with("io.k8s.")) {
            assert!(schema["description"].is_string(), "{name}.{field}: {schema}");
        }
    }
}

#[tokio::test]
async fn o4_o5_the_index_leads_to_a_document_that_never_changes() {
    let index = document("/openapi/v3").await;
    let url = index["paths"]["apis/demo.example/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let (_, exact, _) = ask(&url, "application/json").await;
    assert_eq!(exact["cache-control"], "public, immutable");
    assert!(exact["expires"].to_str().unwrap().ends_with("GMT"));
    let (code, stale, _) = ask(&format!("{V3}?hash=OLD"), "application/json").await;
    assert_eq!((code, stale["cache-control"].to_str().unwrap()), (200, "public"));
    assert!(url.contains(exact["etag"].to_str().unwrap().trim_matches('"')));
}

#[rstest::rstest]
#[case("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", 406)]
#[case(V3, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf", 406)]
#[case(V3, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf, application/json", 200)]
#[case("/openapi/v3/apis/other.example/v1", "", 404)]
#[tokio::test]
async fn o6_media(#[case] uri: &str, #[case] accept: &str, #[case] code: u16) {
    assert_eq!(ask(uri, accept).await.0, code);
}
