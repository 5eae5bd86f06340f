//! Who may do what by default. Every entry of every descriptor stands in exactly one role; the chart's roles are
//! printed from this.
//!
//! What shows no payload is added to Kubernetes' own roles. What acts on a whole cluster, or cannot be taken back,
//! is given by explicit role only.

use apiserver_kind::Verb;

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
pub const ROLES: [Role; 3] = [
    Role {
        name: "view",
        aggregates_to: &["view", "edit", "admin"],
        purpose: "See versions, and how many invocations keep them; no payloads",
        entries: &[
            ("restatedeploymentversions", &[Verb::Get, Verb::List, Verb::Watch]),
            ("restatedeployments", &[Verb::Get]),
            ("restatedeployments/versions", &[Verb::Get]),
            ("restatedeployments/invocations", &[Verb::Get]),
        ],
    },
    Role {
        name: "cluster-view",
        aggregates_to: &[],
        purpose: "See what is known of whole clusters",
        entries: &[("restateclusters", &[Verb::Get])],
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
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::kinds::DESCRIPTORS;

    #[test]
    fn every_right_stands_in_exactly_one_role() {
        let mut given: BTreeMap<(String, Verb), usize> = BTreeMap::new();
        for (resource, verbs) in ROLES.iter().flat_map(|role| role.entries) {
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

    /// architecture §1 "Rights": provisioning is never gained by aggregation.
    #[test]
    fn nothing_that_acts_is_aggregated() {
        for role in ROLES.iter().filter(|role| !role.aggregates_to.is_empty()) {
            let acts = |verbs: &[Verb]| {
                verbs.iter().any(|verb| !matches!(verb, Verb::Get | Verb::List | Verb::Watch))
            };
            assert!(!role.entries.iter().any(|(_, verbs)| acts(verbs)), "{}", role.name);
        }
    }
}
