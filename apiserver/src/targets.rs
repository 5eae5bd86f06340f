//! Where the admin API of a RestateCluster is: decided by the stored object alone, never by a request.

use restate_client::endpoint::{self, Endpoint, Policy, ServiceAddress};
use restate_plan::Admin;
use restate_plan::cluster::ADMIN_PORT;

use crate::world::World;

/// Name of the Service that a RestateCluster makes in its own namespace.
const CLUSTER_SERVICE: &str = "restate";

/// Knows the admin APIs.
pub(crate) trait Targets: Send + Sync + 'static {
    /// The admin API of the RestateCluster of this name; `None` if there is no such object.
    fn admin_api(&self, cluster: &str) -> Option<Result<Endpoint, endpoint::Error>>;
}

impl Targets for World {
    fn admin_api(&self, cluster: &str) -> Option<Result<Endpoint, endpoint::Error>> {
        self.cluster(cluster).filter(|_| is_label(cluster))?;
        Some(of_cluster(cluster, self.dns_suffix()))
    }
}

/// The same place as pollers know it.
pub(crate) fn polled(endpoint: &Endpoint) -> Admin {
    let url = endpoint.url().as_str().trim_end_matches('/').to_owned();
    Admin { key: url.as_str().into(), url }
}

/// The name is a namespace's: with a dot in it, DNS would take it for a pod of somebody else's.
fn is_label(name: &str) -> bool {
    !name.contains('.')
}

fn of_cluster(name: &str, dns_suffix: &str) -> Result<Endpoint, endpoint::Error> {
    let port = u16::try_from(ADMIN_PORT).unwrap_or_default();
    let address = ServiceAddress { name: CLUSTER_SERVICE, namespace: name, port, path: None, dns_suffix };
    Endpoint::of_service(&address, &Policy::default())
}

#[cfg(test)]
mod tests {
    use restate_crd::RestateDeployment;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_dns_reads_in_another_way_leads_nowhere() {
        assert!(is_label("prod") && !is_label("prod.kube-system"));
    }

    /// One poller serves versions and whole clusters alike.
    #[test]
    fn a_cluster_is_polled_where_its_deployments_are() {
        let object: RestateDeployment = serde_json::from_value(json!({
            "apiVersion": "restate.dev/v1beta1",
            "kind": "RestateDeployment",
            "metadata": {"name": "greeter", "namespace": "shop"},
            "spec": {
                "selector": {},
                "template": {"spec": {"containers": []}},
                "restate": {"register": {"cluster": "prod"}},
            },
        }))
        .unwrap();
        let admin = restate_plan::deployment::admin(&object, "cluster.local");
        assert_eq!(admin, of_cluster("prod", "cluster.local").ok().as_ref().map(polled));
    }
}
