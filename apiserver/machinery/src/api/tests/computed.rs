//! A kind that is computed at each request.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rstest::rstest;

use super::*;
use crate::{
    kind::{Column, Descriptor, Gvk, Kind, Row},
    list::ListRequest,
    resource::{Computed, Page},
};

/// Nothing but a name.
#[derive(Clone, serde::Serialize, schemars::JsonSchema)]
struct Echo {
    metadata: ObjectMeta,
}

impl Kind for Echo {
    const GVK: Gvk = Gvk { kind: "Echo", ..Book::GVK };
    const COLUMNS: &'static [Column] = &[Column::NAME];

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        vec![self.metadata.name.clone().into()]
    }
}

impl Resource for Echo {
    const DESCRIPTOR: Descriptor = Descriptor {
        gvk: Self::GVK,
        plural: "echoes",
        singular: "echo",
        short_names: &[],
        verbs: &[Verb::Get, Verb::List],
        selectable_fields: &[],
        subresources: &[],
        ..Book::DESCRIPTOR
    };
}

/// Says back where it is to go on; two portions and no more.
struct Echoes;

impl Computed for Echoes {
    type Object = Echo;

    async fn get(&self, call: &Call) -> Result<Option<Echo>, Status> {
        Ok(Some(echo(call.name())))
    }

    async fn list(&self, _: &Call, request: &ListRequest) -> Result<Page<Echo>, Status> {
        Ok(match request.resume.as_deref() {
            None => Page { objects: vec![echo("first")], resume: Some("there".to_owned()) },
            Some(place) => Page { objects: vec![echo(place)], resume: None },
        })
    }
}

fn echo(name: &str) -> Echo {
    let (name, namespace) = (Some(name.to_owned()), Some("shop".to_owned()));
    Echo { metadata: ObjectMeta { name, namespace, ..ObjectMeta::default() } }
}

fn echoes() -> Api {
    Api::builder("demo.example", "v1").clock(&Arc::new(Clock::tagged(9))).computed(Echoes).build().unwrap()
}

const ECHOES: &str = "/apis/demo.example/v1/namespaces/shop/echoes";

#[rstest]
#[case::freshest("", 200)]
#[case::any("?resourceVersion=0", 200)]
#[case::not_older("?resourceVersion=5", 200)]
#[case::exactly("?resourceVersion=5&resourceVersionMatch=Exact", 410)]
#[case::ahead("?resourceVersion=9223372036854775807", 504)]
#[case::nonsense("?resourceVersion=abc", 400)]
#[case::of_one("/a?resourceVersion=5", 200)]
#[case::nonsense_of_one("/a?resourceVersion=abc", 400)]
#[tokio::test]
async fn r13_what_is_computed_now_is_no_version_of_before(#[case] query: &str, #[case] code: u16) {
    let seen = get(&echoes(), &format!("{ECHOES}{query}"), "").await;
    assert_eq!(seen.code, code, "{}", seen.text);
}

#[tokio::test]
async fn r12_a_token_holds_for_the_selection_that_it_began_with() {
    let first = get(&echoes(), &format!("{ECHOES}?limit=1"), "").await.json();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let next = get(&echoes(), &format!("{ECHOES}?limit=1&continue={token}"), "").await;
    assert_eq!(next.json()["items"][0]["metadata"]["name"], "there");
    for other in [format!("{ECHOES}?labelSelector=a%3Db&"), "/apis/demo.example/v1/echoes?".to_owned()] {
        assert_eq!(get(&echoes(), &format!("{other}continue={token}"), "").await.code, 400, "{other}");
    }
    assert_eq!(get(&echoes(), &format!("{ECHOES}?continue=there"), "").await.code, 400);
}
