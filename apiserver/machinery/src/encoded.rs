//! An object as bytes: encoded once per change, shared by everybody who reads it (architecture §7).
//!
//! Beside the JSON it holds what a list needs without decoding: key, labels, selectable fields, the row's cells and
//! where in the JSON the metadata is. It knows no type: stores, lists and watches need none.

use std::{collections::BTreeMap, ops::Range};

use apiserver_kind::{Cell, Kind, age::age};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Why an object could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The type does not serialize.
    #[error("failed to serialize {kind} {name:?}")]
    Serialize {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// What went wrong.
        source: serde_json::Error,
    },
    /// The type serializes to something without the metadata that it shows.
    #[error("{kind} {name:?} does not serialize as an object with its metadata")]
    NoObject {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
    },
}

/// One object, encoded.
#[derive(Clone, Debug)]
pub struct Encoded {
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) uid: Box<str>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) version: u64,
    pub(crate) fingerprint: Fingerprint,
    fields: Box<[(&'static str, Box<str>)]>,
    json: Bytes,
    metadata: Range<usize>,
    /// Where in the JSON the digits of the version are.
    digits: Option<Range<usize>>,
    cells: Box<[Piece]>,
}

/// What tells one content from another.
pub(crate) type Fingerprint = [u8; 16];

/// A part of a row: text that stays, or a time whose age is told anew to each reader.
#[derive(Clone, Debug)]
enum Piece {
    Text(Box<[u8]>),
    Age(Option<Timestamp>),
}

impl Encoded {
    /// Encodes an object, its resource version set to `version` (none if 0); `selectable` are the fields that
    /// selectors may name.
    pub fn of<K: Kind>(object: &K, selectable: &[&'static str], version: u64) -> Result<Self, Error> {
        Self::with_fingerprint(object, selectable, (version, fingerprint(object)?))
    }

    pub(crate) fn with_fingerprint<K: Kind>(
        object: &K,
        selectable: &[&'static str],
        (version, fingerprint): (u64, Fingerprint),
    ) -> Result<Self, Error> {
        let mut object = object.clone();
        object.metadata_mut().resource_version = (version != 0).then(|| version.to_string());
        let Written { json, metadata, digits } = written(&object)?;
        let field = |path: &&'static str| object.field(path).map(|value| (*path, Box::from(value)));
        let meta = object.metadata();
        Ok(Self {
            namespace: meta.namespace.as_deref().unwrap_or_default().into(),
            name: meta.name.as_deref().unwrap_or_default().into(),
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            labels: meta.labels.clone().unwrap_or_default(),
            version,
            fingerprint,
            fields: selectable.iter().filter_map(field).collect(),
            json: json.into(),
            metadata,
            digits,
            cells: pieces(&object.row(), K::COLUMNS.len()),
        })
    }

    /// Namespace and name.
    pub fn key(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    /// The object as JSON.
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// The object's metadata as JSON.
    pub fn metadata(&self) -> &[u8] {
        &self.json[self.metadata.clone()]
    }

    /// The value of a selectable field.
    pub fn field(&self, path: &str) -> Option<&str> {
        match path {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            _ => self.fields.iter().find(|(own, _)| *own == path).map(|(_, value)| value.as_ref()),
        }
    }

    /// Writes the row's cells, without brackets.
    pub(crate) fn write_cells(&self, into: &mut Vec<u8>, now: Timestamp) {
        for piece in &self.cells {
            match piece {
                Piece::Text(text) => into.extend_from_slice(text),
                Piece::Age(since) => into.extend_from_slice(age(*since, now).as_bytes()),
            }
        }
    }

    /// The same object under another resource version: what a deletion shows.
    #[must_use]
    pub(crate) fn at(&self, version: u64) -> Self {
        let Some(Range { start, end }) = self.digits.clone() else { return self.clone() };
        let new = version.to_string();
        let json = [&self.json[..start], new.as_bytes(), &self.json[end..]].concat();
        let metadata = self.metadata.start..self.metadata.end + new.len() - (end - start);
        let digits = Some(start..start + new.len());
        Self { version, json: json.into(), metadata, digits, ..self.clone() }
    }
}

/// Tells contents apart; what changes at every look is left out ([`Kind::settled`]), and so is the version.
pub(crate) fn fingerprint<K: Kind>(object: &K) -> Result<Fingerprint, Error> {
    let mut settled = object.settled();
    if settled.metadata().resource_version.is_some() {
        settled.to_mut().metadata_mut().resource_version = None;
    }
    let json = serde_json::to_vec(settled.as_ref()).map_err(|source| Error::Serialize {
        kind: K::GVK.kind,
        name: name_of(object),
        source,
    })?;
    let digest = Sha256::digest(&json);
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(&digest[..16]);
    Ok(fingerprint)
}

fn name_of<K: Kind>(object: &K) -> String {
    object.metadata().name.clone().unwrap_or_default()
}

/// The JSON with `apiVersion` and `kind` in front, where its metadata is, and where in it the version.
struct Written {
    json: Vec<u8>,
    metadata: Range<usize>,
    digits: Option<Range<usize>>,
}

/// The one field of metadata that is looked for: labels and annotations may be called the same.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versioned<'a> {
    #[serde(borrow, default)]
    resource_version: Option<&'a str>,
}

/// Where in metadata the digits of its version are.
fn digits(metadata: &[u8]) -> Option<Range<usize>> {
    let version = serde_json::from_slice::<Versioned<'_>>(metadata).ok()?.resource_version?;
    let start = version.as_ptr().addr().checked_sub(metadata.as_ptr().addr())?;
    Some(start..start + version.len())
}

fn written<K: Kind>(object: &K) -> Result<Written, Error> {
    let serialized = |source| Error::Serialize { kind: K::GVK.kind, name: name_of(object), source };
    let body = serde_json::to_vec(object).map_err(serialized)?;
    let metadata = serde_json::to_vec(object.metadata()).map_err(serialized)?;
    let mut json =
        format!("{{\"apiVersion\":\"{}\",\"kind\":\"{}\",", K::GVK.api_version(), K::GVK.kind).into_bytes();
    let no_object = || Error::NoObject { kind: K::GVK.kind, name: name_of(object) };
    json.extend_from_slice(body.strip_prefix(b"{").ok_or_else(no_object)?);
    let label = b"\"metadata\":";
    let at = find(&json, &[label.as_slice(), &metadata].concat()).ok_or_else(no_object)?;
    let start = at + label.len();
    let digits = digits(&metadata).map(|Range { start: from, end }| start + from..start + end);
    Ok(Written { json, metadata: start..start + metadata.len(), digits })
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, pattern)
}

fn pieces(row: &[Cell], count: usize) -> Box<[Piece]> {
    let mut pieces = Vec::new();
    let mut text = Vec::new();
    for (index, cell) in row.iter().chain(std::iter::repeat(&Cell::Null)).take(count).enumerate() {
        if index > 0 {
            text.push(b',');
        }
        match cell {
            Cell::Age(since) => {
                text.push(b'"');
                pieces.push(Piece::Text(std::mem::take(&mut text).into()));
                pieces.push(Piece::Age(*since));
                text.push(b'"');
            }
            other => write_cell(&mut text, other),
        }
    }
    pieces.push(Piece::Text(text.into()));
    pieces.into()
}

fn write_cell(text: &mut Vec<u8>, cell: &Cell) {
    let value = match cell {
        Cell::Text(value) => serde_json::Value::from(value.as_str()),
        Cell::Integer(value) => (*value).into(),
        Cell::Number(value) => (*value).into(),
        Cell::Boolean(value) => (*value).into(),
        Cell::Null | Cell::Age(_) => serde_json::Value::Null,
    };
    text.extend_from_slice(value.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Book, book};

    fn encoded() -> Encoded {
        Encoded::of(&book("shop", "b1", "Draft", 3), &["status.state"], 42).unwrap()
    }

    #[test]
    fn r7_the_object_says_what_it_is() {
        let json: serde_json::Value = serde_json::from_slice(encoded().json()).unwrap();
        insta::assert_json_snapshot!(json);
    }

    #[test]
    fn the_metadata_is_a_part_of_the_json() {
        let metadata: serde_json::Value = serde_json::from_slice(encoded().metadata()).unwrap();
        assert_eq!(metadata["name"], "b1");
        assert_eq!(metadata["resourceVersion"], "42");
    }

    #[test]
    fn another_version_changes_nothing_else() {
        let (old, new) = (encoded(), encoded().at(1000));
        let text = String::from_utf8(new.json().to_vec()).unwrap();
        assert_eq!(text.replace("\"1000\"", "\"42\"").as_bytes(), old.json().as_ref());
        let metadata: serde_json::Value = serde_json::from_slice(new.metadata()).unwrap();
        assert_eq!(metadata["resourceVersion"], "1000");
    }

    /// Labels and annotations come before the version, and their keys are the users'.
    #[test]
    fn w2_a_label_that_is_called_like_the_version_stays() {
        let mut book = book("shop", "b1", "Draft", 3);
        let same = [("resourceVersion".to_owned(), "42".to_owned())];
        book.metadata.labels = Some(same.clone().into());
        book.metadata.annotations = Some(same.into());
        let new = Encoded::of(&book, &[], 42).unwrap().at(7).at(1000);
        let metadata: serde_json::Value = serde_json::from_slice(new.metadata()).unwrap();
        assert_eq!(metadata["resourceVersion"], "1000");
        assert_eq!(metadata["labels"]["resourceVersion"], "42");
        assert_eq!(metadata["annotations"]["resourceVersion"], "42");
    }

    #[test]
    fn r3_the_row_has_one_cell_per_column_and_a_fresh_age() {
        let mut row = b"[".to_vec();
        encoded().write_cells(&mut row, "2026-01-01T00:01:30Z".parse().unwrap());
        row.push(b']');
        assert_eq!(String::from_utf8(row).unwrap(), r#"["b1","Draft",3,"90s"]"#);
        assert_eq!(Book::COLUMNS.len(), 4);
    }

    #[test]
    fn w3_what_changes_at_every_look_makes_no_new_content() {
        let (one, mut other) = (book("shop", "b1", "Draft", 3), book("shop", "b1", "Draft", 3));
        other.status.observed_at = Some("2026-02-02T00:00:00Z".parse().unwrap());
        assert_eq!(fingerprint(&one).unwrap(), fingerprint(&other).unwrap());
        assert_ne!(fingerprint(&one).unwrap(), fingerprint(&book("shop", "b1", "Draft", 4)).unwrap());
    }
}
