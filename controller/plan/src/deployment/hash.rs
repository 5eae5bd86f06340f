//! The name of a version: a hash of what makes it one.
//!
//! Stage in the flow: validate. Invariant: the same inputs give the same hash for ever; another value would be a new
//! version, and new pods, for every user. Not for deciding whether a version exists already: text is compared too.

use std::fmt;
use std::hash::Hasher;

use fnv::FnvHasher;

/// Digits of the hash, by value: none of them is a vowel or looks like another.
const DIGITS: [u8; 10] = *b"456789bcdf";

/// What makes a version. A field that is not here does not make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The pod template as JSON text.
    pub text: String,
    /// Name of the RestateCluster, if the target is one.
    pub cluster: Option<String>,
    /// Path under which the pods serve, as written.
    pub service_path: Option<String>,
    /// Whether Restate speaks HTTP/1.1 to the pods.
    pub http11: bool,
}

/// The hash of a version, as in its name and its labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateHash(String);

impl TemplateHash {
    /// The hash of `identity` after this many names that were taken.
    pub fn of(identity: &Identity, collisions: Option<i32>) -> Self {
        // Order is for ever. In-process tunnels will come between `http11` and `collisions`.
        let Identity { text, cluster, service_path, http11 } = identity;
        let mut hasher = FnvHasher::default();
        hasher.write(text.as_bytes());
        hasher.write(cluster.as_deref().unwrap_or_default().as_bytes());
        hasher.write(service_path.as_deref().unwrap_or_default().as_bytes());
        if *http11 {
            hasher.write(b"use_http11");
        }
        if let Some(count) = collisions {
            hasher.write(&count.to_be_bytes());
        }
        Self(spell(hasher.finish()))
    }

    /// A hash as it is found in a label.
    pub fn found(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether `text` could be a hash.
    pub fn is_one(text: &str) -> bool {
        (1..=10).contains(&text.len()) && text.bytes().all(|byte| DIGITS.contains(&byte))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TemplateHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The upper half, in decimal, least significant digit first.
fn spell(hash: u64) -> String {
    let mut rest = hash >> 32;
    let mut text = String::with_capacity(10);
    loop {
        let digit = usize::try_from(rest % 10).unwrap_or_default();
        text.push(char::from(DIGITS[digit]));
        rest /= 10;
        if rest == 0 {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn greeter(version: &str) -> Identity {
        let text = format!(
            r#"{{"metadata":{{"labels":{{"app":"greeter"}}}},"spec":{{"containers":[{{"env":[{{"name":"V","value":"{version}"}}],"image":"docker.io/local/greeter:1","imagePullPolicy":"Never","name":"s","ports":[{{"containerPort":9080,"name":"restate"}}]}}],"terminationGracePeriodSeconds":1}}}}"#
        );
        Identity { text, cluster: Some("rs".to_owned()), service_path: None, http11: false }
    }

    /// The four versions that were recorded on a real cluster.
    #[rstest]
    #[case("v1", "b5fc4b47b")]
    #[case("v2", "45cbd9cb65")]
    #[case("v3", "5dfcdd9c87")]
    #[case("v4", "9fc74d9877")]
    fn recorded_versions_keep_their_hash(#[case] version: &str, #[case] expected: &str) {
        assert_eq!(TemplateHash::of(&greeter(version), None).as_str(), expected);
    }

    #[test]
    fn each_input_makes_a_version() {
        let base = greeter("v1");
        let variants = [
            (base.clone(), None),
            (base.clone(), Some(1)),
            (base.clone(), Some(2)),
            (Identity { cluster: None, ..base.clone() }, None),
            (Identity { service_path: Some("/v1".to_owned()), ..base.clone() }, None),
            (Identity { http11: true, ..base }, None),
        ];
        let mut hashes: Vec<_> =
            variants.iter().map(|(identity, count)| TemplateHash::of(identity, *count)).collect();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), variants.len());
    }

    proptest! {
        #[test]
        fn every_hash_is_recognised(text in ".{0,40}", count in proptest::option::of(any::<i32>())) {
            let identity = Identity { text, cluster: None, service_path: None, http11: false };
            let hash = TemplateHash::of(&identity, count);
            prop_assert!(TemplateHash::is_one(hash.as_str()), "{hash}");
        }
    }
}
