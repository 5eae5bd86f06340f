//! How metrics and limits speak of a request.

use std::collections::HashSet;

use http::{Method, Uri};

use crate::metrics::{RequestKind, RequestLabels};
use crate::query::Query;
use crate::request_info::RequestInfo;

/// A resource that the router serves; others are not named in metrics, whatever callers ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KnownResource {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// `plural` or `plural/subresource`, as in discovery.
    pub resource: String,
}

/// The set of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(HashSet<KnownResource>);

impl Known {
    pub(super) fn new(resources: Vec<KnownResource>) -> Self {
        Self(resources.into_iter().collect())
    }

    pub(super) fn labels(&self, info: &RequestInfo, method: &Method, uri: &Uri) -> RequestLabels {
        let (group, version, resource) = (info.group.clone(), info.version.clone(), info.printed_resource());
        let verb = verb(info, method).to_owned();
        if !info.is_resource_request || !self.0.contains(&KnownResource { group, version, resource }) {
            return RequestLabels { verb, ..RequestLabels::default() };
        }
        RequestLabels {
            verb,
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone().unwrap_or_default(),
            scope: scope(info).to_owned(),
            dry_run: if Query::of(uri).first("dryRun") == Some("All") { "All" } else { "" }.to_owned(),
        }
    }
}

/// M5: upper case, and what nobody knows is `other`.
fn verb(info: &RequestInfo, method: &Method) -> &'static str {
    match (info.subresource.as_deref(), info.verb.as_str()) {
        (Some("proxy"), _) if info.is_resource_request => "CONNECT",
        (_, "list") => "LIST",
        (_, "watch") => "WATCH",
        (_, "deletecollection") => "DELETECOLLECTION",
        _ => match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        },
    }
}

fn scope(info: &RequestInfo) -> &'static str {
    match (&info.name, &info.namespace) {
        (Some(_), _) => "resource",
        (None, _) if info.verb == "create" => "resource",
        (None, Some(_)) => "namespace",
        (None, None) => "cluster",
    }
}

pub(super) fn kind(info: &RequestInfo) -> RequestKind {
    match info.verb.as_str() {
        "get" | "list" | "watch" | "head" | "options" => RequestKind::ReadOnly,
        _ => RequestKind::Mutating,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn known() -> Known {
        let known = |resource: &str| KnownResource {
            group: "g".to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
        };
        Known::new(vec![known("things"), known("things/proxy")])
    }

    #[rstest]
    #[case("GET", "/apis/g/v1/things", "LIST g/v1/things cluster")]
    #[case("GET", "/apis/g/v1/namespaces/n/things?watch=1", "WATCH g/v1/things namespace")]
    #[case("GET", "/apis/g/v1/things/a/proxy/x", "CONNECT g/v1/things/proxy resource")]
    #[case("POST", "/apis/g/v1/things?dryRun=All", "POST g/v1/things resource All")]
    #[case("GET", "/apis/g/v1/nothing", "LIST")]
    #[case("GET", "/apis/g/v1/things/a/made-up", "GET")]
    #[case("GET", "/made/up", "GET")]
    #[case("BREW", "/made/up", "other")]
    fn m5_labels_are_bounded(#[case] method: &str, #[case] uri: &str, #[case] expected: &str) {
        let (method, uri) = (method.parse().unwrap(), uri.parse().unwrap());
        let labels = known().labels(&RequestInfo::of(&method, &uri), &method, &uri);
        let RequestLabels { verb, group, version, resource, subresource, scope, dry_run } = labels;
        let parts = [group, version, resource, subresource].into_iter().filter(|part| !part.is_empty());
        let what = parts.collect::<Vec<_>>().join("/");
        let words = [verb, what, scope, dry_run].into_iter().filter(|word| !word.is_empty());
        assert_eq!(words.collect::<Vec<_>>().join(" "), expected);
    }
}
