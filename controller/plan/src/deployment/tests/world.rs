//! A small world for tests: a Kubernetes and a Restate that do what plans say, with the truth that plans cannot see.
//!
//! Stage in the flow: tests only. Invariant: whatever is destroyed here while it may receive or resume work is
//! recorded in [`World::harm`], by the truth and not by what the plan believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use restate_crd::RestateDeployment;
use restate_crd::annotation::{
    DEPLOYMENT_ID, DISABLED, FORMERLY_REGISTERED, RECONCILE, REGISTERED_AT, REGISTERED_WITH,
};
use restate_crd::deployment::{DeletePolicy, OnTimeout};
use restate_crd::label::LATEST;
use restate_model::{
    Counts, DeploymentId, Failure, FailureKind, Load, Reading, Registered, Registry, ServiceKind,
    ServiceName, ServiceRevision, Snapshot, Status, UsageReport,
};
use serde_json::json;

use super::super::{ClusterSeen, Decision, Seen, decide, record_rejection};
use crate::{Deregistration, Finalizer, Object, Patch, Plan, Proof, Registration, Step, record_of};

/// Services that each template offers.
const OFFERS: [&[&str]; 4] = [&["a"], &["a"], &["a", "b"], &["b"]];

/// Where execution of a plan stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// It does not.
    Never,
    /// Before this step.
    Before(usize),
    /// After Restate has answered a registration or a deregistration, before anything is written down.
    Unrecorded,
}

/// The world.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch that a story throws")]
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) object: RestateDeployment,
    pub(super) sets: Vec<ReplicaSet>,
    pub(super) services: Vec<Service>,
    pub(super) autoscalers: Vec<HorizontalPodAutoscaler>,
    pub(super) cluster: ClusterSeen,
    pub(super) namespace_terminating: bool,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// The object as it was before its owner's last change: what a store that lags behind still has.
    earlier: Option<RestateDeployment>,
    /// The answers before the newest ones.
    earlier_snapshot: Option<Arc<Snapshot>>,
    pub(super) now: Timestamp,
    /// The truth about Restate.
    pub(super) registry: Registry,
    pub(super) pinned: BTreeMap<DeploymentId, u64>,
    pub(super) unpinned: BTreeMap<ServiceName, u64>,
    pub(super) restate_up: bool,
    /// Restate refuses registrations for good.
    pub(super) refuses: bool,
    /// Templates whose pods never become available.
    pub(super) broken: BTreeSet<u8>,
    /// Whether a crash has hidden a registration: the same one is made again then, which changes nothing.
    hidden: bool,
    /// When the last call began.
    last_call: Timestamp,
    next: u32,
    /// Whether the object is gone.
    pub(super) gone: bool,
    /// What was destroyed and should not have been.
    pub(super) harm: Vec<String>,
    /// What was written, in order: the kind of step and the name.
    pub(super) log: Vec<String>,
    pub(super) writes: usize,
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A RestateDeployment with template `version`.
pub(super) fn greeter(version: u8) -> RestateDeployment {
    serde_json::from_value(json!({
        "apiVersion": "restate.dev/v1beta1",
        "kind": "RestateDeployment",
        "metadata": {"name": "greeter", "namespace": "shop", "uid": "u-greeter", "generation": 1},
        "spec": {
            "replicas": 2,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": {"app": "greeter"}},
            "template": template(version),
            "restate": {"register": {"cluster": "prod"}},
        },
    }))
    .unwrap()
}

pub(super) fn template(version: u8) -> serde_json::Value {
    json!({
        "metadata": {"labels": {"app": "greeter"}},
        "spec": {"containers": [{"name": "s", "image": format!("greeter:{version}"), "ports": [{"containerPort": 9080, "name": "restate"}]}]},
    })
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            object: greeter(0),
            sets: Vec::new(),
            services: Vec::new(),
            autoscalers: Vec::new(),
            cluster: ClusterSeen::Present,
            namespace_terminating: false,
            snapshot: None,
            earlier: None,
            earlier_snapshot: None,
            now: at(0),
            registry: Registry::default(),
            pinned: BTreeMap::new(),
            unpinned: BTreeMap::new(),
            restate_up: true,
            refuses: false,
            broken: BTreeSet::new(),
            hidden: false,
            last_call: at(-1),
            next: 0,
            gone: false,
            harm: Vec::new(),
            log: Vec::new(),
            writes: 0,
        }
    }

    pub(super) fn seen(&self) -> Seen {
        Seen {
            object: Arc::new(self.object.clone()),
            replica_sets: self.sets.iter().cloned().map(Arc::new).collect(),
            services: self.services.iter().cloned().map(Arc::new).collect(),
            autoscalers: self.autoscalers.iter().cloned().map(Arc::new).collect(),
            cluster: self.cluster,
            namespace_terminating: self.namespace_terminating,
            snapshot: self.snapshot.clone(),
            dns_suffix: "cluster.local".to_owned(),
        }
    }

    pub(super) fn decide(&self) -> Decision {
        decide(&self.seen(), self.now)
    }

    pub(super) fn tick(&mut self, seconds: i64) {
        self.now = self.now.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    /// A change of the spec by its owner.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut RestateDeployment)) {
        let before = self.object.clone();
        change(&mut self.object);
        if self.object.spec != before.spec {
            self.earlier = Some(before);
            self.object.metadata.generation =
                self.object.metadata.generation.map(|generation| generation + 1);
        }
    }

    pub(super) fn deploy(&mut self, version: u8) {
        self.edit(|object| object.spec.template = serde_json::from_value(template(version)).unwrap());
    }

    pub(super) fn delete(&mut self) {
        let second = Timestamp::from_second(self.now.as_second()).unwrap();
        self.earlier = Some(self.object.clone());
        self.object.metadata.deletion_timestamp.get_or_insert(Time(second));
    }

    /// `kubectl annotate … restate.dev/reconcile=disabled`, or its end.
    pub(super) fn pause(&mut self, on: bool) {
        let annotations = self.object.metadata.annotations.get_or_insert_default();
        if on {
            annotations.insert(RECONCILE.to_owned(), DISABLED.to_owned());
        } else {
            annotations.remove(RECONCILE);
        }
    }

    /// A pass by somebody who has the newest status, written by itself, and an older spec.
    pub(super) fn pass_on_an_old_object(&mut self) {
        let Some(mut old) = self.earlier.clone() else { return drop(self.pass(Crash::Never)) };
        old.status.clone_from(&self.object.status);
        let current = std::mem::replace(&mut self.object, old);
        self.pass(Crash::Never);
        let old = std::mem::replace(&mut self.object, current);
        self.object.status = old.status;
    }

    /// The answers before the newest ones come again.
    pub(super) fn hear_old_answers(&mut self) {
        if self.earlier_snapshot.is_some() {
            self.snapshot.clone_from(&self.earlier_snapshot);
        }
    }

    /// The replica set controller: pods follow the wish.
    pub(super) fn run_pods(&mut self) {
        let broken: Vec<String> = self.broken.iter().map(|version| format!("greeter:{version}")).collect();
        for set in &mut self.sets {
            let spec = set.spec.clone().unwrap_or_default();
            let replicas = spec.replicas.unwrap_or(1);
            let pods = spec.template.and_then(|template| template.spec).unwrap_or_default();
            let is_broken = pods
                .containers
                .iter()
                .any(|it| it.image.as_ref().is_some_and(|image| broken.contains(image)));
            let available = if is_broken { 0 } else { replicas };
            set.status = Some(ReplicaSetStatus {
                replicas,
                ready_replicas: Some(available),
                available_replicas: Some(available),
                ..ReplicaSetStatus::default()
            });
        }
    }

    /// The poller asks, and gets the truth.
    pub(super) fn poll(&mut self) {
        self.tick(1);
        if !self.restate_up {
            let failure =
                Failure { at: self.now, kind: FailureKind::Unreachable, message: "refused".to_owned() };
            let mut snapshot = self.snapshot.as_deref().cloned().unwrap_or_default();
            snapshot.failure = Some(failure);
            self.snapshot = Some(Arc::new(snapshot));
            return self.tick(1);
        }
        let usage = self.usage();
        self.earlier_snapshot.clone_from(&self.snapshot);
        self.snapshot = Some(Arc::new(Snapshot {
            registry: Some(Reading { asked_at: self.now, value: self.registry.clone().into() }),
            usage: Some(Reading { asked_at: self.now, value: usage }),
            failure: None,
        }));
        self.tick(1);
    }

    /// The poller asks, and one deployment is missing in the usage report.
    pub(super) fn poll_partially(&mut self) {
        self.poll();
        if let Some(snapshot) = &mut self.snapshot
            && let Some(usage) = &mut Arc::make_mut(snapshot).usage
        {
            usage.value.known.pop_first();
        }
    }

    fn usage(&self) -> UsageReport {
        let counts = |count: u64| {
            let mut counts = Counts::default();
            counts.add(Status::Suspended, count);
            counts
        };
        UsageReport {
            known: self.registry.deployments.keys().cloned().collect(),
            routed: self.registry.services.values().map(|service| service.deployment.clone()).collect(),
            deployments: (self.pinned.iter())
                .map(|(id, count)| (id.clone(), Load { pinned: counts(*count), in_flight_unpinned: 0 }))
                .collect(),
            unpinned: self.unpinned.iter().map(|(name, count)| (name.clone(), counts(*count))).collect(),
            handlers: BTreeMap::new(),
        }
    }

    /// A call that stays: pinned to what the service is routed to, or waiting.
    pub(super) fn call(&mut self, service: &str, pin: bool) {
        let name = ServiceName::from(service);
        let Some(routed) = self.registry.services.get(&name) else { return };
        self.last_call = self.now;
        if pin {
            *self.pinned.entry(routed.deployment.clone()).or_default() += 1;
        } else {
            *self.unpinned.entry(name).or_default() += 1;
        }
    }

    pub(super) fn finish_all(&mut self) {
        self.pinned.clear();
        self.unpinned.clear();
    }

    /// Restate registers an endpoint, as it does.
    pub(super) fn register_at(&mut self, endpoint: &str, services: &[&str], force: bool) -> DeploymentId {
        let known = self.registry.at_endpoint(endpoint).map(|(id, _)| id.clone());
        let moves = force || known.is_none();
        let id = known.unwrap_or_else(|| {
            self.next += 1;
            DeploymentId::from(format!("dp_{}", self.next))
        });
        let revisions =
            services.iter().map(|name| ServiceRevision { name: (*name).into(), revision: self.next });
        let registered = Registered {
            endpoint: endpoint.to_owned(),
            created_at: None,
            services: revisions.collect(),
            http11: false,
        };
        self.registry.deployments.insert(id.clone(), registered.into());
        if moves {
            for name in services {
                self.route(name, &id);
            }
        }
        id
    }

    pub(super) fn route(&mut self, name: &str, id: &DeploymentId) {
        let service = restate_model::Service {
            name: name.into(),
            revision: self.next,
            deployment: id.clone(),
            kind: ServiceKind::Service,
            public: true,
            handlers: Vec::new(),
            idempotency_retention: None,
            workflow_retention: None,
        };
        self.registry.services.insert(name.into(), service.into());
    }

    /// Forgets everything, as a Restate on an empty disk does.
    pub(super) fn lose_metadata(&mut self) {
        self.registry = Registry::default();
        self.finish_all();
    }

    /// One pass: decide, execute, publish. Gives what was decided.
    pub(super) fn pass(&mut self, crash: Crash) -> Decision {
        let decision = self.decide();
        if self.gone {
            return decision;
        }
        let done = self.run(&decision.plan, crash);
        self.tick(1);
        if self.object.status.as_ref() != Some(&decision.status) && done {
            self.writes += 1;
            // What is stored has whole seconds.
            self.object.status =
                serde_json::from_value(serde_json::to_value(&decision.status).unwrap()).unwrap();
        }
        let going = self.object.metadata.deletion_timestamp.is_some();
        if going && !decision.demand.registry && !decision.demand.usage {
            // Nobody asks, so nobody knows.
            self.snapshot = None;
        }
        if done && decision.finalizer == Finalizer::Release {
            self.judge_release();
            self.gone = true;
            self.sets.clear();
            self.services.clear();
            self.autoscalers.clear();
        }
        decision
    }

    /// Says whether everything was done; where a step is refused, it goes on with the next part.
    fn run(&mut self, plan: &Plan, crash: Crash) -> bool {
        let (mut done, mut next) = (true, 0);
        while let Some(step) = plan.steps.get(next) {
            if crash == Crash::Before(next) {
                return false;
            }
            next += 1;
            if !self.execute(step, crash) {
                done = false;
                let part = plan.parts.iter().find(|start| **start >= next);
                next = match part {
                    Some(start) if crash != Crash::Unrecorded => *start,
                    Some(_) | None => return false,
                };
            }
        }
        done
    }

    /// Runs one step; false where its part ends.
    fn execute(&mut self, step: &Step, crash: Crash) -> bool {
        if !matches!(step, Step::Note(_) | Step::Aside(_)) {
            self.log.push(describe(step));
        }
        match step {
            Step::Register(call) => return self.execute_registration(call, crash),
            Step::Deregister(call) => return self.execute_deregistration(call, crash),
            Step::Aside(step) => {
                self.execute(step, crash);
                return true;
            }
            Step::Create(object) => self.create(object),
            Step::Apply(_, object) => self.apply(object),
            Step::Patch(patch) => {
                if patch.replicas == Some(0) {
                    self.judge_zero(&patch.uid.0, "scaled to zero");
                }
                if !self.patch(patch) {
                    return false;
                }
            }
            Step::TakeOver { object, uid } => match self.meta(&object.kind, &uid.0) {
                Some(meta) => meta.managed_fields = None,
                None => return false,
            },
            Step::Delete { object, uid, .. } => self.remove(&object.kind, &uid.0),
            Step::Note(_) => return true,
            Step::Annotate { .. }
            | Step::Scale { .. }
            | Step::LeavePods { .. }
            | Step::Owners { .. }
            | Step::Claim(_)
            | Step::Provision(_)
            | Step::Configure(_)
            | Step::ChangeNodes(_)
            | Step::LeaveMetadata(_)
            | Step::JoinMetadata { .. }
            | Step::Snapshot(_)
            | Step::TrimLog(_)
            | Step::Stop { .. } => return false,
        }
        self.writes += 1;
        true
    }

    fn patch(&mut self, patch: &Patch) -> bool {
        let Some(meta) = self.meta(&patch.object.kind, &patch.uid.0) else { return false };
        merge(meta.annotations.get_or_insert_default(), &patch.annotations);
        merge(meta.labels.get_or_insert_default(), &patch.labels);
        let set = self.sets.iter_mut().find(|set| set.metadata.uid.as_ref() == Some(&patch.uid.0));
        if let (Some(set), Some(replicas)) = (set, patch.replicas) {
            set.spec.get_or_insert_default().replicas = Some(replicas);
        }
        true
    }

    fn meta(&mut self, kind: &str, uid: &str) -> Option<&mut ObjectMeta> {
        let sets = self.sets.iter_mut().map(|set| ("ReplicaSet", &mut set.metadata));
        let services = self.services.iter_mut().map(|service| ("Service", &mut service.metadata));
        let mut all = sets.chain(services).filter(|(of, _)| *of == kind);
        all.find(|(_, meta)| meta.uid.as_deref() == Some(uid)).map(|(_, meta)| meta)
    }

    fn stored(&mut self, meta: &mut ObjectMeta) {
        self.next += 1;
        meta.uid = Some(format!("u-{}", self.next));
        meta.creation_timestamp = Some(Time(Timestamp::from_second(self.now.as_second()).unwrap()));
    }

    fn create(&mut self, object: &Object) {
        let mut value = match object {
            Object::Foreign(_, object) => serde_json::to_value(object).unwrap(),
            Object::Service(service) => serde_json::to_value(service).unwrap(),
            Object::HorizontalPodAutoscaler(autoscaler) => serde_json::to_value(autoscaler).unwrap(),
            other => panic!("unexpected {other:?}"),
        };
        let mut meta: ObjectMeta = serde_json::from_value(value["metadata"].take()).unwrap();
        self.stored(&mut meta);
        value["metadata"] = serde_json::to_value(meta).unwrap();
        match object.reference().kind.as_str() {
            "ReplicaSet" => self.sets.push(serde_json::from_value(value).unwrap()),
            "Service" => self.services.push(serde_json::from_value(value).unwrap()),
            _ => self.autoscalers.push(serde_json::from_value(value).unwrap()),
        }
    }

    fn apply(&mut self, object: &Object) {
        let name = object.reference().name;
        let named = |meta: &ObjectMeta| meta.name.as_deref() == Some(&*name);
        match object {
            Object::Service(new) => match self.services.iter_mut().find(|old| named(&old.metadata)) {
                Some(old) => old.spec.clone_from(&new.spec),
                None => self.create(object),
            },
            Object::HorizontalPodAutoscaler(new) => {
                match self.autoscalers.iter_mut().find(|old| named(&old.metadata)) {
                    Some(old) => {
                        old.spec.clone_from(&new.spec);
                        old.metadata.annotations.clone_from(&new.metadata.annotations);
                    }
                    None => self.create(object),
                }
            }
            Object::Foreign(_, new) => {
                let seconds = new.data["spec"]["minReadySeconds"].as_i64().unwrap();
                let set = self.sets.iter_mut().find(|old| named(&old.metadata)).unwrap();
                set.spec.get_or_insert_default().min_ready_seconds = Some(i32::try_from(seconds).unwrap());
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    pub(super) fn remove(&mut self, kind: &str, uid: &str) {
        if kind == "ReplicaSet" {
            self.judge_zero(uid, "deleted");
            self.services
                .retain(|it| it.metadata.owner_references.iter().flatten().all(|owner| owner.uid != uid));
        }
        self.sets.retain(|set| set.metadata.uid.as_deref() != Some(uid));
        self.services.retain(|it| it.metadata.uid.as_deref() != Some(uid));
        self.autoscalers.retain(|it| it.metadata.uid.as_deref() != Some(uid));
    }

    /// No call may ever be routed to pods that do not exist, unless their owner asked for none.
    fn judge_zero(&mut self, uid: &str, what: &str) {
        let set = self.sets.iter().find(|set| set.metadata.uid.as_deref() == Some(uid));
        let name = set.and_then(|set| set.metadata.name.clone()).unwrap_or_default();
        let known = self.registry.deployments.values().any(|it| it.endpoint.contains(&format!("//{name}.")));
        if known && self.object.spec.replicas > 0 {
            self.harm.push(format!("{name} was {what} while registered"));
        }
    }

    fn execute_registration(&mut self, call: &Registration, crash: Crash) -> bool {
        let uid = &call.version.uid.0;
        let Some(set) = self.sets.iter().find(|set| set.metadata.uid.as_ref() == Some(uid)) else {
            return false;
        };
        let available = set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
        let image = set
            .spec
            .as_ref()
            .and_then(|spec| spec.template.as_ref()?.spec.as_ref()?.containers[0].image.clone());
        let version: usize = image.unwrap().trim_start_matches("greeter:").parse().unwrap();
        if !self.restate_up || available == 0 {
            return false;
        }
        if self.refuses {
            let step = record_rejection(&self.object, call, ("META0006", "the type changed"), self.now);
            self.execute(&step, crash);
            return false;
        }
        if let Some((id, _)) = self.registry.at_endpoint(&call.uri)
            && call.force.is_some()
            && !self.hidden
            && self.registry.routed_to(id).count() == OFFERS[version].len()
        {
            self.harm.push(format!("{} was forced although it is routed to", call.uri));
        }
        if let Some(routes) = &call.force {
            let now = |name| self.registry.services.get(name).map(|service| &service.deployment);
            if routes.iter().any(|(name, to)| now(name) != Some(to)) {
                return false;
            }
            self.blame_theft(call, OFFERS[version]);
        }
        let id = self.register_at(&call.uri, OFFERS[version], call.force.is_some());
        self.hidden = crash == Crash::Unrecorded;
        if self.hidden {
            return false;
        }
        self.tick(1);
        let now = self.now.to_string();
        let meta = self.meta("ReplicaSet", uid).unwrap();
        let annotations = meta.annotations.get_or_insert_default();
        annotations.insert(DEPLOYMENT_ID.to_owned(), id.to_string());
        annotations.insert(REGISTERED_AT.to_owned(), now);
        annotations.insert(REGISTERED_WITH.to_owned(), call.admin.key.to_string());
        annotations.remove(FORMERLY_REGISTERED);
        let mut former = call.former.clone();
        former.retain(|_, known| *known != id);
        annotations.extend(record_of(&former).map(|text| (FORMERLY_REGISTERED.to_owned(), text)));
        meta.labels.get_or_insert_default().insert(LATEST.to_owned(), "true".to_owned());
        self.writes += 1;
        true
    }

    /// What somebody else has registered is his, however old the answers are that we act on.
    fn blame_theft(&mut self, call: &Registration, services: &[&str]) {
        let owner = |name: &&str| {
            let service = self.registry.services.get(&ServiceName::from(*name))?;
            Some(self.registry.deployments.get(&service.deployment)?.endpoint.clone())
        };
        let theirs = services.iter().filter_map(owner).find(|endpoint| !endpoint.contains("greeter-"));
        self.harm.extend(theirs.map(|from| format!("{} took a service from {from} by force", call.uri)));
    }

    fn execute_deregistration(&mut self, call: &Deregistration, crash: Crash) -> bool {
        if !self.restate_up {
            return false;
        }
        let id = &call.deployment;
        let pinned = self.pinned.get(id).copied().unwrap_or(0);
        let routed: Vec<ServiceName> =
            self.registry.routed_to(id).map(|service| service.name.clone()).collect();
        let waiting: u64 = routed.iter().filter_map(|name| self.unpinned.get(name)).sum();
        let wrong = match &call.proof {
            Proof::Idle { .. } => pinned > 0 || !routed.is_empty(),
            // A call between the question and the answer is refused as not found: Restate has no conditional delete.
            Proof::Deleted { asked_at } => (pinned > 0 || waiting > 0) && self.last_call < *asked_at,
            Proof::Abandoned { .. } => false,
        };
        if wrong {
            self.harm.push(format!(
                "{id} was deregistered with {pinned} pinned, {waiting} waiting, routed {routed:?}"
            ));
        }
        self.registry.deployments.remove(id);
        self.registry.services.retain(|_, service| service.deployment != *id);
        crash != Crash::Unrecorded
    }

    /// With the object go its pods: what is still registered and has work is lost, unless somebody asked for that.
    fn judge_release(&mut self) {
        let asked_for = self.object.spec.restate.delete_policy == Some(DeletePolicy::Force)
            || self
                .object
                .spec
                .restate
                .drain
                .as_ref()
                .is_some_and(|drain| drain.on_timeout == Some(OnTimeout::Force));
        if asked_for || self.namespace_terminating || self.cluster == ClusterSeen::Absent {
            return;
        }
        let registered = self.registry.deployments.iter().filter(|(_, it)| it.endpoint.contains("greeter-"));
        let busy = registered.filter(|(id, _)| self.pinned.get(*id).is_some_and(|count| *count > 0));
        self.harm.extend(busy.map(|(id, _)| format!("the object was let go while {id} had work")));
    }

    /// Everything behaves from now on, and enough time passes: gives the number of passes until nothing is left to
    /// be done, or what was still being done.
    pub(super) fn settle(&mut self) -> Result<usize, String> {
        self.restate_up = true;
        self.cluster = ClusterSeen::Present;
        self.pause(false);
        self.broken.clear();
        self.finish_all();
        let mut idle = 0;
        for pass in 0..80 {
            self.run_pods();
            self.poll();
            let decision = self.pass(Crash::Never);
            if self.gone {
                return Ok(pass);
            }
            self.run_pods();
            if !decision.plan.steps.is_empty() {
                idle = 0;
                continue;
            }
            let next = self.decide();
            let stable = self.object.status.as_ref() == Some(&next.status) && next.plan.steps.is_empty();
            if stable {
                match &next.plan.outcome {
                    crate::Outcome::Waiting { look_again: crate::LookAgain::At(at), .. } => self.now = *at,
                    // A new answer may change that; the second one does not.
                    crate::Outcome::Waiting { .. } | crate::Outcome::Settled if idle > 1 => return Ok(pass),
                    crate::Outcome::Waiting { .. } | crate::Outcome::Settled => idle += 1,
                }
            } else {
                idle = 0;
            }
        }
        Err(format!("{:#?}", self.decide().plan))
    }

    /// The replica set with this template.
    pub(super) fn set(&self, version: u8) -> Option<&ReplicaSet> {
        let image = format!("greeter:{version}");
        let text = |set: &ReplicaSet| {
            set.metadata.annotations.iter().flatten().any(|(_, value)| value.contains(&image))
        };
        self.sets.iter().find(|set| text(set))
    }
}

fn merge(into: &mut BTreeMap<String, String>, changes: &BTreeMap<String, Option<String>>) {
    for (key, value) in changes {
        match value {
            Some(value) => into.insert(key.clone(), value.clone()),
            None => into.remove(key),
        };
    }
}

/// What a step does, in a word or two.
pub(super) fn describe(step: &Step) -> String {
    match step {
        Step::Apply(_, object) => format!("apply {}", object.reference().kind),
        Step::Create(object) => format!("create {}", object.reference().kind),
        Step::Patch(patch) => describe_patch(patch),
        Step::TakeOver { object, .. } => format!("take over {}", object.kind),
        Step::Delete { object, .. } => format!("delete {}", object.kind),
        Step::Register(call) => format!("register force={}", call.force.is_some()),
        Step::Deregister(call) => format!("deregister {}", call.deployment),
        Step::Note(note) => format!("note {}", note.reason),
        Step::Aside(step) => describe(step),
        Step::Annotate { .. }
        | Step::Scale { .. }
        | Step::LeavePods { .. }
        | Step::Owners { .. }
        | Step::Claim(_)
        | Step::Provision(_)
        | Step::Configure(_)
        | Step::ChangeNodes(_)
        | Step::LeaveMetadata(_)
        | Step::JoinMetadata { .. }
        | Step::Snapshot(_)
        | Step::TrimLog(_)
        | Step::Stop { .. } => "unexpected".to_owned(),
    }
}

/// `annotate a -b, label Service latest=true, scale 0`: what is written on one object in one go.
fn describe_patch(patch: &Patch) -> String {
    let Patch { object, uid: _, annotations, labels, replicas } = patch;
    let short = |key: &str| key.trim_start_matches("restate.dev/").to_owned();
    let keys = annotations.iter().map(|(key, value)| match value {
        Some(_) => short(key),
        None => format!("-{}", short(key)),
    });
    let keys = keys.collect::<Vec<_>>().join(" ");
    let annotate = (!keys.is_empty()).then(|| format!("annotate {keys}"));
    let label = |(key, value): (&String, &Option<String>)| {
        format!("label {} {}={}", object.kind, short(key), value.as_deref().unwrap_or("-"))
    };
    let scale = replicas.map(|replicas| format!("scale {replicas}"));
    annotate.into_iter().chain(labels.iter().map(label)).chain(scale).collect::<Vec<_>>().join(", ")
}

/// The replica set that a first pass would make, as somebody else's.
pub(super) fn greeter_set(world: &World, uid: &str) -> ReplicaSet {
    let mut copy = world.clone();
    copy.pass(Crash::Never);
    let mut set = copy.sets.remove(0);
    set.metadata.uid = Some(uid.to_owned());
    set
}
