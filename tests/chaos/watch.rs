//! The watchman: he asks Restate and Kubernetes themselves, all the time, whether what has work has pods and is
//! registered.
//!
//! What is seen once may be between two answers; what is seen twice in a row is a violation.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use restate_tests::{Result, oracle::Violation};
use serde::Deserialize;
use tokio::time::sleep;

use crate::world::{Version, World};

const PAUSE: Duration = Duration::from_secs(1);

/// Unfinished work by where it is pinned. Its deployment is looked up in the same answer.
const WORK: &str = "SELECT s.pinned_deployment_id AS id, COALESCE(d.endpoint, '') AS endpoint, \
    MIN(s.id) AS invocation, COUNT(*) AS count \
    FROM sys_invocation_status s LEFT JOIN sys_deployment d ON d.id = s.pinned_deployment_id \
    WHERE s.status <> 'completed' AND s.pinned_deployment_id IS NOT NULL GROUP BY 1, 2";

const ROUTES: &str = "SELECT s.name AS service, COALESCE(d.endpoint, '') AS endpoint \
    FROM sys_service s LEFT JOIN sys_deployment d ON d.id = s.deployment_id";

const KNOWN: &str = "SELECT id, endpoint FROM sys_deployment";

#[derive(Deserialize)]
struct Work {
    id: String,
    /// Empty: Restate does not know the deployment.
    endpoint: String,
    invocation: String,
    count: u64,
}

#[derive(Deserialize)]
struct Route {
    service: String,
    endpoint: String,
}

#[derive(Deserialize)]
struct Known {
    id: String,
    endpoint: String,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// What must not be.
    pub(crate) violations: BTreeSet<Violation>,
    /// The version behind each id that Restate ever gave.
    pub(crate) versions: BTreeMap<String, String>,
    /// How many times all was looked at.
    pub(crate) looks: usize,
    /// How many ids Restate does not know any more.
    pub(crate) removed: usize,
    suspicions: BTreeSet<Violation>,
}

impl Seen {
    /// Looks until the future is dropped.
    pub(crate) async fn go_on(&mut self, world: &World) {
        loop {
            // While something is down there is nothing to be seen.
            if self.look(world).await.is_err() {
                self.suspicions.clear();
            }
            sleep(PAUSE).await;
        }
    }

    async fn look(&mut self, world: &World) -> Result {
        let versions = world.versions().await?;
        let by_name: BTreeMap<_, _> =
            versions.iter().map(|version| (version.name.as_str(), version)).collect();
        let known: Vec<Known> = world.rows(KNOWN).await?;
        for Known { id, endpoint } in &known {
            if let Some(version) = by_name.get(host(endpoint)) {
                self.versions.insert(id.clone(), version.says.clone());
            }
        }
        self.removed = self.versions.keys().filter(|id| known.iter().all(|known| known.id != **id)).count();
        let work = world.rows::<Work>(WORK).await?;
        let routes = world.rows::<Route>(ROUTES).await?;
        let idle = work.iter().filter_map(|work| without_pods(work, &by_name));
        let unserved = routes.iter().filter_map(|route| unserved(route, &by_name));
        let suspicions: BTreeSet<_> = idle.chain(unserved).collect();
        self.violations.extend(suspicions.intersection(&self.suspicions).cloned());
        self.suspicions = suspicions;
        self.looks += 1;
        Ok(())
    }
}

fn without_pods(work: &Work, versions: &BTreeMap<&str, &Version>) -> Option<Violation> {
    let Work { id, endpoint, invocation, count } = work;
    let pinned = format!("{count} unfinished calls are pinned to it, {invocation} for one");
    if endpoint.is_empty() {
        return Some(Violation::Removed(format!("{id} was deregistered, and {pinned}")));
    }
    let name = host(endpoint);
    let has_pods = versions.get(name).is_some_and(|version| version.replicas > 0);
    (!has_pods).then(|| Violation::Removed(format!("{name} has no pods, and {pinned}")))
}

fn unserved(route: &Route, versions: &BTreeMap<&str, &Version>) -> Option<Violation> {
    let Route { service, endpoint } = route;
    let name = host(endpoint);
    let has_pods = versions.get(name).is_some_and(|version| version.replicas > 0);
    (!has_pods).then(|| Violation::Removed(format!("{service} is routed to {name:?}, which has no pods")))
}

/// The first word of an endpoint's host, which is the version's name.
pub(crate) fn host(endpoint: &str) -> &str {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    host.split(['.', ':', '/']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn version(replicas: i32) -> Version {
        Version {
            name: "walk-0-abc".to_owned(),
            service: "walk-0".to_owned(),
            says: "v1".to_owned(),
            replicas,
        }
    }

    #[rstest]
    #[case::served("http://walk-0-abc.chaos.svc.cluster.local:9080/", 1, None)]
    #[case::scaled_down("http://walk-0-abc.chaos.svc.cluster.local:9080/", 0, Some("walk-0-abc has no pods"))]
    #[case::gone("http://walk-0-xyz.chaos.svc.cluster.local:9080/", 1, Some("walk-0-xyz has no pods"))]
    #[case::deregistered("", 1, Some("dp_1 was deregistered"))]
    fn work_has_pods(#[case] endpoint: &str, #[case] replicas: i32, #[case] expected: Option<&str>) {
        let version = version(replicas);
        let versions = BTreeMap::from([(version.name.as_str(), &version)]);
        let work = Work {
            id: "dp_1".to_owned(),
            endpoint: endpoint.to_owned(),
            invocation: "inv_1".to_owned(),
            count: 1,
        };
        let found = without_pods(&work, &versions).map(|found| found.to_string());
        assert_eq!(found.is_some(), expected.is_some());
        assert!(found.unwrap_or_default().starts_with(expected.unwrap_or_default()));
    }

    #[test]
    fn new_calls_have_pods() {
        let version = version(0);
        let versions = BTreeMap::from([(version.name.as_str(), &version)]);
        let route = |endpoint: &str| Route { service: "walk-0".to_owned(), endpoint: endpoint.to_owned() };
        assert!(unserved(&route("http://walk-0-abc.chaos:9080/"), &versions).is_some());
        assert!(unserved(&route(""), &versions).is_some());
    }
}
