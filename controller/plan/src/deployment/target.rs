//! Where things are: the admin API that versions are registered with, and the address at which Restate calls them.
//!
//! Stage in the flow: validate. Invariant: an address comes from a manifest and the cluster's own DNS suffix, never
//! from a request. Not for resolving or contacting it.

use std::net::IpAddr;

use restate_crd::deployment::{AdminService, Register};
use restate_model::EndpointKey;
use url::{Host, Url};

use super::validate::Error;
use crate::Admin;

/// Port of the admin API, where a manifest does not say another.
const ADMIN_PORT: u16 = 9070;
/// Port of every version's Service, whatever the port of its pods.
pub(super) const SERVICE_PORT: i32 = 9080;
/// Name of the Service that a RestateCluster makes in its own namespace.
const CLUSTER_SERVICE: &str = "restate";

/// The admin API that `register` means. Fails where it cannot be one; `None` for Restate Cloud.
pub(super) fn admin(register: &Register, dns_suffix: &str) -> Result<Option<Admin>, Error> {
    let url = match register {
        Register::Cluster(name) => cluster_url(name, dns_suffix)?,
        Register::Service(service) => service_url(service, dns_suffix)?,
        Register::Url(text) => admin_url(text)?,
        Register::Cloud(_) => return Ok(None),
    };
    let url = url.as_str().trim_end_matches('/').to_owned();
    Ok(Some(Admin { key: EndpointKey::from(url.as_str()), url }))
}

fn cluster_url(name: &str, dns_suffix: &str) -> Result<Url, Error> {
    // The name becomes a label's key (`allow.restate.dev/<name>`) and a namespace.
    if !is_label(name) {
        return Err(Error::ClusterName { name: name.to_owned() });
    }
    parse(
        "spec.restate.register.cluster",
        &format!("http://{CLUSTER_SERVICE}.{name}.svc.{dns_suffix}:{ADMIN_PORT}"),
    )
}

fn service_url(service: &AdminService, dns_suffix: &str) -> Result<Url, Error> {
    let AdminService { name, namespace, port, path } = service;
    for (field, value) in [("name", name), ("namespace", namespace)] {
        if !is_label(value) {
            return Err(Error::ServiceName { field, value: value.clone() });
        }
    }
    let port = match port {
        None => ADMIN_PORT,
        Some(port) => {
            u16::try_from(*port).ok().filter(|port| *port > 0).ok_or(Error::AdminPort { port: *port })?
        }
    };
    let path = path.as_deref().unwrap_or_default().trim_matches('/');
    if !is_path(path) {
        return Err(Error::Path { field: "spec.restate.register.service.path", path: path.to_owned() });
    }
    parse(
        "spec.restate.register.service",
        &format!("http://{name}.{namespace}.svc.{dns_suffix}:{port}/{path}"),
    )
}

fn admin_url(text: &str) -> Result<Url, Error> {
    let url = parse("spec.restate.register.url", text)?;
    let problem = if !matches!(url.scheme(), "http" | "https") {
        Some("its scheme is neither http nor https")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("it carries credentials")
    } else if url.query().is_some() || url.fragment().is_some() {
        Some("it carries a query or a fragment")
    } else if url.host().is_none_or(|host| is_link_local(&host)) {
        Some("its host is missing or link-local")
    } else {
        None
    };
    match problem {
        Some(problem) => Err(Error::AdminUrl { url: redacted(&url), problem }),
        None => Ok(url),
    }
}

/// What may be shown of an URL.
fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    // Fails for URLs that cannot have credentials: those have nothing to hide.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.into()
}

/// Link-local addresses lead to a machine's metadata service, not to a Restate.
fn is_link_local(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name.is_empty(),
        Host::Ipv4(address) => address.is_link_local(),
        Host::Ipv6(address) => {
            address.is_unicast_link_local() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_link_local())
        }
    }
}

fn parse(field: &'static str, text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|source| Error::Url { field, source })
}

/// Whether `text` is a DNS label.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether `text` can stand in an URL as a path, as it is.
pub(super) fn is_path(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\' | b'"' | b'<' | b'>'))
}

/// The address that Restate is given for a version.
pub fn endpoint(name: &str, namespace: &str, dns_suffix: &str, service_path: Option<&str>) -> String {
    let path = service_path.unwrap_or_default().trim_start_matches('/');
    format!("http://{name}.{namespace}.svc.{dns_suffix}:{SERVICE_PORT}/{path}")
}

/// Whether the host of an address is a Service: `NAME.NAMESPACE.svc`, with whatever suffix DNS has.
pub fn is_service(endpoint: &str, name: &str, namespace: &str) -> bool {
    let Some((_, rest)) = endpoint.split_once("://") else { return false };
    let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
    let service = format!("{name}.{namespace}.svc");
    host.strip_prefix(service.as_str()).is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('.'))
}

/// Whether `endpoint` can be the address of the version called `name`: said without parsing, as a Restate may have
/// thousands of them.
pub(super) fn may_be_at(endpoint: &str, name: &str) -> bool {
    let bytes = endpoint.as_bytes();
    let host = bytes.get(7..).filter(|_| bytes[..7].eq_ignore_ascii_case(b"http://"));
    host.is_some_and(|host| {
        host.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
            && host.get(name.len()) == Some(&b'.')
    })
}

/// Host and port of an address, as text that can be compared: two spellings of one address are equal. Each version
/// has a host of its own, so paths need not be compared.
pub(super) fn origin(endpoint: &str) -> Option<String> {
    let url = Url::parse(endpoint).ok()?;
    let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
    Some(format!("{host}:{}", url.port_or_known_default()?))
}

/// The name of the version of `deployment` that lives at `endpoint`, if its name says that it is one of them.
pub(super) fn version_at(
    endpoint: &str,
    deployment: &str,
    namespace: &str,
    dns_suffix: &str,
) -> Option<String> {
    let start = endpoint.get(..7 + deployment.len())?;
    if !start.get(7..)?.eq_ignore_ascii_case(deployment) {
        return None;
    }
    let origin = origin(endpoint)?;
    let (name, rest) = origin.split_once('.')?;
    let hash = name.strip_prefix(deployment)?.strip_prefix('-')?;
    let ours = rest == format!("{namespace}.svc.{dns_suffix}:{SERVICE_PORT}").to_ascii_lowercase();
    (ours && super::hash::TemplateHash::is_one(hash)).then(|| name.to_owned())
}

/// Whether `host` is an address that nothing in a cluster should be sent to.
pub fn is_forbidden_address(host: IpAddr) -> bool {
    match host {
        IpAddr::V4(address) => is_link_local(&Host::Ipv4(address)),
        IpAddr::V6(address) => is_link_local(&Host::Ipv6(address)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn service(port: Option<i32>, path: Option<&str>) -> Register {
        let (name, namespace) = ("restate".to_owned(), "prod".to_owned());
        Register::Service(AdminService { name, namespace, port, path: path.map(str::to_owned) })
    }

    #[rstest]
    #[case::cluster(Register::Cluster("prod".to_owned()), "http://restate.prod.svc.cluster.local:9070")]
    #[case::service(service(None, None), "http://restate.prod.svc.cluster.local:9070")]
    #[case::port_and_path(service(Some(80), Some("/admin/")), "http://restate.prod.svc.cluster.local/admin")]
    #[case::url(Register::Url("HTTPS://Admin.example.com:443/x/".to_owned()), "https://admin.example.com/x")]
    fn a_target_has_one_address(#[case] register: Register, #[case] expected: &str) {
        let admin = admin(&register, "cluster.local").unwrap().unwrap();
        assert_eq!((admin.url.as_str(), admin.key.as_str()), (expected, expected));
    }

    #[rstest]
    #[case::scheme("ftp://restate:21/")]
    #[case::no_url("restate:9070/x y")]
    #[case::credentials("http://user:secret@restate:9070")]
    #[case::query("http://restate:9070/?token=secret")]
    #[case::metadata_service("http://169.254.169.254/")]
    #[case::mapped("http://[::ffff:169.254.169.254]/")]
    fn what_is_no_admin_address_is_refused_and_secrets_are_not_repeated(#[case] url: &str) {
        let error = admin(&Register::Url(url.to_owned()), "cluster.local").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }

    #[rstest]
    #[case::cluster(Register::Cluster("a.b".to_owned()))]
    #[case::empty(Register::Cluster(String::new()))]
    #[case::port(service(Some(0), None))]
    #[case::big_port(service(Some(65_536), None))]
    #[case::path(service(None, Some("a b")))]
    #[case::injected(service(None, Some("x?y")))]
    fn names_ports_and_paths_are_checked(#[case] register: Register) {
        assert!(admin(&register, "cluster.local").is_err());
    }

    #[rstest]
    #[case("http://greeter-b5fc4b47b.shop.svc.cluster.local:9080/", Some("greeter-b5fc4b47b"))]
    #[case("http://GREETER-b5fc4b47b.shop.svc.cluster.local.:9080/v1", Some("greeter-b5fc4b47b"))]
    #[case::other_namespace("http://greeter-b5fc4b47b.ship.svc.cluster.local:9080/", None)]
    #[case::other_port("http://greeter-b5fc4b47b.shop.svc.cluster.local:9081/", None)]
    #[case::longer_name("http://greeter-2-b5fc4b47b.shop.svc.cluster.local:9080/", None)]
    #[case::no_hash("http://greeter-admin.shop.svc.cluster.local:9080/", None)]
    #[case::lambda("arn:aws:lambda:eu-central-1:1:function:greeter:1", None)]
    fn an_address_says_whose_version_it_is(#[case] endpoint: &str, #[case] expected: Option<&str>) {
        assert_eq!(version_at(endpoint, "greeter", "shop", "cluster.local").as_deref(), expected);
    }

    #[test]
    fn spellings_of_one_address_are_equal() {
        let ours = endpoint("greeter-b5", "shop", "cluster.local", Some("v1"));
        assert_eq!(ours, "http://greeter-b5.shop.svc.cluster.local:9080/v1");
        assert_eq!(origin(&ours), origin("http://greeter-b5.shop.svc.cluster.local.:9080"));
        assert_ne!(origin(&ours), origin("http://greeter-b6.shop.svc.cluster.local:9080"));
    }
}
