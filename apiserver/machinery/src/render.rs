//! Answers as bytes: object, list, table or metadata, in the form that was negotiated (R2, R5–R7, R15, R16).
//!
//! A list is the concatenation of what was encoded when its objects changed; nothing is decoded here, except to
//! indent it for eyes.

mod flow;

use std::{io::Write, sync::Arc};

use apiserver_kind::{Column, Gvk};
use axum::{body::Body, response::Response};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use jiff::Timestamp;

use crate::{
    encoded::Encoded,
    list::ListMeta,
    negotiate::{self, Form, MetaVersion},
    query::Query,
    status::Status,
    table::{IncludeObject, Style, write_partial},
};

/// Bodies up to this size are not worth the time of compressing them (R16).
const COMPRESSED_ABOVE: usize = 128 * 1024;

/// How to answer one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Render {
    pub(crate) form: Form,
    pub(crate) shape: Shape,
    include: IncludeObject,
    paper: Paper,
    now: Timestamp,
}

/// The kind of the objects, and how its rows look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) gvk: Gvk,
    pub(crate) columns: &'static [Column],
}

/// How bytes leave: indented, compressed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paper {
    pretty: bool,
    gzip: bool,
}

impl Paper {
    pub(crate) fn of(headers: &HeaderMap, uri: &Uri) -> Self {
        let pretty = negotiate::is_pretty(headers, &Query::of(uri));
        Self { pretty, gzip: negotiate::takes_gzip(headers) }
    }

    /// A response with this JSON.
    pub(crate) fn json(self, code: StatusCode, json: Vec<u8>) -> Response {
        let body = if self.pretty { indented(&json).unwrap_or(json) } else { json };
        let packed = (self.gzip && body.len() > COMPRESSED_ABOVE).then(|| gzipped(&body).ok()).flatten();
        let is_packed = packed.is_some();
        response(code, Body::from(packed.unwrap_or(body)), is_packed)
    }
}

fn response(code: StatusCode, body: Body, is_packed: bool) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if is_packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    response
}

impl Render {
    pub(crate) fn of(headers: &HeaderMap, uri: &Uri, shape: Shape) -> Result<Self, Status> {
        let (form, query) = (negotiate::form(headers)?, Query::of(uri));
        let include = match form {
            Form::Table(_) => IncludeObject::of(&query)?,
            Form::Object | Form::Metadata(_) | Form::MetadataList(_) => IncludeObject::Metadata,
        };
        Ok(Self { form, shape, include, paper: Paper::of(headers, uri), now: Timestamp::now() })
    }

    /// One object.
    pub(crate) fn object(&self, code: StatusCode, object: &Encoded) -> Result<Response, Status> {
        let mut json = Vec::with_capacity(object.json().len() + 512);
        match self.form {
            Form::Object => json.extend_from_slice(object.json()),
            Form::Metadata(version) => write_partial(&mut json, version, object.metadata()),
            Form::Table(version) => {
                self.table(version).write(
                    &mut json,
                    &ListMeta::at(object.version),
                    true,
                    std::iter::once(object),
                );
            }
            Form::MetadataList(_) => {
                return Err(wrong_form("PartialObjectMetadataList", "the requested object is not a list"));
            }
        }
        Ok(self.paper.json(code, json))
    }

    /// A list: what is long leaves in portions.
    pub(crate) fn list(&self, meta: ListMeta, items: Vec<Arc<Encoded>>) -> Result<Response, Status> {
        if let Form::Metadata(_) = self.form {
            return Err(wrong_form("PartialObjectMetadata", "the requested object is a list"));
        }
        let size: usize = items.iter().map(|item| item.json().len() + 1).sum();
        if size <= COMPRESSED_ABOVE || self.paper.pretty {
            return Ok(self.paper.json(StatusCode::OK, self.whole(&meta, &items)));
        }
        let gzip = self.paper.gzip;
        Ok(response(StatusCode::OK, flow::body(*self, meta, items, gzip), gzip))
    }

    fn whole(&self, meta: &ListMeta, items: &[Arc<Encoded>]) -> Vec<u8> {
        let size: usize = items.iter().map(|item| item.json().len() + 1).sum();
        let mut json = Vec::with_capacity(size + 512);
        self.open_list(&mut json, meta);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            self.write_item(&mut json, item);
        }
        json.extend_from_slice(b"]}");
        json
    }

    /// A list up to its first item. It ends with `]}`.
    fn open_list(&self, json: &mut Vec<u8>, meta: &ListMeta) {
        match self.form {
            Form::Table(version) => self.table(version).open(json, meta, true),
            Form::MetadataList(version) | Form::Metadata(version) => open_metadata_list(json, version, meta),
            Form::Object => self.open_objects(json, meta),
        }
    }

    /// One item of a list.
    fn write_item(&self, json: &mut Vec<u8>, item: &Encoded) {
        match self.form {
            Form::Table(version) => self.table(version).write_row(json, item),
            Form::MetadataList(version) | Form::Metadata(version) => {
                write_partial(json, version, item.metadata());
            }
            Form::Object => json.extend_from_slice(item.json()),
        }
    }

    /// One object inside of an event; `first` says whether a table still needs its head.
    pub(crate) fn write_event_object(&self, into: &mut Vec<u8>, object: &Encoded, first: bool) {
        match self.form {
            Form::Object => into.extend_from_slice(object.json()),
            Form::Metadata(version) | Form::MetadataList(version) => {
                write_partial(into, version, object.metadata());
            }
            Form::Table(version) => {
                let style = Style { now: Timestamp::now(), ..self.table(version) };
                style.write(into, &ListMeta::at(object.version), first, std::iter::once(object));
            }
        }
    }

    /// The object of a bookmark: kind and version, and a mark where the initial events end (W7, W9).
    pub(crate) fn write_bookmark(&self, into: &mut Vec<u8>, version: u64, ends_initial_events: bool) {
        let mark = if ends_initial_events {
            ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}"
        } else {
            ""
        };
        let metadata = format!("{{\"resourceVersion\":\"{version}\"{mark}}}");
        match self.form {
            Form::Object => {
                let (kind, api_version) = (self.shape.gvk.kind, self.shape.gvk.api_version());
                let head = format!(
                    "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata}}}"
                );
                into.extend_from_slice(head.as_bytes());
            }
            Form::Metadata(meta) | Form::MetadataList(meta) => write_partial(into, meta, metadata.as_bytes()),
            Form::Table(meta) => self.table(meta).write_bookmark(into, version, metadata.as_bytes()),
        }
    }

    fn table(&self, version: MetaVersion) -> Style {
        Style { version, include: self.include, columns: self.shape.columns, now: self.now }
    }

    fn open_objects(&self, json: &mut Vec<u8>, meta: &ListMeta) {
        let (kind, api_version) = (self.shape.gvk.list_kind(), self.shape.gvk.api_version());
        json.extend_from_slice(format!("{{\"apiVersion\":\"{api_version}\",\"kind\":\"{kind}\",").as_bytes());
        json.extend_from_slice(b"\"metadata\":");
        meta.write(json);
        json.extend_from_slice(b",\"items\":[");
    }
}

fn open_metadata_list(json: &mut Vec<u8>, version: MetaVersion, meta: &ListMeta) {
    let name: &str = version.into();
    let head = format!(
        "{{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/{name}\",\"metadata\":"
    );
    json.extend_from_slice(head.as_bytes());
    meta.write(json);
    json.extend_from_slice(b",\"items\":[");
}

fn wrong_form(wanted: &str, why: &str) -> Status {
    Status::new(crate::status::Reason::NotAcceptable, format!("you requested {wanted}, but {why}"))
}

fn indented(json: &[u8]) -> Option<Vec<u8>> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let mut pretty = Vec::with_capacity(json.len() * 2);
    serde_transcode::transcode(&mut reader, &mut serde_json::Serializer::pretty(&mut pretty)).ok()?;
    pretty.push(b'\n');
    Some(pretty)
}

fn gzipped(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::io::Read;

    #[tokio::test]
    async fn r16_large_bodies_are_packed_where_that_is_understood() {
        let body = vec![b'1'; COMPRESSED_ABOVE + 1];
        let packed = Paper { pretty: false, gzip: true }.json(StatusCode::OK, body.clone());
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        let bytes = packed.into_body().collect().await.unwrap().to_bytes();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_ref()).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, body);
        let small = Paper { pretty: false, gzip: true }.json(StatusCode::OK, b"{}".to_vec());
        assert!(!small.headers().contains_key("content-encoding"));
    }

    #[test]
    fn r15_indenting_keeps_order_and_content() {
        let pretty = indented(br#"{"b":1,"a":[{"c":"x y"},null]}"#).unwrap();
        insta::assert_snapshot!(String::from_utf8(pretty).unwrap());
    }
}
