//! A place for snapshots: as much of S3 as Restate speaks, kept in this process.
//!
//! Whoever asks is let in, and nothing is kept beyond the test.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Query, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::Result;

const NAME: &str = "snapshots";
/// No object of a test changes so late that somebody would look at this.
const MODIFIED: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
const MODIFIED_ISO: &str = "2026-01-01T00:00:00.000Z";

/// The bucket, as long as it is held.
#[derive(Debug)]
pub struct Bucket {
    address: String,
    shelf: Shelf,
    task: JoinHandle<()>,
}

type Shelf = Arc<Mutex<Stock>>;
type Questions = HashMap<String, String>;

#[derive(Debug, Default)]
struct Stock {
    objects: BTreeMap<String, Object>,
    parts: BTreeMap<(String, u32), Bytes>,
    written: u64,
}

#[derive(Clone, Debug)]
struct Object {
    content: Bytes,
    tag: String,
}

impl Bucket {
    /// Opens one at a free port of this address.
    pub async fn open(address: &str) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let (address, shelf) = (listener.local_addr()?.to_string(), Shelf::default());
        let routes =
            Router::new().fallback(serve).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&shelf));
        let task = tokio::spawn(async move {
            // It ends with the test; a snapshot that could not be written is missed by who looks for it.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { address, shelf, task })
    }

    /// The part of a server's configuration that has its snapshots written here.
    pub fn config(&self) -> String {
        format!(
            "[worker.snapshots]\ndestination = \"s3://{NAME}/cluster\"\naws-region = \"local\"\n\
             aws-endpoint-url = \"http://{}\"\naws-allow-http = true\naws-access-key-id = \"test\"\n\
             aws-secret-access-key = \"test\"\n",
            self.address
        )
    }

    /// How many objects it has.
    pub fn len(&self) -> usize {
        lock(&self.shelf).objects.len()
    }

    /// Was nothing written yet?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stock {
    /// Writes an object and gives its tag.
    fn put(&mut self, key: String, content: Bytes) -> String {
        self.written += 1;
        let tag = format!("\"{}\"", self.written);
        self.objects.insert(key, Object { content, tag: tag.clone() });
        tag
    }

    /// May this be written, by what the writer says of what he has seen?
    fn allows(&self, key: &str, headers: &HeaderMap) -> bool {
        let found = self.objects.get(key);
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let as_seen = text(header::IF_MATCH).is_none_or(|tag| found.is_some_and(|found| found.tag == tag));
        as_seen && (text(header::IF_NONE_MATCH) != Some("*") || found.is_none())
    }

    fn list(&self, questions: &Questions) -> String {
        let text = |name: &str| questions.get(name).map_or("", String::as_str);
        let (prefix, delimiter) = (text("prefix"), text("delimiter"));
        let (mut contents, mut folders) = (String::new(), Vec::new());
        for (key, object) in self.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
            let rest = &key[prefix.len()..];
            if let Some(end) = rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
                folders.push(format!("{prefix}{}", &rest[..end + delimiter.len()]));
            } else {
                let (tag, size) = (&object.tag, object.content.len());
                // Writing to a string does not fail.
                let _ = write!(
                    contents,
                    "<Contents><Key>{key}</Key><LastModified>{MODIFIED_ISO}</LastModified><ETag>{tag}</ETag>\
                     <Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
                );
            }
        }
        folders.dedup();
        let folder = |name| format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>");
        let folders: String = folders.into_iter().map(folder).collect();
        format!(
            "<ListBucketResult><Name>{NAME}</Name><Prefix>{prefix}</Prefix><IsTruncated>false</IsTruncated>{contents}\
             {folders}</ListBucketResult>"
        )
    }

    /// Puts the parts of an upload together.
    fn complete(&mut self, key: &str, upload: &str) -> String {
        let ours = |(owner, _): &(String, u32)| owner == upload;
        let content: Vec<u8> =
            self.parts.iter().filter(|(id, _)| ours(id)).flat_map(|(_, part)| part.to_vec()).collect();
        self.parts.retain(|id, _| !ours(id));
        self.put(key.to_owned(), content.into())
    }
}

async fn serve(
    State(shelf): State<Shelf>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(Query(questions)) = Query::<Questions>::try_from_uri(&uri) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut stock = lock(&shelf);
    let path = uri.path().trim_start_matches('/');
    let key = path.split_once('/').map(|(_, key)| key.to_owned()).filter(|key| !key.is_empty());
    match (method, key) {
        (Method::GET, None) => xml(stock.list(&questions)),
        (Method::POST, None) => {
            for key in keys(&String::from_utf8_lossy(&body)) {
                stock.objects.remove(key);
            }
            xml("<DeleteResult></DeleteResult>".to_owned())
        }
        (Method::GET | Method::HEAD, Some(key)) => get(stock.objects.get(&key), &headers),
        (Method::PUT, Some(key)) => put(&mut stock, key, &questions, &headers, body),
        (Method::POST, Some(key)) => upload(&mut stock, &key, &questions),
        (Method::DELETE, Some(key)) => {
            stock.objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        (_, _) => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// An object, or a part of an upload.
fn put(stock: &mut Stock, key: String, questions: &Questions, headers: &HeaderMap, body: Bytes) -> Response {
    let part = questions.get("partNumber").and_then(|text| text.parse().ok());
    if let (Some(upload), Some(part)) = (questions.get("uploadId"), part) {
        stock.parts.insert((upload.clone(), part), body);
        return tagged(format!("\"{part}\""));
    }
    if !stock.allows(&key, headers) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    tagged(stock.put(key, body))
}

/// The beginning of an upload in parts, or its end.
fn upload(stock: &mut Stock, key: &str, questions: &Questions) -> Response {
    if let Some(upload) = questions.get("uploadId") {
        let tag = stock.complete(key, upload);
        return xml(format!(
            "<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
        ));
    }
    stock.written += 1;
    let id = stock.written;
    xml(format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
}

fn get(object: Option<&Object>, headers: &HeaderMap) -> Response {
    let Some(Object { content, tag }) = object else {
        let words = "<Error><Code>NoSuchKey</Code><Message>no such object</Message></Error>";
        return (StatusCode::NOT_FOUND, words).into_response();
    };
    let about = [(header::ETAG, tag.clone()), (header::LAST_MODIFIED, MODIFIED.to_owned())];
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Some((first, last)) = range.and_then(|text| span(text, content.len())) else {
        return (about, content.clone()).into_response();
    };
    let range = (header::CONTENT_RANGE, format!("bytes {first}-{last}/{}", content.len()));
    (StatusCode::PARTIAL_CONTENT, about, [range], content.slice(first..=last)).into_response()
}

/// `bytes=FIRST-LAST`, where the last may be missing or lie beyond the end.
fn span(text: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, end) = (first.parse().ok()?, length.checked_sub(1)?);
    let last = last.parse().unwrap_or(end).min(end);
    (first <= last).then_some((first, last))
}

fn keys(body: &str) -> impl Iterator<Item = &str> {
    body.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>")).map(|(key, _)| key)
}

fn tagged(tag: String) -> Response {
    [(header::ETAG, tag)].into_response()
}

fn xml(text: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"))], text).into_response()
}

fn lock(shelf: &Shelf) -> MutexGuard<'_, Stock> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn who_has_not_seen_the_newest_state_may_not_write() {
        let mut stock = Stock::default();
        assert!(stock.allows("a", &headers(header::IF_NONE_MATCH, "*")));
        assert!(!stock.allows("a", &headers(header::IF_MATCH, "\"1\"")), "there is nothing to match");
        assert_eq!(stock.put("a".to_owned(), Bytes::from_static(b"1")), "\"1\"");
        assert!(!stock.allows("a", &headers(header::IF_NONE_MATCH, "*")));
        assert!(stock.allows("a", &headers(header::IF_MATCH, "\"1\"")));
        assert!(stock.allows("a", &HeaderMap::new()));
    }

    #[test]
    fn a_list_has_objects_and_folders_once() {
        let mut stock = Stock::default();
        for key in ["c/0/latest.json", "c/0/s/1.sst", "c/0/s/2.sst", "d"] {
            stock.put(key.to_owned(), Bytes::new());
        }
        let ask =
            [("prefix", "c/0/"), ("delimiter", "/")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let list = stock.list(&ask.into_iter().collect());
        assert_eq!(
            (list.matches("<Key>").count(), list.matches("<CommonPrefixes>").count()),
            (1, 1),
            "{list}"
        );
        assert!(
            list.contains("<Key>c/0/latest.json</Key>") && list.contains("<Prefix>c/0/s/</Prefix>"),
            "{list}"
        );
        assert_eq!(stock.list(&Questions::new()).matches("<Key>").count(), 4);
    }

    #[test]
    fn parts_come_together_in_their_order() {
        let mut stock = Stock::default();
        for (part, text) in [(2, "b"), (1, "a"), (10, "c")] {
            stock.parts.insert(("1".to_owned(), part), Bytes::from(text));
        }
        stock.complete("key", "1");
        assert_eq!(stock.objects["key"].content, "abc");
        assert!(stock.parts.is_empty());
    }

    #[test]
    fn a_range_ends_with_the_object() {
        assert_eq!(span("bytes=2-4", 10), Some((2, 4)));
        assert_eq!(span("bytes=2-", 10), Some((2, 9)));
        assert_eq!(span("bytes=2-40", 10), Some((2, 9)));
        assert_eq!(span("bytes=10-", 10), None);
        assert_eq!(
            keys("<Delete><Object><Key>a</Key></Object><Object><Key>b</Key>").collect::<Vec<_>>(),
            ["a", "b"]
        );
    }
}
