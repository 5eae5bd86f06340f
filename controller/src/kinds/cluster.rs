//! RestateCluster: looks at its children, and at its nodes' own words while it is not known whether it has been
//! provisioned; decides in `restate-plan`.

mod pods;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use restate_crd::{Conditions, RestateCluster, RestateClusterStatus, finalizer};
use restate_plan::cluster::{
    self, Children, Configured, Followed, Foreign, Found, Invalid, NAME, PEERS, Seen, Standing, Surveyed,
    Valid,
};
use restate_plan::{Finalizer, LookAgain, ObjectRef, Outcome, Plan, is_paused};

use crate::engine::{Context, Decision, Error, Kind, look};
use crate::runtime::metrics::Controller;
use crate::watches::{Cache, Change, Kept, Stores};

/// A cluster's spec as it was understood, and what was seen of it.
pub(crate) struct Looked {
    valid: Result<Valid, Invalid>,
    seen: Seen,
}

impl Kind for RestateCluster {
    const CONTROLLER: Controller = Controller::Cluster;
    const FINALIZER: &'static str = finalizer::CLUSTER;
    type Seen = Looked;

    fn api(&self, client: &Client) -> Api<Self> {
        Api::all(client.clone())
    }

    async fn gather(object: &Arc<Self>, context: &Context) -> Result<Looked, Error> {
        let valid = cluster::validate(object);
        let mut children = children(object, context).await?;
        if let Ok(valid) = &valid {
            children.expandable = expandable(&cluster::classes_to_ask(valid, &children), context).await;
        }
        let mut seen = Seen {
            children,
            nodes: Vec::new(),
            configuration: Configured::NotAsked,
            followed: Followed::NotAsked,
            members: None,
            survey: Surveyed::NotAsked,
            pods: None,
            standing: Standing::NotAsked,
            located: Vec::new(),
            identities: Vec::new(),
            users: users(object, &context.stores),
            operator: context.operator.as_ref().clone(),
        };
        if let Ok(valid) = &valid
            && object.metadata.deletion_timestamp.is_none()
            && !is_paused(&object.metadata)
        {
            seen.identities = identities(valid, context).await;
            seen.located = pods::located(&valid.name, cluster::pods_to_ask(valid, &seen), context).await?;
            look_at_nodes(valid, &mut seen, context).await;
            look_at_pods(valid, &mut seen, context).await;
        }
        Ok(Looked { valid, seen })
    }

    fn decide(object: &Self, looked: &Looked, now: Timestamp) -> Decision<RestateClusterStatus> {
        let Looked { valid, seen } = looked;
        let (going, paused) = (object.metadata.deletion_timestamp.is_some(), is_paused(&object.metadata));
        let status = match valid {
            _ if going => cluster::deleting(object, seen, now),
            _ if paused => cluster::paused(object, now),
            Ok(valid) => cluster::status(object, valid, seen, now),
            Err(invalid) => cluster::invalid(object, invalid, now),
        };
        let (plan, finalizer) = match valid {
            _ if going => deletion(object, seen),
            _ if paused => (nothing("Paused"), Finalizer::Leave),
            Ok(valid) => (cluster::plan(valid, seen, now), Finalizer::Keep),
            Err(_) => (nothing("InvalidSpec"), Finalizer::Leave),
        };
        Decision { plan, status, finalizer, demand: None, known: None }
    }

    fn keep(stores: &Stores, object: Self) -> Option<Change<Self>> {
        stores.clusters.absorb(object)
    }

    fn conditions(status: &mut RestateClusterStatus) -> &mut Conditions {
        &mut status.conditions
    }
}

/// Asks the nodes for what the decision needs their word for.
async fn look_at_nodes(valid: &Valid, seen: &mut Seen, context: &Context) {
    if cluster::asks_members(valid, seen) {
        let nodes = cluster::node_addresses(&valid.name, valid.replicas, &seen.operator.dns_suffix);
        seen.members = context.restates.members(&nodes).await;
    }
    if cluster::asks_survey(valid, seen) {
        let nodes = cluster::survey_addresses(valid, seen);
        seen.survey = context.restates.survey(&nodes, cluster::has_metadata_servers(valid)).await;
    }
    look_at_configuration(valid, seen, context).await;
    if cluster::asks_progress(valid, seen)
        && let Some(node) = cluster::node_addresses(&valid.name, 1, &seen.operator.dns_suffix).first()
    {
        seen.followed = match context.restates.copies(node).await {
            Ok(found) => Followed::Known(found),
            Err(error) => Followed::Unknown { why: error.words() },
        };
    }
}

async fn look_at_configuration(valid: &Valid, seen: &mut Seen, context: &Context) {
    let asks_configuration = cluster::asks_configuration(valid, seen);
    if !cluster::asks_nodes(valid) && !asks_configuration {
        return;
    }
    let expected = cluster::node_addresses(&valid.name, valid.replicas, &seen.operator.dns_suffix);
    seen.nodes = context.restates.identities(&expected).await;
    if let Some(node) = expected.first().filter(|_| asks_configuration) {
        seen.configuration = match context.restates.configuration(node).await {
            Ok(found) => Configured::Known(found),
            Err(error) => Configured::Unknown { why: error.words() },
        };
    }
}

/// Looks at what a rollout depends on: at the pods first, so that what the nodes say is newer.
async fn look_at_pods(valid: &Valid, seen: &mut Seen, context: &Context) {
    if !cluster::asks_pods(valid, &seen.children) {
        return;
    }
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &valid.name);
    let selected = ListParams::default().labels(&cluster::pod_selector(&valid.name));
    match look(&ObjectRef::of::<Pod>(Some(&valid.name), NAME), api.list(&selected)).await {
        Ok(pods) => seen.pods = Some(pods.items),
        Err(error) => tracing::warn!(error = error.chain(), "the pods of a rollout cannot be read"),
    }
    if cluster::asks_standing(valid, seen, (context.clock)()) {
        let nodes = cluster::nodes_to_ask(valid, seen);
        seen.standing = context.restates.standing(&nodes).await;
    }
}

/// Objects of other projects that give an identity: asked for only where the spec names one, and only where their
/// kind is installed.
async fn identities(valid: &Valid, context: &Context) -> Vec<Foreign> {
    let mut seen = Vec::new();
    for reference in cluster::identities_to_ask(valid, &context.operator) {
        let found = foreign(&reference, context).await;
        seen.push(Foreign { reference, found });
    }
    seen
}

async fn foreign(reference: &ObjectRef, context: &Context) -> Found {
    let served = context.client.list_api_group_resources(&reference.api_version);
    match look(reference, served).await {
        Ok(served) if served.resources.iter().any(|resource| resource.name == reference.plural) => {}
        Err(error) if !error.is_absence() => return Found::Unknown { why: error.chain() },
        Ok(_) | Err(_) => return Found::NotInstalled,
    }
    let api = context.executor.api(reference);
    match look(reference, api.get_opt(&reference.name)).await {
        Ok(found) => found.map_or(Found::Absent, |found| Found::Present(Box::new(found))),
        Err(error) => Found::Unknown { why: error.chain() },
    }
}

fn deletion(object: &RestateCluster, seen: &Seen) -> (Plan, Finalizer) {
    let plan = cluster::deletion(object, seen);
    let finalizer = if plan.outcome == Outcome::Settled { Finalizer::Release } else { Finalizer::Leave };
    (plan, finalizer)
}

fn nothing(on: &'static str) -> Plan {
    Plan {
        steps: Vec::new(),
        parts: Vec::new(),
        outcome: Outcome::Waiting { on, look_again: LookAgain::OnChange },
    }
}

/// What is in the namespace of the cluster's name.
async fn children(object: &RestateCluster, context: &Context) -> Result<Children, Error> {
    let (stores, name) = (&context.stores, object.name_any());
    let namespace = stores.namespaces.get(None, &name);
    let service = |service: &str| stores.services.get(Some(&name), service);
    Ok(Children {
        service_account: owned(stores.service_accounts.get(Some(&name), NAME)),
        config_maps: of(&stores.config_maps, &name),
        services: [service(NAME), service(PEERS)].into_iter().filter_map(owned).collect(),
        stateful_set: stateful_set(&name, namespace.is_some(), context).await?,
        disruption_budget: owned(stores.disruption_budgets.get(Some(&name), NAME)),
        claims: of(&stores.claims, &name),
        expandable: BTreeMap::new(),
        policies: of(&stores.network_policies, &name),
        secret_provider_class: secret_provider_class(object, context).await?,
        namespace: owned(namespace),
    })
}

/// The stateful set. One without our labels is in no store, and must not be taken over: where none is known, the
/// API server is asked.
async fn stateful_set(
    name: &str,
    has_namespace: bool,
    context: &Context,
) -> Result<Option<StatefulSet>, Error> {
    let known = context.stores.stateful_sets.get(Some(name), NAME);
    if known.is_some() || !has_namespace {
        return Ok(owned(known));
    }
    let api: Api<StatefulSet> = Api::namespaced(context.client.clone(), name);
    look(&ObjectRef::of::<StatefulSet>(Some(name), NAME), api.get_opt(NAME)).await
}

/// Which of these storage classes let claims grow. A class without a word (no right to read it, say) is left out:
/// the API server will know when it is asked to grow a claim.
async fn expandable(classes: &[String], context: &Context) -> BTreeMap<String, bool> {
    let api: Api<StorageClass> = Api::all(context.client.clone());
    let mut known = BTreeMap::new();
    for class in classes {
        match look(&ObjectRef::of::<StorageClass>(None, class), api.get_opt(class)).await {
            Ok(found) => {
                let grows = found.is_some_and(|found| found.allow_volume_expansion == Some(true));
                known.insert(class.clone(), grows);
            }
            Err(error) => tracing::debug!(class, error = error.chain(), "the storage class has no word"),
        }
    }
    known
}

/// The class that mounts the signing key, where the spec asks for one: a kind of another project, which is not
/// watched because few have it.
async fn secret_provider_class(
    object: &RestateCluster,
    context: &Context,
) -> Result<Option<DynamicObject>, Error> {
    let key =
        object.spec.security.as_ref().and_then(|security| security.request_signing_private_key.as_ref());
    let unwanted = key.is_none_or(|key| key.secret_provider.is_none());
    if unwanted || !context.operator.manages_provider_classes {
        return Ok(None);
    }
    let reference = cluster::provider_class_ref(&object.name_any());
    let api = context.executor.api(&reference);
    look(&reference, api.get_opt(&reference.name)).await
}

fn owned<K: Clone>(found: Option<Arc<K>>) -> Option<K> {
    found.map(Arc::unwrap_or_clone)
}

fn of<K: Kept + Clone>(cache: &Cache<K>, namespace: &str) -> Vec<K> {
    cache.within(namespace).into_iter().map(Arc::unwrap_or_clone).collect()
}

/// Who registers with this cluster, and who may: what cannot be read is not known to register elsewhere.
fn users(object: &RestateCluster, stores: &Stores) -> Vec<String> {
    let name = object.name_any();
    let mut users = stores.deployments.unreadable();
    users.extend(stores.deployments.marked(|_, such| such.cluster.as_deref() == Some(&name)));
    users
        .iter()
        .map(|user| format!("{}/{}", user.namespace.as_deref().unwrap_or_default(), user.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use restate_crd::condition::ConditionType;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Kubernetes, context};

    /// users.md §1b (op#197): nothing is asked, done or said anew but that it is paused; a deletion works.
    #[rstest]
    #[case::paused("disabled", true)]
    #[case::a_slip("Disabled", false)]
    #[tokio::test]
    async fn a_paused_cluster_is_left_alone_and_can_be_deleted(#[case] value: &str, #[case] paused: bool) {
        let object = json!({
            "apiVersion": "restate.dev/v1", "kind": "RestateCluster",
            "metadata": {"name": "prod", "uid": "u", "resourceVersion": "1",
                         "annotations": {"restate.dev/reconcile": value}},
            "spec": {"compute": {"image": "restate:1.7.12"}, "storage": {"storageRequestBytes": 1}},
            "status": {"provisioned": true, "conditions": [{"type": "Ready", "status": "True", "reason": "Healthy"}]},
        });
        let kubernetes = Kubernetes::default();
        let context = context(&kubernetes);
        let mut object: RestateCluster = serde_json::from_value(object).unwrap();
        let looked = Box::pin(RestateCluster::gather(&Arc::new(object.clone()), &context)).await.unwrap();
        let decision = RestateCluster::decide(&object, &looked, Timestamp::UNIX_EPOCH);
        let said = |kind| decision.status.conditions.get(kind).and_then(|said| said.reason.clone()).unwrap();
        assert_eq!(decision.plan.steps.is_empty(), paused);
        assert_eq!(decision.finalizer == Finalizer::Leave, paused);
        assert_eq!(said(ConditionType::Stalled) == "Paused", paused);
        assert_eq!(said(ConditionType::Ready) == "Healthy", paused, "the rest is frozen");
        assert!(!paused || kubernetes.asked().is_empty(), "{:?}", kubernetes.asked());

        object.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        let looked = Box::pin(RestateCluster::gather(&Arc::new(object.clone()), &context)).await.unwrap();
        let decision = RestateCluster::decide(&object, &looked, Timestamp::UNIX_EPOCH);
        assert_eq!(decision.finalizer, Finalizer::Release);
    }

    const GROUP: &str = "/apis/eks.services.k8s.aws/v1alpha1";

    fn association() -> ObjectRef {
        ObjectRef {
            api_version: "eks.services.k8s.aws/v1alpha1".to_owned(),
            kind: "PodIdentityAssociation".to_owned(),
            plural: "podidentityassociations".to_owned(),
            namespace: Some("prod".to_owned()),
            name: "restate".to_owned(),
        }
    }

    fn served(plurals: &[&str]) -> Value {
        let resource = |plural: &&str| json!({"name": plural, "singularName": "", "namespaced": true, "kind": "X", "verbs": []});
        let resources: Vec<_> = plurals.iter().map(resource).collect();
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "x", "resources": resources})
    }

    /// users.md §2a 2.3.1, §1c: a kind that is not installed is never called.
    #[rstest]
    #[case::no_such_group(Kubernetes::default())]
    #[case::no_such_kind(Kubernetes::default().with(GROUP, served(&["clusters"])))]
    #[tokio::test]
    async fn a_kind_that_is_not_installed_is_not_called(#[case] kubernetes: Kubernetes) {
        let found = foreign(&association(), &context(&kubernetes)).await;
        assert_eq!(found, Found::NotInstalled);
        let asked = kubernetes.asked();
        assert!(asked.len() == 1 && asked[0].starts_with(&format!("GET {GROUP} ")), "{asked:?}");
    }

    #[tokio::test]
    async fn an_installed_kind_is_looked_at() {
        let kubernetes = Kubernetes::default().with(GROUP, served(&["podidentityassociations"]));
        assert_eq!(foreign(&association(), &context(&kubernetes)).await, Found::Absent);
        let path = format!("{GROUP}/namespaces/prod/podidentityassociations/restate");
        let object = json!({"apiVersion": "eks.services.k8s.aws/v1alpha1", "kind": "PodIdentityAssociation",
                            "metadata": {"name": "restate", "namespace": "prod"}});
        let kubernetes = kubernetes.with(&path, object);
        assert!(matches!(foreign(&association(), &context(&kubernetes)).await, Found::Present(_)));
    }

    /// A failure is no absence: nothing is concluded from it.
    #[tokio::test]
    async fn who_cannot_look_says_so() {
        let kubernetes = Kubernetes::refusing(|_, _| Some(Kubernetes::no(403, "no right")));
        let found = foreign(&association(), &context(&kubernetes)).await;
        assert!(matches!(&found, Found::Unknown { why } if why.contains("no right")), "{found:?}");
    }

    /// A class that nobody may read is left out, so that the API server is asked to grow the claim.
    #[tokio::test]
    async fn classes_say_whether_claims_grow() {
        let class = |grows: Option<bool>| {
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "x"},
                   "provisioner": "p", "allowVolumeExpansion": grows})
        };
        let path = |name: &str| format!("/apis/storage.k8s.io/v1/storageclasses/{name}");
        let refusal =
            |_: &http::Method, path: &str| path.ends_with("secret").then(|| Kubernetes::no(403, "no"));
        let kubernetes = Kubernetes::refusing(refusal)
            .with(&path("grows"), class(Some(true)))
            .with(&path("stays"), class(None));
        let classes = ["grows", "stays", "gone", "secret"].map(str::to_owned);
        let known = expandable(&classes, &context(&kubernetes)).await;
        let expected = [("gone", false), ("grows", true), ("stays", false)];
        assert_eq!(known, expected.map(|(name, grows)| (name.to_owned(), grows)).into());
    }
}
