//! Tables: what `kubectl get` prints (R2–R4, W12).

use apiserver_kind::Column;
use jiff::Timestamp;

use crate::{encoded::Encoded, list::ListMeta, negotiate::MetaVersion, query::Query, status::Status};

/// What of the object each row carries (R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    Nothing,
    Metadata,
    Object,
}

impl IncludeObject {
    pub(crate) fn of(query: &Query) -> Result<Self, Status> {
        match query.first("includeObject").unwrap_or("Metadata") {
            "None" => Ok(Self::Nothing),
            "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            other => Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}"))),
        }
    }
}

/// How a table is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) version: MetaVersion,
    pub(crate) include: IncludeObject,
    pub(crate) columns: &'static [Column],
    pub(crate) now: Timestamp,
}

impl Style {
    /// Writes a whole table; `headed` is false for later events of a watch.
    pub(crate) fn write<'a>(
        &self,
        into: &mut Vec<u8>,
        meta: &ListMeta,
        headed: bool,
        rows: impl Iterator<Item = &'a Encoded>,
    ) {
        self.open(into, meta, headed);
        for (index, row) in rows.enumerate() {
            if index > 0 {
                into.push(b',');
            }
            self.write_row(into, row);
        }
        into.extend_from_slice(b"]}");
    }

    /// Writes the table of a bookmark: a row without cells' values that keeps the metadata (W12).
    pub(crate) fn write_bookmark(&self, into: &mut Vec<u8>, version: u64, metadata: &[u8]) {
        self.open(into, &ListMeta::at(version), false);
        let nulls = vec!["null"; self.columns.len()].join(",");
        into.extend_from_slice(format!("{{\"cells\":[{nulls}],\"object\":").as_bytes());
        write_partial(into, self.version, metadata);
        into.extend_from_slice(b"}]}");
    }

    /// Writes a table up to its first row. It ends with `]}`.
    pub(crate) fn open(&self, into: &mut Vec<u8>, meta: &ListMeta, headed: bool) {
        let version: &str = self.version.into();
        into.extend_from_slice(
            format!("{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{version}\",").as_bytes(),
        );
        into.extend_from_slice(b"\"metadata\":");
        meta.write(into);
        into.extend_from_slice(b",\"columnDefinitions\":");
        let columns = headed.then_some(self.columns);
        into.extend_from_slice(&serde_json::to_vec(&columns).unwrap_or_default());
        into.extend_from_slice(b",\"rows\":[");
    }

    /// Writes one row.
    pub(crate) fn write_row(&self, into: &mut Vec<u8>, row: &Encoded) {
        into.extend_from_slice(b"{\"cells\":[");
        row.write_cells(into, self.now);
        into.extend_from_slice(b"],\"object\":");
        match self.include {
            IncludeObject::Nothing => into.extend_from_slice(b"null"),
            IncludeObject::Metadata => write_partial(into, self.version, row.metadata()),
            IncludeObject::Object => into.extend_from_slice(row.json()),
        }
        into.push(b'}');
    }
}

/// Writes an object of which only the metadata is shown (R6).
pub(crate) fn write_partial(into: &mut Vec<u8>, version: MetaVersion, metadata: &[u8]) {
    let head: &[u8] = match version {
        MetaVersion::V1 => {
            b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":"
        }
        MetaVersion::V1Beta1 => {
            b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1beta1\",\"metadata\":"
        }
    };
    into.extend_from_slice(head);
    into.extend_from_slice(metadata);
    into.push(b'}');
}
