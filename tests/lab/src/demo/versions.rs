//! What `kubectl get restatedeploymentversions` says, as far as the demo needs it.

use serde::Deserialize;

use crate::{Result, node::Node};

/// The versions of the demo's service.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Versions {
    items: Vec<Item>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
struct Item {
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Status {
    state: String,
    images: Vec<String>,
    invocations: Invocations,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Invocations {
    pinned: u64,
}

impl Versions {
    /// Asks the aggregated API.
    pub(super) async fn of(node: &Node, namespace: &str) -> Result<Self> {
        let list =
            node.kubectl(["-n", namespace, "get", "restatedeploymentversions", "-o", "json"]).text().await?;
        Ok(serde_json::from_str(&list)?)
    }

    /// Do new calls go to this image?
    pub(super) fn is_current(&self, image: &str) -> bool {
        self.items.iter().any(|item| item.status.state == "Current" && item.status.images == [image])
    }

    /// Is there a version that is kept for work which is pinned to it?
    pub(super) fn is_draining(&self, image: &str) -> bool {
        let kept = |status: &Status| status.state == "Draining" && status.invocations.pinned > 0;
        self.items.iter().any(|item| kept(&item.status) && item.status.images == [image])
    }

    /// For a message while waiting.
    pub(super) fn summary(&self) -> String {
        let line = |item: &Item| {
            let Status { state, images, invocations } = &item.status;
            format!("{state} {} ({} pinned)", images.join(","), invocations.pinned)
        };
        if self.items.is_empty() {
            "no versions yet".to_owned()
        } else {
            self.items.iter().map(line).collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Versions {
        let list = r#"{"kind": "RestateDeploymentVersionList", "items": [
            {"metadata": {"name": "a"}, "status": {"state": "Draining", "images": ["g:1"], "invocations": {"pinned": 1}}},
            {"metadata": {"name": "b"}, "status": {"state": "Current", "images": ["g:2"], "invocations": {"pinned": 0}}}
        ]}"#;
        serde_json::from_str(list).unwrap()
    }

    #[test]
    fn one_is_current_and_one_drains() {
        assert!(two().is_current("g:2") && !two().is_current("g:1"));
        assert!(two().is_draining("g:1") && !two().is_draining("g:2"));
        assert_eq!(two().summary(), "Draining g:1 (1 pinned), Current g:2 (0 pinned)");
    }

    #[test]
    fn nothing_is_concluded_from_an_object_without_status() {
        let versions: Versions = serde_json::from_str(r#"{"items": [{"metadata": {"name": "a"}}]}"#).unwrap();
        assert!(!versions.is_current("") && !versions.is_draining(""));
    }
}
