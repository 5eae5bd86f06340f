//! Metadata that other tools keep for themselves. Copied to a child it would make that tool prune, fight over or
//! misread the child, so it stays where its tool put it.

use std::collections::BTreeMap;

const KEYS: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/instance",
    "app.kubernetes.io/managed-by",
    "objectset.rio.cattle.io/hash",
];

const DOMAINS: [&str; 10] = [
    // Our own: what is noted on an object is about that object.
    "restate.dev",
    "applyset.kubernetes.io",
    "argocd.argoproj.io",
    "meta.helm.sh",
    "helm.sh",
    "helm.toolkit.fluxcd.io",
    "kustomize.toolkit.fluxcd.io",
    "reconcile.fluxcd.io",
    "kapp.k14s.io",
    "config.kubernetes.io",
];

/// Whether a label or annotation of this key is some tool's own.
pub fn is_bookkeeping(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    KEYS.contains(&key) || DOMAINS.contains(&domain)
}

/// What of `metadata` may be copied to a child.
pub fn copied(metadata: Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let pairs = metadata.into_iter().flatten().filter(|(key, _)| !is_bookkeeping(key));
    pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("kubectl.kubernetes.io/last-applied-configuration", true)]
    #[case("applyset.kubernetes.io/part-of", true)]
    #[case("argocd.argoproj.io/sync-wave", true)]
    #[case("kustomize.toolkit.fluxcd.io/name", true)]
    #[case("meta.helm.sh/release-name", true)]
    #[case("restate.dev/provisioning-claim", true)]
    #[case("allow.restate.dev/demo", false)]
    #[case("team", false)]
    #[case("example.com/scrape", false)]
    #[case("prometheus.io/scrape", false)]
    fn tools_keep_their_own(#[case] key: &str, #[case] own: bool) {
        assert_eq!(is_bookkeeping(key), own);
        let metadata = BTreeMap::from([(key.to_owned(), "x".to_owned())]);
        assert_eq!(copied(Some(&metadata)).is_empty(), own);
    }
}
