//! Which Restates there are, as of one generation of the stored objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use restate_crd::RestateDeployment;
use restate_model::EndpointKey;
use restate_plan::Admin;

/// Which Restates deployments register with, each once.
pub(super) struct Admins {
    all: Vec<Admin>,
    of_namespace: BTreeMap<String, Vec<Admin>>,
}

impl Admins {
    /// Those of all deployments, or of the deployments of a namespace.
    pub(super) fn within(&self, namespace: Option<&str>) -> &[Admin] {
        let Self { all, of_namespace } = self;
        namespace.map_or(all.as_slice(), |namespace| {
            of_namespace.get(namespace).map(Vec::as_slice).unwrap_or_default()
        })
    }

    pub(super) fn of(
        deployments: &[Arc<RestateDeployment>],
        admin: impl Fn(&RestateDeployment) -> Option<Admin>,
    ) -> Self {
        let mut all: BTreeMap<EndpointKey, Admin> = BTreeMap::new();
        let mut of_namespace: BTreeMap<String, BTreeMap<EndpointKey, Admin>> = BTreeMap::new();
        for object in deployments {
            let Some(admin) = admin(object) else { continue };
            let namespace = object.metadata.namespace.clone().unwrap_or_default();
            of_namespace.entry(namespace).or_default().insert(admin.key.clone(), admin.clone());
            all.insert(admin.key.clone(), admin);
        }
        let listed = |admins: BTreeMap<EndpointKey, Admin>| admins.into_values().collect();
        let of_namespace = of_namespace.into_iter().map(|(name, admins)| (name, listed(admins)));
        Self { of_namespace: of_namespace.collect(), all: listed(all) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(namespace: &str, name: &str, admin: &str) -> Arc<RestateDeployment> {
        let object = serde_json::json!({
            "apiVersion": "restate.dev/v1beta1",
            "kind": "RestateDeployment",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "restate": {"register": {"url": admin}},
                "template": {"spec": {"containers": [{"name": "service", "image": "shop/greeter:1"}]}},
            },
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn w16_each_restate_is_asked_once_however_many_register_with_it() {
        let (one, other) = ("http://one:9070", "http://other:9070");
        let deployments = [
            deployment("a", "x", one),
            deployment("a", "y", one),
            deployment("b", "x", one),
            deployment("b", "y", other),
        ];
        let admin = |object: &RestateDeployment| restate_plan::deployment::admin(object, "cluster.local");
        let admins = Admins::of(&deployments, admin);
        let urls = |admins: &[Admin]| admins.iter().map(|admin| admin.url.clone()).collect::<Vec<_>>();
        assert_eq!(urls(admins.within(None)), [one, other]);
        assert_eq!(urls(admins.within(Some("a"))), [one]);
        assert_eq!(urls(admins.within(Some("b"))), [one, other]);
        assert!(admins.within(Some("c")).is_empty());
    }
}
