//! A cluster with its Restate and its claims, and what they do as time goes by. Every step is judged when it is done.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::*;
use crate::{Become, ChangeNodes, LeaveMetadata, Snapshot, TrimLog};

const PARTITIONS: u32 = 3;

/// A node's entry in its cluster.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    name: String,
    storage: Storage,
    worker: Worker,
    location: String,
}

/// A log and its partition.
#[derive(Clone, Debug)]
struct Place {
    replicas: BTreeSet<u32>,
    segments: Vec<(u64, BTreeSet<u32>)>,
    archived: Option<u64>,
    trimmed: u64,
    end: u64,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) object: RestateCluster,
    pub(super) children: Children,
    /// Whether Restate answers.
    pub(super) answers: bool,
    pub(super) seed: u64,
    copies: u8,
    replication: String,
    version: u32,
    entries: BTreeMap<u32, Entry>,
    last_id: u32,
    servers: BTreeMap<u32, i64>,
    /// Those of them that the nodes' configuration names: it follows.
    listed: BTreeSet<u32>,
    places: Vec<Place>,
    /// Pods that run, by ordinal, with the id of their node.
    pods: BTreeMap<i32, u32>,
    /// Which node wrote the disk of a claim, by the claim's uid.
    disks: BTreeMap<String, u32>,
    silent: BTreeSet<i32>,
    local: bool,
    next: u64,
}

impl World {
    pub(super) fn of(nodes: i32, copies: u8) -> Self {
        let mut object = object(SMALL);
        object.spec.compute.replicas = Some(nodes);
        object.spec.config = Some("[worker.snapshots]\ndestination = \"s3://bucket\"".to_owned());
        object.status = Some(serde_json::from_value(json!({"provisioned": true})).unwrap());
        let mut children = children(SMALL);
        let found = children.stateful_set.as_mut().unwrap();
        let fields = stateful_set::template_fields(&validate(&object).unwrap());
        found.annotations_mut().insert(stateful_set::TEMPLATE_FIELDS.into(), fields);
        found.spec.as_mut().unwrap().replicas = Some(nodes);
        let mut world = Self {
            object,
            children,
            answers: true,
            seed: 7,
            copies,
            replication: format!("{{node: {copies}}}"),
            version: 1,
            entries: BTreeMap::new(),
            last_id: 0,
            servers: BTreeMap::new(),
            listed: BTreeSet::new(),
            places: Vec::new(),
            pods: BTreeMap::new(),
            disks: BTreeMap::new(),
            silent: BTreeSet::new(),
            local: false,
            next: 0,
        };
        world.kubernetes();
        for _ in 0..PARTITIONS {
            // On those that go first.
            let on: BTreeSet<_> = world.entries.keys().rev().take(usize::from(copies)).copied().collect();
            let place =
                Place { replicas: on.clone(), segments: vec![(1, on)], archived: None, trimmed: 0, end: 9 };
            world.places.push(place);
        }
        let first = world.plan();
        world.children = after(world.children.clone(), &first);
        world.kubernetes();
        assert_eq!(world.plan().steps, vec![], "it starts at rest");
        world
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn wish(&mut self, nodes: i32) {
        self.object.spec.compute.replicas = Some(nodes);
    }

    pub(super) fn wants_copies(&mut self, copies: i32) {
        self.object.spec.cluster = Some(ClusterSettings {
            auto_provision: true,
            provisioning: None,
            replication: Some(IntOrString::Int(copies)),
            node_location: None,
        });
    }

    pub(super) fn silence(&mut self, ordinal: i32) {
        self.silent.insert(ordinal);
    }

    fn entry(&mut self, ordinal: i32) -> &mut Entry {
        let name = format!("restate-{ordinal}");
        self.entries.values_mut().find(|entry| entry.name == name).unwrap()
    }

    pub(super) fn lose(&mut self, ordinal: i32) {
        self.entry(ordinal).storage = Storage::Lost;
    }

    pub(super) fn drain(&mut self, ordinal: i32) {
        self.entry(ordinal).storage = Storage::ReadOnly;
    }

    pub(super) fn spread_three_and_one(&mut self) {
        for (index, entry) in self.entries.values_mut().enumerate() {
            entry.location = format!("r.z{}", index / 3);
        }
        self.replication = "{zone: 2}".to_owned();
        self.copies = 1;
    }

    pub(super) fn without_snapshots(&mut self) {
        self.object.spec.config = Some(String::new());
        let fields = stateful_set::template_fields(&self.valid());
        let found = self.children.stateful_set.as_mut().unwrap();
        found.annotations_mut().insert(stateful_set::TEMPLATE_FIELDS.into(), fields);
    }

    pub(super) fn unready(&mut self) {
        let status = self.children.stateful_set.as_mut().unwrap().status.as_mut().unwrap();
        status.ready_replicas = Some(1);
    }

    pub(super) fn with_local_logs(&mut self) {
        self.local = true;
    }

    pub(super) fn hide_a_partition(survey: &mut Survey) {
        survey.partitions.pop();
    }

    pub(super) fn hide_a_log(survey: &mut Survey) {
        survey.logs[0].segments.clear();
    }

    pub(super) fn valid(&self) -> Valid {
        validate(&self.object).unwrap()
    }

    pub(super) fn running(&self) -> i32 {
        stateful_set::observed_replicas(self.children.stateful_set.as_ref().unwrap())
    }

    pub(super) fn claims(&self) -> Vec<String> {
        let mut names: Vec<_> = self.children.claims.iter().map(ResourceExt::name_any).collect();
        names.sort();
        names
    }

    pub(super) fn asks(&self) -> bool {
        asks_survey(&self.valid(), &seen(self.children.clone()))
    }

    pub(super) fn seen(&self) -> Seen {
        let mut seen = seen(self.children.clone());
        if self.asks() {
            seen.survey = if self.answers {
                Surveyed::Known(Box::new(self.survey()))
            } else {
                Surveyed::Unknown { why: "no answer".to_owned() }
            };
        }
        seen
    }

    pub(super) fn plan(&self) -> Plan {
        plan(&self.valid(), &self.seen(), now())
    }

    pub(super) fn verdict(&self) -> Option<restate_crd::condition::Verdict> {
        super::super::super::shrink::verdict(&self.valid(), &self.seen())
    }

    fn survey(&self) -> Survey {
        let placed = |(id, entry): (&u32, &Entry)| Placed {
            id: *id,
            name: entry.name.clone(),
            storage: entry.storage,
            worker: entry.worker,
            location: entry.location.clone(),
            listed_for_metadata: self.listed.contains(id),
        };
        let number = |index: usize| u32::try_from(index).unwrap();
        let partitions = self.places.iter().enumerate().map(|(index, place)| Partition {
            id: number(index),
            nodes: place.replicas.clone(),
            frozen: false,
            archived: place.archived,
        });
        let segment =
            |(from, nodes): &(u64, BTreeSet<u32>)| Segment { from: *from, nodes: Some(nodes.clone()) };
        let logs = self.places.iter().enumerate().map(|(index, place)| Log {
            id: number(index),
            segments: place.segments.iter().map(segment).collect(),
        });
        Survey {
            version: self.version,
            nodes: self.entries.iter().map(placed).collect(),
            alive: self.alive(),
            partitions: partitions.collect(),
            logs: logs.collect(),
            metadata: Metadata::Servers {
                leader: self.servers.keys().next().copied(),
                members: self.servers.iter().map(|(id, joined)| (*id, *joined)).collect(),
            },
            configuration: Configuration {
                partitions: PARTITIONS,
                partition_replication: Some(self.replication.clone()),
                log_provider: if self.local { "local".into() } else { "replicated".into() },
                log_replication: Some(self.replication.clone()),
                target_nodeset_size: 0,
            },
        }
    }

    fn alive(&self) -> BTreeSet<u32> {
        let heard = self.pods.iter().filter(|(ordinal, _)| !self.silent.contains(ordinal));
        heard.map(|(_, id)| *id).filter(|id| self.entries.contains_key(id)).collect()
    }

    fn chance(&mut self, of: u64) -> bool {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33).is_multiple_of(of)
    }

    /// So many living nodes in full use; those that are there already stay.
    fn some_in_use(&mut self, copies: usize, mut on: BTreeSet<u32>) -> BTreeSet<u32> {
        let alive = self.alive();
        let in_use = |entry: &Entry| entry.storage == Storage::ReadWrite && entry.worker == Worker::Active;
        let fit: BTreeSet<_> = self
            .entries
            .iter()
            .filter(|(id, entry)| alive.contains(id) && in_use(entry))
            .map(|(id, _)| *id)
            .collect();
        on.retain(|id| fit.contains(id));
        let start = u32::try_from(self.seed >> 40).unwrap() % 9;
        for id in (start..99).chain(0..start).filter(|id| fit.contains(id)) {
            if on.len() < copies {
                on.insert(id);
            }
        }
        on
    }

    /// One pass that ends after so many steps.
    pub(super) fn pass(&mut self, steps: usize) {
        for step in self.plan().steps.iter().take(steps) {
            self.perform(step);
        }
    }

    fn perform(&mut self, step: &Step) {
        match step {
            Step::Aside(step) => self.perform(step),
            Step::Annotate { object, uid, annotations } => self.annotate(&object.kind, &uid.0, annotations),
            Step::ChangeNodes(change) => self.change(change),
            Step::LeaveMetadata(leave) => self.leave(leave),
            Step::JoinMetadata { node, .. } => {
                let (_, id) = self.pods.iter().find(|(ordinal, _)| *node == address(**ordinal)).unwrap();
                self.servers.insert(*id, 5);
            }
            Step::Snapshot(Snapshot { partition, covers, .. }) => {
                let place = &mut self.places[*partition as usize];
                assert!(*covers <= place.end);
                place.archived = Some(place.end);
            }
            Step::TrimLog(TrimLog { log, up_to, .. }) => {
                let place = &mut self.places[*log as usize];
                assert!(place.archived.is_some_and(|archived| archived >= *up_to), "a snapshot holds it");
                place.trimmed = place.trimmed.max(*up_to);
            }
            Step::Stop { replicas, .. } => {
                assert!(*replicas >= self.valid().replicas);
                let stopped: Vec<_> = self.pods.range(replicas..).map(|(_, id)| *id).collect();
                for id in stopped {
                    self.must_be_empty(id);
                }
                self.set_replicas(*replicas);
            }
            Step::Scale { replicas, .. } => {
                assert!(*replicas >= self.running(), "nothing is stopped by the way");
                self.set_replicas(*replicas);
            }
            Step::Delete { object, uid, .. } => {
                assert_eq!(object.kind, "PersistentVolumeClaim");
                let claim =
                    self.children.claims.iter_mut().find(|claim| claim.uid() == Some(uid.0.clone())).unwrap();
                let id = self.disks[&uid.0];
                assert!(!self.entries.contains_key(&id), "a node of the cluster keeps its disk");
                assert_ne!(self.object.spec.storage.deletion_policy, Some(DeletionPolicy::Retain));
                claim.metadata.deletion_timestamp =
                    Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
            }
            Step::Apply(..) | Step::Note(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }

    fn must_be_empty(&self, id: u32) {
        let named = |place: &Place| {
            place.replicas.contains(&id) || place.segments.iter().any(|(_, nodes)| nodes.contains(&id))
        };
        assert!(!self.places.iter().any(named), "N{id} holds logs or partitions");
        assert!(!self.servers.contains_key(&id) && !self.listed.contains(&id), "N{id} holds metadata");
        assert_ne!(self.entries[&id].storage, Storage::ReadWrite, "N{id} may get something any moment");
        let left = self.entries.keys().filter(|other| **other != id).count();
        assert!(left >= usize::from(self.copies), "copies have nodes enough");
    }

    fn annotate(&mut self, kind: &str, uid: &str, values: &BTreeMap<String, Option<String>>) {
        let metadata = match kind {
            "RestateCluster" => &mut self.object.metadata,
            "PersistentVolumeClaim" => {
                let claim =
                    self.children.claims.iter_mut().find(|claim| claim.metadata.uid.as_deref() == Some(uid));
                &mut claim.unwrap().metadata
            }
            other => panic!("unexpected annotation of {other}"),
        };
        let annotations = metadata.annotations.get_or_insert_default();
        for (key, value) in values {
            match value {
                Some(value) => annotations.insert(key.clone(), value.clone()),
                None => annotations.remove(key),
            };
        }
    }

    fn change(&mut self, change: &ChangeNodes) {
        assert_eq!(change.node, address(0));
        if change.at != self.version {
            return;
        }
        self.version += 1;
        let wanted = self.valid().replicas;
        for change in &change.changes {
            let entry = self.entries.get_mut(&change.id).unwrap();
            assert_eq!(entry.name, change.name);
            let ordinal: i32 = entry.name.strip_prefix("restate-").unwrap().parse().unwrap();
            match change.to {
                Become::ReadOnly => entry.storage = Storage::ReadOnly,
                Become::Draining => entry.worker = Worker::Draining,
                Become::ReadWrite => entry.storage = Storage::ReadWrite,
                Become::Active => entry.worker = Worker::Active,
                Become::Removed => {
                    assert!(!self.pods.contains_key(&ordinal), "its pod runs");
                    self.must_be_empty(change.id);
                    self.entries.remove(&change.id);
                }
            }
            let returns = matches!(change.to, Become::ReadWrite | Become::Active);
            assert_eq!(
                returns,
                ordinal < wanted,
                "below the wanted count nothing is taken away, above nothing given"
            );
        }
    }

    fn leave(&mut self, leave: &LeaveMetadata) {
        let leader = self.servers.keys().next().unwrap();
        let (ordinal, _) = self.pods.iter().find(|(_, id)| *id == leader).unwrap();
        assert_eq!(leave.node, address(*ordinal), "only the leader does it");
        let ordinal: i32 = self.entries[&leave.id].name.strip_prefix("restate-").unwrap().parse().unwrap();
        assert!(ordinal >= self.valid().replicas && self.servers.len() > 1);
        assert_eq!(self.servers.remove(&leave.id), Some(leave.joined));
    }

    fn set_replicas(&mut self, replicas: i32) {
        let set = self.children.stateful_set.as_mut().unwrap();
        set.spec.as_mut().unwrap().replicas = Some(replicas);
        set.metadata.generation = set.metadata.generation.map(|generation| generation + 1);
    }

    /// What Kubernetes does: pods, their claims and disks, and what the set's status says.
    fn kubernetes(&mut self) {
        let wanted = self.running();
        // A pod takes its time to end.
        let above: Vec<_> = self.pods.range(wanted..).map(|(ordinal, _)| *ordinal).collect();
        for ordinal in above {
            if self.chance(2) {
                self.pods.remove(&ordinal);
            }
        }
        let pods = self.pods.clone();
        self.children.claims.retain(|claim| {
            let ordinal = claim.name_any().strip_prefix("storage-restate-").unwrap().parse().unwrap();
            claim.metadata.deletion_timestamp.is_none() || pods.contains_key(&ordinal)
        });
        for ordinal in 0..wanted {
            if !self.pods.contains_key(&ordinal) {
                self.start(ordinal);
            }
        }
        all_ready(&mut self.children);
        let status = self.children.stateful_set.as_mut().unwrap().status.as_mut().unwrap();
        status.replicas = i32::try_from(self.pods.len()).unwrap();
    }

    /// A pod with its disk: the one that is there, or a new one.
    fn start(&mut self, ordinal: i32) {
        let name = format!("storage-restate-{ordinal}");
        let found = self.children.claims.iter().find(|claim| claim.name_any() == name);
        if let Some(claim) = found {
            let id = self.disks[&claim.uid().unwrap()];
            assert!(self.entries.contains_key(&id), "a pod got the disk of a removed node N{id}");
            self.pods.insert(ordinal, id);
            return;
        }
        self.next += 1;
        let uid = format!("claim-{}", self.next);
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "rs", "uid": uid,
                "labels": {"app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": "rs"}},
            "spec": {"resources": {"requests": {"storage": "1073741824"}}},
            "status": {"phase": "Bound", "capacity": {"storage": "1073741824"}},
        }))
        .unwrap();
        self.children.claims.push(claim);
        self.last_id += 1;
        let id = self.last_id;
        let name = format!("restate-{ordinal}");
        assert!(!self.entries.values().any(|entry| entry.name == name), "two nodes of one name");
        let entry =
            Entry { name, storage: Storage::ReadWrite, worker: Worker::Active, location: String::new() };
        self.entries.insert(id, entry);
        self.version += 1;
        self.servers.insert(id, 1);
        self.disks.insert(uid, id);
        self.pods.insert(ordinal, id);
    }

    /// A pod that ends and comes again: nothing of the node changes but the version of the configuration.
    pub(super) fn restart(&mut self, ordinal: i32) {
        if self.pods.contains_key(&ordinal) {
            self.version += 1;
        }
    }

    /// Time passes: Restate moves some of what is to be moved, Kubernetes does its part.
    pub(super) fn restate(&mut self) {
        self.kubernetes();
        self.listed = self.servers.keys().copied().collect();
        for index in 0..self.places.len() {
            let copies = usize::from(self.copies);
            if self.chance(2) {
                let replicas = self.some_in_use(copies, self.places[index].replicas.clone());
                if replicas.len() == copies {
                    self.places[index].replicas = replicas;
                }
            }
            if self.chance(2) {
                let newest = self.places[index].segments.last().unwrap().1.clone();
                let nodes = self.some_in_use(copies, newest.clone());
                let place = &mut self.places[index];
                place.end += 3;
                if nodes != newest && nodes.len() == copies {
                    place.segments.push((place.end, nodes));
                }
            }
            // Not every time.
            if self.chance(2) {
                let place = &mut self.places[index];
                while place.segments.len() > 1 && place.segments[1].0 <= place.trimmed + 1 {
                    place.segments.remove(0);
                }
            }
        }
    }

    pub(super) fn settle(&mut self) {
        for _ in 0..300 {
            self.pass(usize::MAX);
            self.restate();
            if !self.asks() && self.plan().steps.is_empty() {
                return;
            }
        }
        panic!("does not come to rest: {:?}\n{self:#?}", self.verdict());
    }

    pub(super) fn drop_claim(&mut self, ordinal: i32) {
        let name = format!("storage-restate-{ordinal}");
        self.children.claims.retain(|claim| claim.name_any() != name);
    }

    pub(super) fn drop_marked_claims(&mut self) {
        self.children.claims.retain(|claim| !claim.annotations().contains_key(REMOVED));
    }

    pub(super) fn assert_at_rest(&self, nodes: i32) {
        assert_eq!(self.plan().steps, vec![], "a second pass does nothing");
        assert!(!self.asks() && self.verdict().is_none(), "nothing is asked, nothing is said");
        assert!(!self.object.annotations().contains_key(REMOVING));
        assert_eq!((self.running(), self.pods.len()), (nodes, usize::try_from(nodes).unwrap()));
        let ids: BTreeSet<_> = self.pods.values().copied().collect();
        assert_eq!(ids, self.entries.keys().copied().collect(), "every node has its pod, every pod its node");
        assert_eq!(ids, self.servers.keys().copied().collect());
        let in_use = |entry: &Entry| entry.storage == Storage::ReadWrite && entry.worker == Worker::Active;
        assert!(self.entries.values().all(in_use));
    }
}

fn address(ordinal: i32) -> String {
    node_addresses("rs", ordinal + 1, "cluster.local").pop().unwrap()
}
