//! The Kubernetes objects that a plan can speak of: typed, and named by reference.

use std::fmt;

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube_core::{DynamicObject, Resource};

/// The uid of an object: a precondition that keeps a step from touching a namesake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub String);

impl fmt::Display for Uid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Which object: group, version, kind and resource name are kept as text, so that kinds of other projects fit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// `apps/v1`, `v1`, …
    pub api_version: String,
    /// `ReplicaSet`, …
    pub kind: String,
    /// `replicasets`, …
    pub plural: String,
    /// Absent for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// A reference to an object of a static kind.
    pub fn of<K: Resource<DynamicType = ()>>(namespace: Option<&str>, name: &str) -> Self {
        Self {
            api_version: K::api_version(&()).into_owned(),
            kind: K::kind(&()).into_owned(),
            plural: K::plural(&()).into_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(out, "{} {namespace}/{}", self.kind, self.name),
            None => write!(out, "{} {}", self.kind, self.name),
        }
    }
}

macro_rules! objects {
    ($($kind:ident),+ $(,)?) => {
        /// An object that a plan wants to exist.
        #[expect(clippy::large_enum_variant, reason = "steps carry it in a box, and there are few at a time")]
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object {
            $(
                #[doc = concat!("A ", stringify!($kind), ".")]
                $kind($kind),
            )+
            /// A kind of another project, whose types we do not carry.
            Foreign(ObjectRef, DynamicObject),
        }

        impl Object {
            /// What it is called.
            pub fn reference(&self) -> ObjectRef {
                match self {
                    $(Self::$kind(object) => reference_of(object),)+
                    Self::Foreign(reference, _) => reference.clone(),
                }
            }
        }

        $(
            impl From<$kind> for Object {
                fn from(object: $kind) -> Self {
                    Self::$kind(object)
                }
            }
        )+
    };
}

objects!(
    ConfigMap,
    HorizontalPodAutoscaler,
    Namespace,
    NetworkPolicy,
    PersistentVolumeClaim,
    PodDisruptionBudget,
    ReplicaSet,
    Service,
    ServiceAccount,
    StatefulSet,
);

fn reference_of<K: Resource<DynamicType = ()>>(object: &K) -> ObjectRef {
    let meta = object.meta();
    ObjectRef::of::<K>(meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default())
}
