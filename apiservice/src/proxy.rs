//! What roles call the paths below `restateclusters/proxy`.
//!
//! A request through the proxy is checked twice: for `restateclusters/proxy`, as Kubernetes does, and for
//! `restateclusters/proxy/<area>` with the same verb and the same name. Areas are the paths of Restate's admin API
//! without names and ids, so that a role can allow `GET /services` and nothing else.
//! Invariant: two paths that Restate takes for the same have the same area.

use apiserver_kind::Verb;

/// The subresource, and what stands before each area.
pub const PROXY: &str = "proxy";

/// Collections whose second segment is a name or an id.
const COLLECTIONS: [&str; 6] =
    ["deployments", "invocations", "kafka-clusters", "services", "subscriptions", "vqueues"];

/// Segments after which the same paths begin again: with less of a promise.
const INTERNAL: &str = "internal";

/// Everything below the web UI is one area.
const UI: &str = "ui";

/// The area of a path, whose segments are decoded; without the empty one that a slash at the end leaves.
pub fn area(segments: &[&str]) -> String {
    match segments {
        [] | [UI, ..] => UI.to_owned(),
        [version, rest @ ..] if is_version(version) && !rest.is_empty() => area(rest),
        [INTERNAL, rest @ ..] if !rest.is_empty() => format!("{INTERNAL}/{}", of_collection(rest)),
        _ => of_collection(segments),
    }
}

fn of_collection(segments: &[&str]) -> String {
    match segments {
        [collection, rest @ ..] if COLLECTIONS.contains(collection) => match rest {
            [_id, action, ..] => format!("{collection}/{action}"),
            _ => (*collection).to_owned(),
        },
        _ => segments.join("/"),
    }
}

/// `v3` before a path asks for a version of the admin API.
fn is_version(segment: &str) -> bool {
    let number = segment.strip_prefix('v').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reading through the proxy, and Restate's own web UI: queries are POSTs, and show payloads.
pub const READING: &[(&str, &[Verb])] = &[
    ("restateclusters/proxy", &[Verb::Get, Verb::Create]),
    ("restateclusters/proxy/cluster-health", &[Verb::Get]),
    ("restateclusters/proxy/deployments", &[Verb::Get]),
    ("restateclusters/proxy/health", &[Verb::Get]),
    ("restateclusters/proxy/internal/services/serdes", &[Verb::Create]),
    ("restateclusters/proxy/kafka-clusters", &[Verb::Get]),
    ("restateclusters/proxy/openapi", &[Verb::Get]),
    ("restateclusters/proxy/query", &[Verb::Create]),
    ("restateclusters/proxy/services", &[Verb::Get]),
    ("restateclusters/proxy/services/handlers", &[Verb::Get]),
    ("restateclusters/proxy/services/openapi", &[Verb::Get]),
    ("restateclusters/proxy/subscriptions", &[Verb::Get]),
    ("restateclusters/proxy/ui", &[Verb::Get]),
    ("restateclusters/proxy/version", &[Verb::Get]),
];

/// Whatever else the admin API can do, as of Restate 1.7. It knows no safety of its own.
pub const ACTING: &[(&str, &[Verb])] = &[
    ("restateclusters/proxy", &[Verb::Update, Verb::Patch, Verb::Delete]),
    ("restateclusters/proxy/deployments", &[Verb::Create, Verb::Patch, Verb::Delete]),
    ("restateclusters/proxy/internal/invocations_batch_operations/cancel", &[Verb::Create]),
    ("restateclusters/proxy/internal/invocations_batch_operations/kill", &[Verb::Create]),
    ("restateclusters/proxy/internal/invocations_batch_operations/pause", &[Verb::Create]),
    ("restateclusters/proxy/internal/invocations_batch_operations/purge", &[Verb::Create]),
    ("restateclusters/proxy/internal/invocations_batch_operations/restart-as-new", &[Verb::Create]),
    ("restateclusters/proxy/internal/invocations_batch_operations/resume", &[Verb::Create]),
    ("restateclusters/proxy/invocations", &[Verb::Delete]),
    ("restateclusters/proxy/invocations/cancel", &[Verb::Patch]),
    ("restateclusters/proxy/invocations/kill", &[Verb::Patch]),
    ("restateclusters/proxy/invocations/pause", &[Verb::Patch]),
    ("restateclusters/proxy/invocations/purge", &[Verb::Patch]),
    ("restateclusters/proxy/invocations/purge-journal", &[Verb::Patch]),
    ("restateclusters/proxy/invocations/restart-as-new", &[Verb::Patch]),
    ("restateclusters/proxy/invocations/resume", &[Verb::Patch]),
    ("restateclusters/proxy/kafka-clusters", &[Verb::Create, Verb::Patch, Verb::Delete]),
    ("restateclusters/proxy/limits/rules", &[Verb::Update]),
    ("restateclusters/proxy/limits/rules/bulk-delete", &[Verb::Create]),
    ("restateclusters/proxy/services", &[Verb::Patch]),
    ("restateclusters/proxy/services/state", &[Verb::Create]),
    ("restateclusters/proxy/subscriptions", &[Verb::Create, Verb::Delete]),
    ("restateclusters/proxy/vqueues/pause", &[Verb::Create]),
    ("restateclusters/proxy/vqueues/resume", &[Verb::Create]),
];

/// Whether an entry of a role is about a path below the proxy: no subresource that discovery shows.
pub fn is_area(resource: &str) -> bool {
    resource.starts_with("restateclusters/proxy/")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn of(path: &str) -> String {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        area(&segments)
    }

    #[rstest]
    #[case("/", "ui")]
    #[case("/ui/assets/root.js", "ui")]
    #[case("/services", "services")]
    #[case("/services/greeter", "services")]
    #[case("/services/greeter/handlers/greet", "services/handlers")]
    #[case("/services/greeter/state", "services/state")]
    #[case("/deployments/dp_1", "deployments")]
    #[case("/v3/deployments/dp_1", "deployments")]
    #[case("/invocations/inv_1", "invocations")]
    #[case("/invocations/inv_1/kill", "invocations/kill")]
    #[case("/internal/invocations_batch_operations/kill", "internal/invocations_batch_operations/kill")]
    #[case("/internal/services/greeter/serdes/decode/1", "internal/services/serdes")]
    #[case("/query", "query")]
    #[case("/query/invocations/kill", "query/invocations/kill")]
    #[case("/limits/rules", "limits/rules")]
    #[case("/limits/rules/bulk-delete", "limits/rules/bulk-delete")]
    #[case("/vqueues/q/pause", "vqueues/pause")]
    #[case("/internal", "internal")]
    #[case("/v3", "v3")]
    #[case("/something/new", "something/new")]
    fn names_and_ids_are_left_out_and_nothing_else(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(of(path), expected);
    }

    proptest! {
        /// Whatever stands for an id, it decides nothing.
        #[test]
        fn an_id_changes_no_right(id in "[^/]{1,12}", action in "[a-z]{0,5}") {
            let with = |id: &str| area(&["invocations", id, &action]);
            prop_assert_eq!(with(&id), with("inv_1"));
        }

        #[test]
        fn only_the_ui_is_the_ui(path in "[a-z0-9/]{0,20}") {
            let first = path.split('/').find(|segment| !segment.is_empty() && !is_version(segment));
            prop_assume!(!path.is_empty());
            if of(&path) == "ui" {
                prop_assert!(first.is_none() || first == Some("ui"));
            }
        }
    }

    fn areas(role: &[(&'static str, &'static [Verb])]) -> Vec<(&'static str, &'static [Verb])> {
        let below = |(resource, verbs): &(&'static str, &'static [Verb])| {
            Some((resource.strip_prefix("restateclusters/proxy/")?, *verbs))
        };
        role.iter().filter_map(below).collect()
    }

    /// A misspelt area would give nobody anything.
    #[test]
    fn every_area_of_a_role_is_the_area_of_a_path() {
        for (name, _) in areas(READING).into_iter().chain(areas(ACTING)) {
            let segments: Vec<&str> = name.split('/').collect();
            let with_id = match segments.as_slice() {
                [collection, action] if COLLECTIONS.contains(collection) => vec![*collection, "id", *action],
                [INTERNAL, collection, action] if COLLECTIONS.contains(collection) => {
                    vec![INTERNAL, *collection, "id", *action]
                }
                other => other.to_vec(),
            };
            assert_eq!(area(&with_id), name);
        }
    }

    /// Z8: whoever reads cannot deregister, kill, or change state.
    #[test]
    fn what_reads_does_not_act() {
        let posts = ["query", "internal/services/serdes"];
        for (name, verbs) in areas(READING) {
            assert!(verbs == [Verb::Get] || (verbs == [Verb::Create] && posts.contains(&name)), "{name}");
        }
        for (name, verbs) in areas(ACTING) {
            assert!(!verbs.contains(&Verb::Get) && !posts.contains(&name), "{name}");
        }
    }
}
