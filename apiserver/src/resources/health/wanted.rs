//! What a RestateCluster wants of its nodes, as far as they can be asked about it.

use restate_crd::RestateCluster;
use restate_plan::cluster::image_tag;
use toml::{Table, Value};

/// What is wanted; what is not said is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) nodes: usize,
    /// The beginning of a version: `1.7` is any of it.
    pub(super) version: Option<String>,
    pub(super) partitions: Option<u32>,
    pub(super) replication: Option<String>,
    pub(super) log_provider: Option<String>,
}

impl Wanted {
    pub(super) fn of(stored: &RestateCluster) -> Self {
        let text = stored.spec.config.as_deref().unwrap_or_default();
        let config: Table = text.parse().unwrap_or_default();
        let partitions = config.get("default-num-partitions").and_then(Value::as_integer);
        let provider = config.get("bifrost").and_then(|bifrost| bifrost.get("default-provider"));
        Self {
            nodes: usize::try_from(stored.spec.compute.replicas.unwrap_or(1)).unwrap_or_default(),
            version: version(&stored.spec.compute.image),
            partitions: partitions.and_then(|number| u32::try_from(number).ok()),
            replication: config.get("default-replication").and_then(replication),
            log_provider: provider.and_then(Value::as_str).map(str::to_owned),
        }
    }
}

/// A tag that is a version; `latest`, a digest alone, or a name of somebody's own say nothing.
fn version(image: &str) -> Option<String> {
    let tag = image_tag(image)?;
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let is_version = tag.contains('.') && tag.split('.').all(|part| part.parse::<u32>().is_ok());
    is_version.then(|| tag.to_owned())
}

/// As Restate says it: a number counts nodes.
pub(super) fn replication(value: &Value) -> Option<String> {
    match value {
        Value::Integer(number) => Some(nodes(*number)),
        Value::String(text) => Some(text.trim().parse().map_or_else(|_| text.trim().to_owned(), nodes)),
        _ => None,
    }
}

fn nodes(number: i64) -> String {
    format!("{{node: {number}}}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn stored(image: &str, config: &str) -> RestateCluster {
        serde_json::from_value(json!({
            "apiVersion": "restate.dev/v1",
            "kind": "RestateCluster",
            "metadata": {"name": "prod"},
            "spec": {
                "compute": {"image": image, "replicas": 3},
                "storage": {"storageRequestBytes": 1},
                "config": config,
            },
        }))
        .unwrap()
    }

    #[rstest]
    #[case("restatedev/restate:1.7", Some("1.7"))]
    #[case("restatedev/restate:v1.7.2", Some("1.7.2"))]
    #[case(
        "ghcr.io:443/restatedev/restate:1.7.2@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        Some("1.7.2")
    )]
    #[case("restatedev/restate:latest", None)]
    #[case("restatedev/restate", None)]
    #[case("localhost:5000/restate", None)]
    #[case("restatedev/restate:1.7-dev", None)]
    fn a_tag_that_is_a_version_is_wanted(#[case] image: &str, #[case] expected: Option<&str>) {
        assert_eq!(Wanted::of(&stored(image, "")).version.as_deref(), expected);
    }

    #[rstest]
    #[case("default-replication = 2", Some("{node: 2}"))]
    #[case("default-replication = \"2\"", Some("{node: 2}"))]
    #[case("default-replication = \"{zone: 2, node: 3}\"", Some("{zone: 2, node: 3}"))]
    #[case("", None)]
    #[case("no toml", None)]
    fn replication_is_compared_as_restate_says_it(#[case] config: &str, #[case] expected: Option<&str>) {
        assert_eq!(Wanted::of(&stored("restate", config)).replication.as_deref(), expected);
    }

    #[test]
    fn the_configuration_is_read_where_it_says_something() {
        let config = "default-num-partitions = 24\n[bifrost]\ndefault-provider = \"replicated\"\n";
        let wanted = Wanted::of(&stored("restate", config));
        assert_eq!((wanted.nodes, wanted.partitions), (3, Some(24)));
        assert_eq!(wanted.log_provider.as_deref(), Some("replicated"));
    }
}
