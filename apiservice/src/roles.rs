//! Who may do what by default. Every entry of every descriptor stands in exactly one role; the chart's roles are
//! printed from this.
//!
//! What shows no payload is added to Kubernetes' own roles. What acts on a whole cluster, or cannot be taken back,
//! is given by explicit role only.

use apiserver_kind::Verb;

use crate::proxy;

/// A role of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// Suffix of its name.
    pub name: &'static str,
    /// Kubernetes' own roles that gain these rights.
    pub aggregates_to: &'static [&'static str],
    /// What it is for.
    pub purpose: &'static str,
    /// Resources with their verbs.
    pub entries: &'static [(&'static str, &'static [Verb])],
}

/// All roles.
pub const ROLES: [Role; 10] = [
    Role {
        name: "view",
        aggregates_to: &["view", "edit", "admin"],
        purpose: "See versions, services, and how many invocations keep them; no payloads",
        entries: &[
            ("restatedeploymentversions", &[Verb::Get, Verb::List, Verb::Watch]),
            ("restatedeployments", &[Verb::Get]),
            ("restatedeployments/versions", &[Verb::Get]),
            ("restatedeployments/invocations", &[Verb::Get]),
            ("restateservices", &[Verb::Get, Verb::List, Verb::Watch]),
        ],
    },
    Role {
        name: "invocations",
        aggregates_to: &["admin"],
        purpose: "See the invocations of a namespace; pause, resume and cancel them",
        entries: &[
            ("restateinvocations", &[Verb::Get, Verb::List]),
            ("restateinvocations/cancel", &[Verb::Create]),
            ("restateinvocations/pause", &[Verb::Create]),
            ("restateinvocations/resume", &[Verb::Create]),
        ],
    },
    Role {
        name: "invocations-force",
        aggregates_to: &[],
        purpose: "End invocations without undoing anything, forget them, and begin them anew",
        entries: &[
            ("restateinvocations/kill", &[Verb::Create]),
            ("restateinvocations/purge", &[Verb::Create]),
            ("restateinvocations/restart", &[Verb::Create]),
        ],
    },
    Role {
        name: "query",
        aggregates_to: &[],
        purpose: "Ask a whole Restate any read-only question, payloads of all namespaces included",
        entries: &[("restatequeries", &[Verb::Create])],
    },
    Role {
        name: "cluster-view",
        aggregates_to: &[],
        purpose: "See what is known of whole clusters",
        entries: &[
            ("restateclusters", &[Verb::Get]),
            ("restateclusters/health", &[Verb::Get]),
            ("restateclusters/deployments", &[Verb::Get]),
        ],
    },
    Role {
        name: "proxy-view",
        aggregates_to: &[],
        purpose: "Read through the admin API and Restate's own web UI, payloads of all namespaces included",
        entries: proxy::READING,
    },
    Role {
        name: "proxy-edit",
        aggregates_to: &[],
        purpose: "Whatever else the admin API can do; with proxy-view this is all of it",
        entries: proxy::ACTING,
    },
    Role {
        name: "provision",
        aggregates_to: &[],
        purpose: "Provision clusters, which cannot be taken back",
        entries: &[
            ("restateclusters/provision", &[Verb::Create]),
            ("restateclusterprovisions", &[Verb::Create]),
        ],
    },
    Role {
        name: "snapshots",
        aggregates_to: &[],
        purpose: "Have clusters write snapshots to their own store, now",
        entries: &[
            ("restateclusters/snapshots", &[Verb::Create]),
            ("restateclustersnapshots", &[Verb::Create]),
        ],
    },
    Role {
        name: "recover",
        aggregates_to: &[],
        purpose: "Let a node that lost its disk begin anew, which cannot be taken back",
        entries: &[
            ("restateclusters/recover", &[Verb::Create]),
            ("restateclusterrecoveries", &[Verb::Create]),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::kinds::DESCRIPTORS;

    #[test]
    fn every_right_stands_in_exactly_one_role() {
        let mut given: BTreeMap<(String, Verb), usize> = BTreeMap::new();
        let entries = ROLES.iter().flat_map(|role| role.entries);
        for (resource, verbs) in entries.filter(|(resource, _)| !proxy::is_area(resource)) {
            for verb in *verbs {
                *given.entry(((*resource).to_owned(), *verb)).or_default() += 1;
            }
        }
        let mut served: BTreeMap<(String, Verb), usize> = BTreeMap::new();
        for entry in DESCRIPTORS.iter().flat_map(|descriptor| descriptor.entries().collect::<Vec<_>>()) {
            for verb in entry.verbs {
                served.insert((entry.resource.clone(), *verb), 1);
            }
        }
        assert_eq!(given, served);
    }

    /// What acts by aggregation acts in one namespace, can be taken back or undoes what it must, and is `admin`'s.
    #[test]
    fn only_admin_acts_by_aggregation_and_never_for_good() {
        let gentle = ["restateinvocations/cancel", "restateinvocations/pause", "restateinvocations/resume"];
        let reads = |verb: &Verb| matches!(verb, Verb::Get | Verb::List | Verb::Watch);
        for role in ROLES.iter().filter(|role| !role.aggregates_to.is_empty()) {
            for (resource, verbs) in role.entries.iter().filter(|(_, verbs)| !verbs.iter().all(reads)) {
                assert!(gentle.contains(resource), "{resource} {verbs:?}");
                assert_eq!(role.aggregates_to, ["admin"], "{resource}");
            }
        }
    }

    /// A binding in a namespace gives nothing of what belongs to the cluster, so that stands in roles of its own.
    #[test]
    fn what_is_cluster_scoped_is_aggregated_nowhere() {
        let is_cluster_scoped = |resource: &str| {
            let plural = resource.split('/').next().unwrap_or_default();
            DESCRIPTORS.iter().any(|descriptor| descriptor.plural == plural && !descriptor.is_namespaced())
        };
        for role in ROLES.iter().filter(|role| !role.aggregates_to.is_empty()) {
            assert!(!role.entries.iter().any(|(resource, _)| is_cluster_scoped(resource)), "{}", role.name);
        }
    }
}
