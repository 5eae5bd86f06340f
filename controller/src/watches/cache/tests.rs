use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use serde_json::json;

use super::*;

fn replica_set(name: &str, version: u64, replicas: i32) -> ReplicaSet {
    let owner = json!({"apiVersion": "v1", "kind": "X", "name": "x", "uid": "owner"});
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": version.to_string(),
                     "ownerReferences": [owner]},
        "spec": {"replicas": replicas, "selector": {}},
    }))
    .unwrap()
}

fn names(changes: &[Change<ReplicaSet>]) -> Vec<String> {
    let mut names: Vec<_> = changes.iter().map(|change| change.object.name_any()).collect();
    names.sort();
    names
}

#[test]
fn only_a_difference_is_a_change() {
    let cache = Cache::default();
    assert_eq!(names(&cache.take(Event::Apply(replica_set("a", 1, 2)))), ["a"]);
    assert_eq!(names(&cache.take(Event::Apply(replica_set("a", 2, 2)))), [""; 0], "only its version moved");
    assert_eq!(names(&cache.take(Event::Apply(replica_set("a", 3, 3)))), ["a"]);
}

#[test]
fn what_we_wrote_is_known_at_once_and_its_echo_wakes_nobody() {
    let cache = Cache::default();
    cache.take(Event::Apply(replica_set("a", 1, 2)));
    cache.absorb(replica_set("a", 5, 0));
    assert_eq!(names(&cache.take(Event::Apply(replica_set("a", 4, 1)))), [""; 0], "older than our own write");
    assert_eq!(cache.get(Some("shop"), "a").unwrap().spec.as_ref().unwrap().replicas, Some(0));
    assert_eq!(names(&cache.take(Event::Apply(replica_set("a", 5, 0)))), [""; 0]);
}

#[test]
fn a_new_object_of_the_same_name_is_not_an_older_state() {
    let cache = Cache::default();
    cache.take(Event::Apply(replica_set("a", 9, 2)));
    let mut reborn = replica_set("a", 3, 2);
    reborn.metadata.uid = Some("other".to_owned());
    assert_eq!(names(&cache.take(Event::Apply(reborn))), ["a"]);
}

#[test]
fn a_late_word_of_an_end_takes_no_new_object_away() {
    let cache = Cache::default();
    let mut reborn = replica_set("a", 3, 2);
    reborn.metadata.uid = Some("other".to_owned());
    cache.take(Event::Apply(reborn));
    assert_eq!(names(&cache.take(Event::Delete(replica_set("a", 9, 2)))), [""; 0]);
    assert!(cache.get(Some("shop"), "a").is_some());
}

#[test]
fn a_list_tells_what_came_went_and_changed() {
    let cache = Cache::default();
    for name in ["stays", "changes", "goes"] {
        cache.take(Event::Apply(replica_set(name, 1, 1)));
    }
    cache.take(Event::Init);
    for (name, replicas) in [("stays", 1), ("changes", 2), ("comes", 1)] {
        cache.take(Event::InitApply(replica_set(name, 7, replicas)));
    }
    assert!(cache.get(Some("shop"), "goes").is_some(), "until the list is complete, the old state holds");
    assert_eq!(names(&cache.take(Event::InitDone)), ["changes", "comes", "goes"]);
    assert!(cache.get(Some("shop"), "goes").is_none());
}

/// A list was begun before a write of ours that the API server has answered meanwhile.
#[test]
fn a_list_does_not_take_back_what_we_wrote_after_it() {
    let cache = Cache::default();
    cache.take(Event::Apply(replica_set("a", 1, 2)));
    cache.take(Event::Init);
    cache.take(Event::InitApply(replica_set("a", 4, 2)));
    cache.absorb(replica_set("a", 5, 0));
    assert_eq!(names(&cache.take(Event::InitDone)), [""; 0]);
    let kept = cache.get(Some("shop"), "a").unwrap();
    assert_eq!(
        (kept.spec.as_ref().unwrap().replicas, kept.resource_version().as_deref()),
        (Some(0), Some("5"))
    );
}

/// Nor forgets what we made after it.
#[test]
fn a_list_does_not_forget_what_we_made_after_it() {
    let cache = Cache::default();
    cache.take(Event::Init);
    cache.absorb(replica_set("a", 5, 1));
    cache.take(Event::InitApply(replica_set("b", 1, 1)));
    assert_eq!(names(&cache.take(Event::InitDone)), ["b"]);
    assert!(cache.get(Some("shop"), "a").is_some());
}

/// What was written and then deleted, before the list was read.
#[test]
fn a_list_ends_what_was_known_before_although_we_wrote_it_meanwhile() {
    let cache = Cache::default();
    cache.take(Event::Apply(replica_set("a", 1, 1)));
    cache.take(Event::Init);
    cache.absorb(replica_set("a", 5, 2));
    assert_eq!(names(&cache.take(Event::InitDone)), ["a"]);
    assert!(!cache.has(Some("shop"), "a"));
}

/// An answer to a write of ours that was overtaken by the word of the object's end.
#[test]
fn a_late_answer_brings_nothing_back() {
    let cache = Cache::default();
    for name in ["a", "b"] {
        cache.take(Event::Apply(replica_set(name, 1, 1)));
    }
    cache.take(Event::Delete(replica_set("a", 11, 1)));
    cache.take(Event::Init);
    cache.take(Event::InitDone);
    for name in ["a", "b"] {
        assert!(cache.absorb(replica_set(name, 10, 2)).is_none(), "{name}");
        assert!(!cache.has(Some("shop"), name));
    }
    let mut reborn = replica_set("a", 12, 1);
    reborn.metadata.uid = Some("other".to_owned());
    assert!(cache.absorb(reborn).is_some());
}

/// A kind's newer shape, after the controller was taken back to an older release.
#[test]
fn what_cannot_be_read_is_there_as_it_was_last() {
    let cache = Cache::default();
    let meta = |name: &str| Box::new(replica_set(name, 9, 1).metadata);
    cache.take(Event::Apply(replica_set("known", 1, 3)));
    cache.take(Event::Init);
    for name in ["known", "new"] {
        cache.take_unreadable(Event::InitApply(meta(name)));
    }
    assert_eq!(names(&cache.take(Event::InitDone)), [""; 0]);
    assert_eq!(cache.get(Some("shop"), "known").unwrap().spec.as_ref().unwrap().replicas, Some(3));
    assert!(cache.has(Some("shop"), "new") && cache.get(Some("shop"), "new").is_none());
    assert_eq!(cache.unreadable().len(), 2);
    assert_eq!(names(&cache.take_unreadable(Event::Delete(meta("known")))), ["known"]);
    cache.take_unreadable(Event::Delete(meta("new")));
    assert!(!cache.has(Some("shop"), "known") && cache.unreadable().is_empty());
    cache.take_unreadable(Event::Apply(meta("mended")));
    cache.take(Event::Apply(replica_set("mended", 10, 1)));
    assert!(cache.unreadable().is_empty());
}

/// An interrupted list leaves nothing to the one after it.
#[test]
fn a_list_that_begins_again_forgets_the_first_half() {
    let cache = Cache::default();
    cache.take(Event::Init);
    cache.take(Event::InitApply(replica_set("a", 1, 2)));
    cache.take(Event::Init);
    assert_eq!(names(&cache.take(Event::InitDone)), [""; 0]);
}

#[test]
fn what_was_before_is_told() {
    let cache = Cache::default();
    assert!(cache.take(Event::Apply(replica_set("a", 1, 2)))[0].before().is_none());
    let changes = cache.take(Event::Apply(replica_set("a", 2, 3)));
    assert_eq!(changes[0].before(), Some(replica_set("a", 1, 2)));
    assert_eq!(*changes[0].object, replica_set("a", 2, 3));
}

#[test]
fn versions_are_found_by_the_name_of_their_deployment() {
    let cache = Cache::default();
    for name in ["a", "a-1", "a-b-1", "a-2", "ab-1", "b-1"] {
        cache.take(Event::Apply(replica_set(name, 1, 2)));
    }
    let named = |namespace: &str, name: &str| -> Vec<String> {
        cache.named_after(namespace, name).iter().map(|object| object.name_any()).collect()
    };
    assert_eq!(named("shop", "a"), ["a-1", "a-2", "a-b-1"]);
    assert_eq!(named("other", "a"), [""; 0]);
    assert_eq!(names(&cache.take(Event::Delete(replica_set("a-1", 2, 2)))), ["a-1"]);
    assert_eq!(named("shop", "a"), ["a-2", "a-b-1"]);
}

#[test]
fn an_autoscalers_heartbeat_is_no_change() {
    let cache: Cache<HorizontalPodAutoscaler> = Cache::default();
    let beat = |version: &str, seconds: i64| -> HorizontalPodAutoscaler {
        serde_json::from_value(json!({
            "metadata": {"name": "a", "namespace": "shop", "uid": "a", "resourceVersion": version},
            "status": {"desiredReplicas": seconds},
        }))
        .unwrap()
    };
    assert_eq!(cache.take(Event::Apply(beat("1", 15))).len(), 1);
    assert_eq!(cache.take(Event::Apply(beat("2", 30))).len(), 0);
}
