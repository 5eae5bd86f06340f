//! What a host's name resolves to, judged at the moment of connecting.
//!
//! Stage in the flow: inside the HTTP client, below each new connection. Invariant: an address that the policy
//! refuses is never handed to the connector, however often the name changes its mind.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Policy;

/// The system's resolver behind a [`Policy`].
pub(crate) struct Guarded(pub(crate) Policy);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let admitted = admitted(&policy, found)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// All of them or none: a name with one forbidden address is not to be trusted with the others.
fn admitted(policy: &Policy, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, super::Refusal> {
    found.into_iter().map(|address| policy.judge(address.ip()).map(|()| address)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_forbidden_address_spoils_a_name() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        assert_eq!(admitted(&Policy::default(), addresses(&["10.0.0.1:0", "10.0.0.2:0"])).unwrap().len(), 2);
        assert!(admitted(&Policy::default(), addresses(&["10.0.0.1:0", "169.254.169.254:0"])).is_err());
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        let refused = Guarded(Policy::default()).resolve("localhost".parse().unwrap()).await;
        assert!(refused.is_err());
        let admitted = Guarded(Policy::default().with_loopback()).resolve("localhost".parse().unwrap()).await;
        assert!(admitted.unwrap().count() > 0);
    }
}
