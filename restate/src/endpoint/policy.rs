//! Which hosts a manifest may name.
//!
//! Stage in the flow: judges the text of an address when an endpoint is made, and each address that a name
//! resolves to when a connection is opened, so that a name cannot be turned to another place in between.
//! Invariant: addresses that only the machine or its cloud answers at are never contacted.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Addresses of clouds' metadata services outside of the link-local ranges.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];
/// The prefix that carries an IPv4 address through NAT64.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// What may be contacted.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    allowed: Option<BTreeSet<String>>,
    loopback: bool,
}

/// Why a host or an address is not contacted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The address has no host.
    #[error("it is not named")]
    NoHost,
    /// There is an allow-list and the host is not in it.
    #[error("{0} is not in the list of allowed hosts")]
    NotListed(String),
    /// The address belongs to the machine or its cloud.
    #[error("{0} is an address of the machine or its cloud")]
    Address(IpAddr),
}

impl Policy {
    /// Only these hosts: a name, or `*.` before a domain for every name in it.
    #[must_use]
    pub fn allow_only<I: IntoIterator<Item: Into<String>>>(self, hosts: I) -> Self {
        let allowed = hosts.into_iter().map(|host| host.into().to_ascii_lowercase()).collect();
        Self { allowed: Some(allowed), ..self }
    }

    /// Only these hosts, and what is in this Kubernetes cluster by its DNS: its own Restates are named so. Any host
    /// where no list is given.
    #[must_use]
    pub fn allow_beside_own(self, hosts: &[String], dns_suffix: &str) -> Self {
        let given: Vec<_> = hosts.iter().filter(|host| !host.is_empty()).cloned().collect();
        if given.is_empty() {
            return self;
        }
        self.allow_only(given.into_iter().chain([format!("*.svc.{dns_suffix}")]))
    }

    /// Loopback too: for programs that run outside of a cluster, and for tests.
    #[must_use]
    pub fn with_loopback(self) -> Self {
        Self { loopback: true, ..self }
    }

    /// Judges what the text of an address tells.
    pub(crate) fn judge_host(&self, url: &Url) -> Result<(), Refusal> {
        let host = url.host().ok_or(Refusal::NoHost)?;
        self.judge_listed(&host.to_string())?;
        match host {
            Host::Domain(_) => Ok(()),
            Host::Ipv4(address) => self.judge(address.into()),
            Host::Ipv6(address) => self.judge(address.into()),
        }
    }

    /// Judges one address that a name resolves to.
    pub(crate) fn judge(&self, address: IpAddr) -> Result<(), Refusal> {
        let refused = match address {
            IpAddr::V4(v4) => self.refuses_v4(v4),
            IpAddr::V6(v6) => self.refuses_v6(v6),
        };
        if refused { Err(Refusal::Address(address)) } else { Ok(()) }
    }

    fn judge_listed(&self, host: &str) -> Result<(), Refusal> {
        let Some(allowed) = &self.allowed else { return Ok(()) };
        let in_domain = |entry: &String| entry.strip_prefix('*').is_some_and(|domain| host.ends_with(domain));
        if allowed.contains(host) || allowed.iter().any(in_domain) {
            return Ok(());
        }
        Err(Refusal::NotListed(host.to_owned()))
    }

    fn refuses_v4(&self, address: Ipv4Addr) -> bool {
        let this_network = address.octets()[0] == 0;
        let everybody = address.is_multicast() || address.is_broadcast();
        let own = address.is_loopback() && !self.loopback;
        this_network || everybody || own || address.is_link_local() || METADATA_V4.contains(&address)
    }

    fn refuses_v6(&self, address: Ipv6Addr) -> bool {
        if let Some(v4) = embedded_v4(address) {
            return self.refuses_v4(v4);
        }
        let own = address.is_loopback() && !self.loopback;
        let nowhere = address.is_unspecified() || address.is_multicast();
        own || nowhere || address.is_unicast_link_local() || METADATA_V6.contains(&address)
    }
}

fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., high, low] = address.segments();
    let translated = address.segments().starts_with(&NAT64);
    let carried = || Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    address.to_ipv4_mapped().or_else(|| translated.then(carried))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn judged(policy: &Policy, address: &str) -> Result<(), Refusal> {
        policy.judge_host(&Url::parse(address).unwrap())
    }

    #[rstest]
    #[case("http://169.254.169.254/")]
    #[case("http://0xa9fea9fe/")]
    #[case("http://2852039166/")]
    #[case("http://[fe80::1]/")]
    #[case("http://[::ffff:169.254.169.254]/")]
    #[case("http://[64:ff9b::a9fe:a9fe]/")]
    #[case("http://[fd00:ec2::254]/")]
    #[case("http://168.63.129.16/")]
    #[case("http://100.100.100.200/")]
    #[case("http://0.0.0.0:9070/")]
    #[case("http://127.0.0.1:9070/")]
    #[case("http://[::1]:9070/")]
    #[case("http://[::]:9070/")]
    #[case("http://224.0.0.1/")]
    fn addresses_of_the_machine_and_its_cloud_are_refused(#[case] address: &str) {
        assert!(matches!(judged(&Policy::default(), address), Err(Refusal::Address(_))), "{address}");
    }

    #[rstest]
    #[case("http://10.0.0.7:9070/")]
    #[case("http://[fd00::7]:9070/")]
    #[case("http://192.168.1.1/")]
    #[case("http://restate.shop.svc/")]
    fn private_addresses_are_where_clusters_live(#[case] address: &str) {
        assert_eq!(judged(&Policy::default(), address), Ok(()));
    }

    #[test]
    fn loopback_is_contacted_only_where_that_was_asked_for() {
        let policy = Policy::default().with_loopback();
        assert_eq!(judged(&policy, "http://127.0.0.1:9070/"), Ok(()));
        assert!(judged(&policy, "http://169.254.1.1/").is_err());
    }

    #[rstest]
    #[case("http://restate.example.com/", true)]
    #[case("http://a.shop.svc/", true)]
    #[case("http://shop.svc/", false)]
    #[case("http://evilshop.svc/", false)]
    #[case("http://restate.example.com.evil.org/", false)]
    #[case("http://10.0.0.7/", false)]
    fn an_allow_list_is_the_whole_list(#[case] address: &str, #[case] allowed: bool) {
        let policy = Policy::default().allow_only(["Restate.example.com", "*.shop.svc"]);
        assert_eq!(judged(&policy, address).is_ok(), allowed);
    }

    #[rstest]
    #[case::listed(&["restate.example.com"], "https://restate.example.com/", true)]
    #[case::own(&["restate.example.com"], "http://restate.shop.svc.cluster.local:9070/", true)]
    #[case::of_another_cluster(&["restate.example.com"], "http://restate.shop.svc.example.org/", false)]
    #[case::not_listed(&["restate.example.com"], "http://elsewhere.example.com/", false)]
    #[case::no_list(&[], "http://elsewhere.example.com/", true)]
    #[case::an_empty_list(&[""], "http://elsewhere.example.com/", true)]
    fn own_restates_are_allowed_beside_any_list(
        #[case] hosts: &[&str],
        #[case] address: &str,
        #[case] allowed: bool,
    ) {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let policy = Policy::default().allow_beside_own(&hosts, "cluster.local");
        assert_eq!(judged(&policy, address).is_ok(), allowed);
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_link_local_address_passes(low in any::<u16>(), policy in any::<bool>()) {
            let v4 = Ipv4Addr::from(0xa9fe_0000 | u32::from(low));
            let policy = if policy { Policy::default().with_loopback() } else { Policy::default() };
            for address in [IpAddr::V4(v4), IpAddr::V6(v4.to_ipv6_mapped())] {
                prop_assert!(policy.judge(address).is_err());
            }
            let decimal = format!("http://{}/", u32::from(v4));
            prop_assert!(judged(&policy, &decimal).is_err());
        }
    }
}
