//! Content negotiation: which form of an answer the caller can read (R1–R6, R15, R16, R19).
//!
//! JSON is the only encoding. Clauses that ask for another one, or for a shape that is not offered, are passed over;
//! where nothing is left the answer is 406.

use std::str::FromStr;

use http::{HeaderMap, header};

use crate::{query::Query, status::Status};

/// The version of `meta.k8s.io` in which a shape is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum MetaVersion {
    /// `meta.k8s.io/v1`.
    V1,
    /// `meta.k8s.io/v1beta1`.
    V1Beta1,
}

/// The shape of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The objects themselves.
    Object,
    /// A table.
    Table(MetaVersion),
    /// Metadata of one object, or of each event of a watch.
    Metadata(MetaVersion),
    /// Metadata of a list.
    MetadataList(MetaVersion),
}

/// The forms of `/apis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryForm {
    /// One document with everything, `apidiscovery.k8s.io/v2`.
    Aggregated,
    /// The documents of old.
    Legacy,
}

/// Media types that are named when nothing fits.
const OFFERED: [&str; 1] = ["application/json"];

/// One clause of an `Accept` header.
#[derive(Debug)]
struct Clause<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl Clause<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }

    fn is_json(&self) -> bool {
        matches!(self.media_type, "application/json" | "application/*" | "*/*")
    }

    /// The group, version and shape asked for, if any is.
    fn shape(&self) -> Option<(&str, &str, &str)> {
        let part = |name| self.parameter(name).unwrap_or_default();
        self.parameter("as").map(|shape| (part("g"), part("v"), shape))
    }
}

/// The shape of a resource's answer.
pub fn form(headers: &HeaderMap) -> Result<Form, Status> {
    first(headers, |clause| match clause.shape() {
        None => Some(Form::Object),
        Some(("meta.k8s.io", version, shape)) => {
            let version = MetaVersion::from_str(version).ok()?;
            match shape {
                "Table" => Some(Form::Table(version)),
                "PartialObjectMetadata" => Some(Form::Metadata(version)),
                "PartialObjectMetadataList" => Some(Form::MetadataList(version)),
                _ => None,
            }
        }
        Some(_) => None,
    })
}

/// The form of `/apis` (S1).
pub fn discovery(headers: &HeaderMap) -> Result<DiscoveryForm, Status> {
    first(headers, |clause| match clause.shape() {
        None => Some(DiscoveryForm::Legacy),
        Some(("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList")) => Some(DiscoveryForm::Aggregated),
        Some(_) => None,
    })
}

/// Whether plain JSON can be read.
pub fn json(headers: &HeaderMap) -> Result<(), Status> {
    first(headers, |clause| clause.shape().is_none().then_some(()))
}

/// Whether the answer is for eyes: asked for, or a browser or curl that did not say otherwise (R15).
pub(crate) fn is_pretty(headers: &HeaderMap, query: &Query) -> bool {
    query.optional_flag("pretty").unwrap_or_else(|| {
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        ["curl", "Wget", "Mozilla/5.0"].iter().any(|eyes| agent.starts_with(eyes))
    })
}

/// Whether a gzip body can be read (R16).
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    encodings.flat_map(|value| value.split(',')).any(|clause| {
        let clause = parsed(clause);
        clause.media_type == "gzip" && clause.quality > 0.0
    })
}

/// The first clause, best quality first, that `pick` can serve.
fn first<T>(headers: &HeaderMap, pick: impl Fn(&Clause<'_>) -> Option<T>) -> Result<T, Status> {
    let values: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accept = values.join(",");
    let accept = if accept.trim().is_empty() { "*/*" } else { accept.as_str() };
    let mut clauses: Vec<Clause<'_>> =
        accept.split(',').map(parsed).filter(|clause| clause.quality > 0.0 && clause.is_json()).collect();
    clauses.sort_by(|one, other| other.quality.total_cmp(&one.quality));
    clauses.iter().find_map(pick).ok_or_else(|| Status::not_acceptable(&OFFERED))
}

fn parsed(clause: &str) -> Clause<'_> {
    let mut parts = clause.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let quality = parameters.iter().find(|(name, _)| *name == "q").and_then(|(_, value)| value.parse().ok());
    Clause { media_type, parameters, quality: quality.unwrap_or(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, StatusCode};
    use rstest::rstest;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[rstest]
    #[case::r1_nothing("", Form::Object)]
    #[case::r1_any("*/*", Form::Object)]
    #[case::r1_application("application/*", Form::Object)]
    #[case::r1_kubectl(
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        Form::Table(MetaVersion::V1)
    )]
    #[case::r2_old("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Form::Table(MetaVersion::V1Beta1))]
    #[case::r1_unknown_shape("application/json;as=Graph;v=v1;g=meta.k8s.io, application/json", Form::Object)]
    #[case::r1_unknown_version("application/json;as=Table;v=v9;g=meta.k8s.io, */*", Form::Object)]
    #[case::r1_quality(
        "application/json;q=0.1, application/json;as=Table;v=v1;g=meta.k8s.io;q=0.9",
        Form::Table(MetaVersion::V1)
    )]
    #[case::r6_informer(
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
        Form::MetadataList(MetaVersion::V1)
    )]
    #[case::r6_object(
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        Form::Metadata(MetaVersion::V1)
    )]
    #[case::r19_kcm("application/vnd.kubernetes.protobuf, */*", Form::Object)]
    fn forms(#[case] accept: &'static str, #[case] expected: Form) {
        assert_eq!(form(&headers(header::ACCEPT, accept)), Ok(expected));
    }

    #[rstest]
    #[case::r19("application/vnd.kubernetes.protobuf")]
    #[case::r19("application/cbor")]
    #[case::r1("application/json;as=Table;v=v9;g=meta.k8s.io")]
    #[case::r1("text/html")]
    #[case::r1("application/json;q=0")]
    fn e4_nothing_left(#[case] accept: &'static str) {
        let status = form(&headers(header::ACCEPT, accept)).unwrap_err();
        assert_eq!(status.code(), StatusCode::NOT_ACCEPTABLE);
        assert!(status.message.contains("application/json"), "{status}");
    }

    #[rstest]
    #[case::s1(
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        DiscoveryForm::Aggregated
    )]
    #[case::s7(
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,application/json",
        DiscoveryForm::Aggregated
    )]
    #[case::s6(
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
        DiscoveryForm::Legacy
    )]
    #[case::s8("", DiscoveryForm::Legacy)]
    fn discovery_forms(#[case] accept: &'static str, #[case] expected: DiscoveryForm) {
        assert_eq!(discovery(&headers(header::ACCEPT, accept)), Ok(expected));
    }

    #[rstest]
    #[case("pretty=true", "kubectl", true)]
    #[case("pretty", "kubectl", true)]
    #[case("", "curl/8.0", true)]
    #[case("", "Mozilla/5.0 (X11)", true)]
    #[case("pretty=false", "curl/8.0", false)]
    #[case("", "kubectl/1.36", false)]
    fn r15_pretty(#[case] query: &str, #[case] agent: &'static str, #[case] pretty: bool) {
        let uri = format!("/x?{query}").parse().unwrap();
        assert_eq!(is_pretty(&headers(header::USER_AGENT, agent), &Query::of(&uri)), pretty);
    }

    #[rstest]
    #[case("gzip", true)]
    #[case("deflate, gzip;q=0.5", true)]
    #[case("gzip;q=0", false)]
    #[case("identity", false)]
    fn r16_gzip_is_asked_for(#[case] accept: &'static str, #[case] taken: bool) {
        assert_eq!(takes_gzip(&headers(header::ACCEPT_ENCODING, accept)), taken);
    }
}
