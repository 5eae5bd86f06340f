//! Whether another image may be rolled out: Restate upgrades one minor version at a time and does not go down.
//!
//! What cannot be told (a tag that is no version, a digest alone) is allowed. Who knows better says so with an
//! annotation that names the very tag, so that it means nothing for the next change.

use k8s_openapi::api::apps::v1::StatefulSet;
use restate_crd::condition::Reason;
use semver::Version;

use super::image::image_tag;
use super::{Children, NAME, Valid, status};

/// Annotation of the RestateCluster with the tag that may be rolled out whatever the versions say.
pub const ALLOW_VERSION: &str = "restate.dev/allow-version";

/// Why an image is not rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// Why the wanted image is not rolled out over what runs, if it is not.
pub(super) fn held(valid: &Valid, children: &Children) -> Option<Held> {
    let found = children.stateful_set.as_ref()?;
    let (running, wanted) = (running_image(found)?, valid.compute.image.as_str());
    let allowed = valid.annotation(ALLOW_VERSION).map(String::as_str);
    if allowed.is_some() && allowed == image_tag(wanted) {
        return None;
    }
    let (from, to) = (version(running)?, version(wanted)?);
    let minor = |version: &Version| (version.major, version.minor);
    let next = (from.major, from.minor + 1);
    if minor(&to) == minor(&from) {
        return None;
    }
    let held = |reason, why: &str| {
        let message = format!(
            "spec.compute.image: {from} runs and is not replaced by {to}: {why}; annotation {ALLOW_VERSION}: {:?} \
             overrides this",
            image_tag(wanted).unwrap_or_default()
        );
        Some(Held { reason, message })
    };
    if minor(&to) < minor(&from) {
        return held(Reason::VersionLowered, "Restate does not go down a minor version");
    }
    if to.major == from.major && minor(&to) > next {
        return held(Reason::VersionSkipped, "Restate goes up one minor version at a time");
    }
    if !status::is_rolled_out(valid, children) {
        return held(Reason::RolloutUnfinished, "not every node runs it yet");
    }
    None
}

fn running_image(found: &StatefulSet) -> Option<&str> {
    let containers = &found.spec.as_ref()?.template.spec.as_ref()?.containers;
    containers.iter().find(|container| container.name == NAME)?.image.as_deref()
}

/// `1.7.2`, `v1.7.2` and `1.7`; pre-releases count as what they precede.
fn version(image: &str) -> Option<Version> {
    let tag = image_tag(image)?;
    let text = tag.strip_prefix('v').unwrap_or(tag);
    let text = text.split(['-', '+']).next().unwrap_or(text);
    let whole = if text.split('.').count() == 2 { format!("{text}.0") } else { text.to_owned() };
    Version::parse(&whole).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("restatedev/restate:1.7.12", Some("1.7.12"))]
    #[case("docker.io/restatedev/restate:1.7", Some("1.7.0"))]
    #[case("registry:5000/restate:v1.6.2-rc.1", Some("1.6.2"))]
    #[case(
        "restate:1.7.1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        Some("1.7.1")
    )]
    #[case::no_version("restate:main", None)]
    #[case::no_tag("restate", None)]
    #[case::port_is_no_tag("registry:5000/restate", None)]
    fn versions_are_read_off_images(#[case] image: &str, #[case] expected: Option<&str>) {
        assert_eq!(version(image).map(|version| version.to_string()).as_deref(), expected);
    }
}
