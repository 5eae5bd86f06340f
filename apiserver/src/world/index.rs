//! Stored objects in the order of their names, so that those of one deployment are found without looking at the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use kube::Resource;
use restate_crd::RestateDeployment;
use restate_model::EndpointKey;
use restate_plan::Admin;

/// What belongs to deployments, as of one generation of the stores.
pub(super) struct Index {
    pub(super) generation: u64,
    pub(super) admins: Admins,
    pub(super) replica_sets: Sorted<ReplicaSet>,
    pub(super) services: Sorted<Service>,
    pub(super) autoscalers: Sorted<HorizontalPodAutoscaler>,
}

/// Which Restates deployments register with, each once.
pub(super) struct Admins {
    all: Vec<Admin>,
    of_namespace: BTreeMap<String, Vec<Admin>>,
}

impl Index {
    pub(super) fn admins(&self, namespace: Option<&str>) -> &[Admin] {
        let Admins { all, of_namespace } = &self.admins;
        namespace.map_or(all.as_slice(), |namespace| {
            of_namespace.get(namespace).map(Vec::as_slice).unwrap_or_default()
        })
    }
}

impl Admins {
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

/// Objects of one kind, by namespace and name.
pub(super) struct Sorted<K>(Vec<Arc<K>>);

impl<K: Resource<DynamicType = ()>> Sorted<K> {
    pub(super) fn of(mut objects: Vec<Arc<K>>) -> Self {
        objects.sort_unstable_by(|one, other| key(&**one).cmp(&key(&**other)));
        Self(objects)
    }

    /// The objects of a namespace whose names begin so.
    pub(super) fn named(&self, namespace: &str, prefix: &str) -> Vec<Arc<K>> {
        let start = self.0.partition_point(|object| key(&**object) < (namespace, prefix));
        let named = |object: &&Arc<K>| {
            let (own, name) = key(&***object);
            own == namespace && name.starts_with(prefix)
        };
        self.0[start..].iter().take_while(named).cloned().collect()
    }
}

fn key<K: Resource<DynamicType = ()>>(object: &K) -> (&str, &str) {
    let meta = object.meta();
    (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use kube::ResourceExt;
    use proptest::prelude::*;

    use super::*;

    fn service(namespace: &str, name: &str) -> Arc<Service> {
        let (namespace, name) = (Some(namespace.to_owned()), Some(name.to_owned()));
        Arc::new(Service {
            metadata: ObjectMeta { namespace, name, ..ObjectMeta::default() },
            ..Service::default()
        })
    }

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
        let index = Index {
            generation: 1,
            admins,
            replica_sets: Sorted::of(Vec::new()),
            services: Sorted::of(Vec::new()),
            autoscalers: Sorted::of(Vec::new()),
        };
        assert_eq!(urls(index.admins(None)), [one, other]);
        assert_eq!(urls(index.admins(Some("a"))), [one]);
        assert_eq!(urls(index.admins(Some("b"))), [one, other]);
        assert!(index.admins(Some("c")).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_looking_at_everything_finds(
            keys in prop::collection::vec(("[ab]{1,2}", "[a-c-]{1,5}"), 0..40),
            namespace in "[ab]{1,2}",
            prefix in "[a-c-]{0,3}",
        ) {
            let objects: Vec<_> = keys.iter().map(|(namespace, name)| service(namespace, name)).collect();
            let wanted = |object: &&Arc<Service>| {
                object.namespace().as_deref() == Some(&namespace) && object.name_any().starts_with(&prefix)
            };
            let mut expected: Vec<_> = objects.iter().filter(wanted).map(|object| object.name_any()).collect();
            expected.sort();
            let found: Vec<_> =
                Sorted::of(objects.clone()).named(&namespace, &prefix).iter().map(|object| object.name_any()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
