//! The options of get, list and watch, checked as apimachinery checks them (R13, R14, W8, W9).

use std::time::Duration;

use apiserver_kind::Descriptor;

use super::resume::Bound;
use crate::{
    encoded::Encoded,
    query::Query,
    request_info::RequestInfo,
    selector::{FieldSelector, LabelSelector},
    status::{FieldError, Status},
    version,
};

/// The longest that a watch lasts, whatever a client wishes: clients come back, and no clock overflows (W6).
const LONGEST_WATCH: Duration = Duration::from_hours(24);

/// Which objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Those of one namespace, or all.
    pub namespace: Option<String>,
    /// Those with such labels.
    pub labels: LabelSelector,
    /// Those with such fields.
    pub fields: FieldSelector,
}

impl Selection {
    pub(crate) fn matches(&self, object: &Encoded) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| object.namespace.as_ref() == namespace)
            && self.labels.matches(&object.labels)
            && self.fields.matches(|path| object.field(path))
    }

    /// Whether all objects of the namespace are meant.
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

/// A list, for kinds that are computed when they are asked for: push down what can be pushed down (R10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Which objects.
    pub selection: Selection,
    /// How many at most; 0 leaves it to the kind.
    pub limit: usize,
    /// What the kind gave with the previous page.
    pub resume: Option<String>,
}

/// How a version is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    Exact,
    NotOlderThan,
}

/// The version asked for: the freshest, any, or a certain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Freshest,
    Any,
    At(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct ListOptions {
    pub(crate) selection: Selection,
    pub(crate) limit: usize,
    pub(crate) resume: Option<String>,
    pub(crate) version: Version,
    pub(crate) version_match: Option<VersionMatch>,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) bookmarks: bool,
    pub(crate) timeout: Option<Duration>,
}

impl ListOptions {
    pub(crate) fn of(query: &Query, info: &RequestInfo, descriptor: &Descriptor) -> Result<Self, Status> {
        check(query, info.verb == "watch")?;
        let version_match = match query.first("resourceVersionMatch") {
            Some("Exact") => Some(VersionMatch::Exact),
            Some(_) => Some(VersionMatch::NotOlderThan),
            None => None,
        };
        Ok(Self {
            selection: selection(query, info, descriptor)?,
            limit: number(query, "limit")?.unwrap_or_default(),
            resume: query.first("continue").map(ToOwned::to_owned),
            version: version_of(query)?,
            version_match,
            send_initial_events: query.optional_flag("sendInitialEvents"),
            bookmarks: query.flag("allowWatchBookmarks"),
            timeout: number(query, "timeoutSeconds")?.map(lasting),
        })
    }

    /// What a kind that is computed is asked for; where it goes on holds for the selection that it began with (R12).
    pub(crate) fn request(&self) -> Result<ListRequest, Status> {
        let resume = self.resume.as_deref().map(|text| Bound::decode(text, &self.selection)).transpose()?;
        Ok(ListRequest { selection: self.selection.clone(), limit: self.limit, resume })
    }
}

fn lasting(seconds: usize) -> Duration {
    Duration::from_secs(seconds as u64).min(LONGEST_WATCH)
}

/// The version that a get or list asks for.
pub(crate) fn version_of(query: &Query) -> Result<Version, Status> {
    match query.first("resourceVersion") {
        None => Ok(Version::Freshest),
        Some("0") => Ok(Version::Any),
        Some(text) => version::parse(text).map(Version::At),
    }
}

fn number(query: &Query, key: &str) -> Result<Option<usize>, Status> {
    let parsed = |text: &str| {
        text.parse()
            .map_err(|_| Status::bad_request(format!("invalid {key} {text:?}: must be a whole number")))
    };
    query.first(key).map(parsed).transpose()
}

fn selection(query: &Query, info: &RequestInfo, descriptor: &Descriptor) -> Result<Selection, Status> {
    let refused = |error: crate::selector::Error| Status::bad_request(error.to_string());
    let labels = query.first("labelSelector").unwrap_or_default().parse().map_err(refused)?;
    let fields: FieldSelector = query.first("fieldSelector").unwrap_or_default().parse().map_err(refused)?;
    let mut fields = fields.checked(|path| descriptor.selects(path)).map_err(refused)?;
    if let Some(name) = info.name.as_deref().filter(|_| info.named_by_path) {
        fields.0.push(crate::selector::FieldRequirement {
            path: "metadata.name".to_owned(),
            equal: true,
            value: name.to_owned(),
        });
    }
    Ok(Selection { namespace: info.namespace.clone(), labels, fields })
}

const MATCHES: [&str; 2] = ["Exact", "NotOlderThan"];

/// The rules of `ListOptions` (R14, W8, W9).
fn check(query: &Query, is_watch: bool) -> Result<(), Status> {
    let wanted = query.first("resourceVersionMatch");
    let initial = query.optional_flag("sendInitialEvents").is_some();
    let resumed = query.first("continue").is_some();
    let mut errors = if is_watch {
        watch_errors(wanted, initial)
    } else {
        list_errors(wanted, initial, query.first("resourceVersion"))
    };
    if wanted.is_some() && resumed {
        errors.push(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden with continue"));
    }
    if !errors.is_empty() {
        return Err(Status::invalid("meta.k8s.io", "ListOptions", "", &errors));
    }
    if resumed && query.first("resourceVersion").is_some_and(|version| version != "0") {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    Ok(())
}

fn watch_errors(wanted: Option<&str>, initial: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if initial && wanted != Some("NotOlderThan") {
        let text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(forbidden("resourceVersionMatch", text));
    }
    if wanted.is_some() && !initial {
        let text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        errors.push(forbidden("resourceVersionMatch", text));
    }
    if let Some(other) = wanted.filter(|wanted| *wanted != "NotOlderThan") {
        errors.push(FieldError::not_supported("resourceVersionMatch", other, &["NotOlderThan"]));
    }
    errors
}

fn list_errors(wanted: Option<&str>, initial: bool, version: Option<&str>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if initial {
        errors.push(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    let Some(wanted) = wanted else { return errors };
    if version.is_none() {
        let text = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        errors.push(forbidden("resourceVersionMatch", text));
    }
    if !MATCHES.contains(&wanted) {
        errors.push(FieldError::not_supported("resourceVersionMatch", wanted, &MATCHES));
    }
    if wanted == "Exact" && version == Some("0") {
        let text = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        errors.push(forbidden("resourceVersionMatch", text));
    }
    errors
}

fn forbidden(field: &str, detail: &str) -> FieldError {
    FieldError::forbidden(field, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Book;
    use apiserver_kind::Resource;
    use rstest::rstest;

    fn options(query: &str) -> Result<ListOptions, Status> {
        let uri = format!("/apis/demo.example/v1/namespaces/shop/books?{query}").parse().unwrap();
        let info = RequestInfo::of(&http::Method::GET, &uri);
        ListOptions::of(&Query::of(&uri), &info, &Book::DESCRIPTOR)
    }

    #[rstest]
    #[case::r14("resourceVersionMatch=Exact", 422)]
    #[case::r14("resourceVersionMatch=Exact&resourceVersion=0", 422)]
    #[case::r14("resourceVersionMatch=Whatever&resourceVersion=5", 422)]
    #[case::r14("resourceVersionMatch=NotOlderThan&resourceVersion=5&continue=x", 422)]
    #[case::r14("sendInitialEvents=true", 422)]
    #[case::w9("watch=1&sendInitialEvents=true", 422)]
    #[case::w9("watch=1&sendInitialEvents=true&resourceVersionMatch=Exact", 422)]
    #[case::w9("watch=1&resourceVersionMatch=NotOlderThan", 422)]
    #[case::r14("continue=x&resourceVersion=5", 400)]
    #[case::r13("resourceVersion=abc", 400)]
    #[case::r12("limit=many", 400)]
    #[case::w6("watch=1&timeoutSeconds=soon", 400)]
    #[case::r9("labelSelector=a+b", 400)]
    #[case::r9("fieldSelector=spec.unknown%3D1", 400)]
    fn refused(#[case] query: &str, #[case] code: u16) {
        assert_eq!(options(query).unwrap_err().code().as_u16(), code);
    }

    #[rstest]
    #[case::r13("", Version::Freshest)]
    #[case::r13("resourceVersion=", Version::Freshest)]
    #[case::r13("resourceVersion=0", Version::Any)]
    #[case::r13("resourceVersion=7", Version::At(7))]
    #[case::r13("resourceVersion=7&resourceVersionMatch=Exact", Version::At(7))]
    #[case::w9(
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=",
        Version::Freshest
    )]
    #[case::r17("shardSelector=x", Version::Freshest)]
    fn taken(#[case] query: &str, #[case] version: Version) {
        assert_eq!(options(query).unwrap().version, version);
    }

    #[rstest]
    #[case("", None)]
    #[case("timeoutSeconds=30", Some(30))]
    #[case("timeoutSeconds=86401", Some(86_400))]
    #[case("timeoutSeconds=9223372036854775807", Some(86_400))]
    fn w6_no_watch_lasts_for_ever(#[case] query: &str, #[case] seconds: Option<u64>) {
        assert_eq!(options(&format!("watch=1&{query}")).unwrap().timeout, seconds.map(Duration::from_secs));
    }

    #[test]
    fn r14_the_words_are_those_of_apimachinery() {
        insta::assert_snapshot!(options("resourceVersionMatch=Exact").unwrap_err(), @r#"ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"#);
    }

    #[test]
    fn z2_a_watch_of_a_path_with_a_name_sees_that_name() {
        let uri = "/apis/demo.example/v1/watch/namespaces/shop/books/b1".parse().unwrap();
        let info = RequestInfo::of(&http::Method::GET, &uri);
        let options = ListOptions::of(&Query::of(&uri), &info, &Book::DESCRIPTOR).unwrap();
        assert_eq!(options.selection.fields.exactly("metadata.name"), Some("b1"));
    }
}
