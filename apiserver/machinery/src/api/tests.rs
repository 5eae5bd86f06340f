//! The API as clients meet it: whole requests against a router, without a network.

use std::sync::{Arc, Mutex};

use axum::{body::Body, response::Response};
use futures::future::{BoxFuture, FutureExt};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{
    kind::{Resource, Verb},
    resource::{
        Call, Connectable, Creatable, CreatableSubresource, Given, Phase, Readable, ReadableSubresource,
        Wanted,
    },
    status::Status,
    store::Store,
    testing::{Book, book},
    version::Clock,
    write::CreateOptions,
};

mod computed;
mod discovery;
mod read;
mod write;

const BOOKS: &str = "/apis/demo.example/v1/namespaces/shop/books";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

#[derive(Clone)]
struct Books {
    store: Store<Book>,
    /// What a look gives.
    look: Result<(), Status>,
    /// Whether nobody may have told of some.
    whole: Result<(), Status>,
    created: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Readable for Books {
    type Object = Book;

    fn store(&self) -> &Store<Book> {
        &self.store
    }

    async fn fresh(&self, _wanted: &Wanted) -> Result<(), Status> {
        self.look.clone()
    }

    async fn whole(&self, wanted: &Wanted) -> Result<(), Status> {
        // Of the attic everything is known.
        if wanted.namespace.as_deref() == Some("attic") { Ok(()) } else { self.whole.clone() }
    }
}

impl Creatable for Books {
    type Object = Book;

    async fn create(&self, _: &Call, mut object: Book, options: &CreateOptions) -> Result<Book, Status> {
        let name = object.metadata.name.clone().unwrap_or_default();
        self.created.lock().unwrap().push((name, options.dry_run));
        object.status.state = "Printed".to_owned();
        Ok(object)
    }
}

impl ReadableSubresource for Books {
    type Object = Book;

    async fn get(&self, call: &Call) -> Result<Given<Book>, Status> {
        if call.name() != "b1" {
            return Err(call.not_found());
        }
        Ok(Given::Many(vec![book("shop", "copy-1", "Lent", 3), book("shop", "copy-2", "There", 3)]))
    }
}

impl CreatableSubresource for Books {
    type Object = Book;

    async fn create(&self, call: &Call, object: Book, options: &CreateOptions) -> Result<Book, Status> {
        Creatable::create(self, call, object, options).await
    }
}

impl Connectable for Books {
    async fn connect(&self, call: &Call, request: Request<Body>) -> Result<Response, Status> {
        let seen: Vec<&str> = request.headers().keys().map(http::HeaderName::as_str).collect();
        let text = format!("{} {} {}", request.method(), call.rest(), seen.join(","));
        Ok(Response::new(Body::from(text)))
    }
}

/// Namespaces `gone` and `ending` are what their names say.
struct Places;

impl Namespaces for Places {
    fn phase<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<Phase, Status>> {
        let phase = match namespace {
            "gone" => Phase::Absent,
            "ending" => Phase::Terminating,
            _ => Phase::Active,
        };
        async move { Ok(phase) }.boxed()
    }
}

fn books(look: Result<(), Status>) -> Books {
    let store = Store::new(&Arc::new(Clock::tagged(9)));
    Books { store, look, whole: Ok(()), created: Arc::default() }
}

fn api(books: &Books) -> Api {
    read_from(books.clone(), books)
}

fn read_from(readable: impl Readable<Object = Book>, books: &Books) -> Api {
    let books = books.clone();
    Api::builder("demo.example", "v1")
        .namespaces(Places)
        .readable(readable)
        .creatable(books.clone())
        .readable_subresource::<Book, _>("copies", books.clone())
        .creatable_subresource::<Book, _>("copies", books.clone())
        .connection::<Book, _>("proxy", books)
        .build()
        .unwrap()
}

/// Three books in two namespaces.
fn stocked() -> Books {
    let books = books(Ok(()));
    let stock = vec![
        book("shop", "b2", "Final", 30),
        book("attic", "b0", "Final", 5),
        book("shop", "b1", "Draft", 3),
    ];
    books.store.publish(stock).unwrap();
    books
}

struct Seen {
    code: u16,
    headers: http::HeaderMap,
    text: String,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The answer with what differs from run to run made equal.
    fn golden(&self) -> String {
        let mut json = self.json();
        scrub(&mut json);
        let media_type = self.headers.get("content-type").map_or("", |value| value.to_str().unwrap());
        format!("{} {media_type}\n{json:#}", self.code)
    }

    fn warnings(&self) -> Vec<&str> {
        self.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect()
    }
}

fn scrub(json: &mut Value) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(scrub),
        Value::Object(map) => {
            for (key, value) in map {
                match key.as_str() {
                    "resourceVersion" if value != "" => *value = "(version)".into(),
                    "continue" => *value = "(token)".into(),
                    "cells" => {
                        let cells = value.as_array_mut().unwrap();
                        *cells.last_mut().unwrap() = "(age)".into();
                    }
                    _ => scrub(value),
                }
            }
        }
        _ => {}
    }
}

async fn ask(api: &Api, method: &str, uri: &str, headers: &[(&str, &str)], body: Body) -> Seen {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = api.router().oneshot(request.body(body).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Seen {
        code: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

async fn get(api: &Api, uri: &str, accept: &str) -> Seen {
    ask(api, "GET", uri, &[("accept", accept)], Body::empty()).await
}

async fn post(api: &Api, uri: &str, object: &Value) -> Seen {
    let headers = [("content-type", "application/json")];
    ask(api, "POST", uri, &headers, Body::from(object.to_string())).await
}

#[test]
fn style_14_nothing_is_declared_that_is_not_served() {
    let stock = stocked();
    let missing = Api::builder("demo.example", "v1").readable(stock.clone()).build().err().unwrap();
    assert_eq!(missing, Error::NoHandler { resource: "books".to_owned(), verb: Verb::Create });
    let twice = Api::builder("demo.example", "v1").readable(stock.clone()).readable(stock.clone()).build();
    assert_eq!(twice.err(), Some(Error::TwoHandlers { resource: "books".to_owned() }));
    let foreign = Api::builder("other.example", "v1").readable(stock.clone()).build().err().unwrap();
    assert!(matches!(foreign, Error::ForeignKind { .. }));
    let undeclared =
        Api::builder("demo.example", "v1").connection::<Book, _>("attic", stock).build().err().unwrap();
    assert_eq!(undeclared, Error::Undeclared { resource: "books/attic".to_owned() });
}

#[test]
fn m5_metrics_know_each_resource_and_subresource() {
    let known = api(&stocked()).known_resources();
    let names: Vec<&str> = known.iter().map(|known| known.resource.as_str()).collect();
    assert_eq!(names, ["books", "books/copies", "books/proxy"]);
    assert_eq!(api(&stocked()).descriptors(), [Book::DESCRIPTOR]);
}
