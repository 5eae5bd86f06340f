//! What is asked for is bounded and known to the cluster; what came of it is told by partition and as a whole.

use restate_apiservice::SnapshotOutcome;
use restate_client::node::{Mode, Replica, Snapshot};
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::resources::tests::retry_after;

const NAMED: Named<'_> = Named { group: "restate.dev", resource: "restateclusters", name: "prod" };

fn spec(partitions: Option<&[u32]>) -> RestateClusterSnapshotSpec {
    RestateClusterSnapshotSpec { partitions: partitions.map(<[u32]>::to_vec) }
}

fn replica(partition: u32, mode: Mode, (applied, archived): (u64, Option<u64>)) -> Replica {
    Replica {
        partition,
        node: 1,
        mode,
        epoch: None,
        applied: Some(applied),
        target: None,
        archived,
        catching_up: false,
        active: true,
        broken: false,
    }
}

fn before(id: u32) -> Before {
    Before { id, processed: true, applied: Some(9), archived: None }
}

fn made(id: u32) -> (Before, Answer) {
    (before(id), Answer::Made(Snapshot { id: format!("snap_{id}"), log: id, covers: 9 }))
}

#[rstest]
#[case::none(spec(Some(&[])))]
#[case::too_many(spec(Some(&[1; MOST + 1])))]
fn e8_what_is_asked_for_is_bounded(#[case] spec: RestateClusterSnapshotSpec) {
    let status = refuse_invalid("prod", &spec).unwrap_err();
    assert_eq!(status.code().as_u16(), 422);
    assert!(status.message.contains("spec.partitions"), "{status}");
}

#[rstest]
#[case::all(spec(None), &[0, 1, 2])]
#[case::some_once_each(spec(Some(&[2, 0, 2])), &[0, 2])]
fn partitions_are_asked_for_in_order(#[case] spec: RestateClusterSnapshotSpec, #[case] expected: &[u32]) {
    assert!(refuse_invalid("prod", &spec).is_ok());
    let asked = told::asked_for(&spec, 3, &[]).unwrap();
    assert_eq!(asked.iter().map(|before| before.id).collect::<Vec<_>>(), expected);
}

/// A number that the cluster does not have would make the server panic.
#[test]
fn what_the_cluster_does_not_have_is_not_asked_for() {
    let unknown = told::asked_for(&spec(Some(&[0, 3])), 3, &[]).unwrap_err();
    let status = Status::invalid(GROUP, "RestateClusterSnapshot", "prod", &[unknown]);
    assert!(status.message.contains("numbered from 0"), "{status}");
    assert!(told::asked_for(&spec(None), 2000, &[]).is_err(), "more than one request can have");
    let replicas = [
        replica(0, Mode::Follower, (7, Some(5))),
        replica(0, Mode::Leader, (8, Some(3))),
        replica(2, Mode::Follower, (4, None)),
    ];
    let asked = told::asked_for(&spec(None), 3, &replicas).unwrap();
    assert_eq!(
        asked,
        [
            Before { id: 0, processed: true, applied: Some(8), archived: Some(5) },
            Before { id: 1, ..Before::default() },
            Before { id: 2, processed: true, applied: None, archived: None },
        ]
    );
}

#[test]
fn a_partial_failure_is_told_by_partition_and_as_a_whole() {
    let answers = vec![
        made(0),
        (before(1), Answer::Failed("disk full".to_owned())),
        (before(2), Answer::Unanswered("slow".to_owned())),
        (before(3), Answer::NotAsked),
        (before(4), Answer::Unprocessed),
    ];
    assert!(told::refuse_where_none_was_made(NAMED, &answers).is_ok());
    let status = told::status(answers, None, false);
    assert_eq!((status.complete, status.made), (false, 1));
    assert!(
        status.message.starts_with("1 of 5") && status.message.ends_with("and 1 more"),
        "{}",
        status.message
    );
    let outcomes: Vec<_> = status.partitions.iter().map(|partition| partition.outcome).collect();
    let expected = [
        SnapshotOutcome::Made,
        SnapshotOutcome::Failed,
        SnapshotOutcome::Unanswered,
        SnapshotOutcome::NotAsked,
        SnapshotOutcome::Failed,
    ];
    assert_eq!(outcomes, expected);
    let first = &status.partitions[0];
    assert_eq!((first.snapshot_id.as_deref(), first.snapshot_lsn), (Some("snap_0"), Some(9)));
    assert!(status.partitions[1..].iter().all(|partition| partition.message.is_some()));
}

#[rstest]
#[case::no_store(&[Answer::NoStore("x".to_owned()), Answer::Failed("y".to_owned())], 409)]
#[case::late(&[Answer::Unanswered("x".to_owned()), Answer::NotAsked], 504)]
#[case::broken(&[Answer::Failed("x".to_owned()), Answer::Unprocessed], 503)]
fn e10_where_nothing_was_made_the_request_fails(#[case] answers: &[Answer], #[case] code: u16) {
    let answers: Vec<_> = answers.iter().map(|answer| (before(0), answer.clone())).collect();
    let status = told::refuse_where_none_was_made(NAMED, &answers).unwrap_err();
    assert_eq!(status.code().as_u16(), code, "{status}");
    assert_eq!(retry_after(&status), 0, "snapshots may still be made: nobody asks again by itself");
    assert_eq!(status.message.contains("worker.snapshots.destination"), code == 409, "{status}");
}

#[test]
fn c3_a_dry_run_tells_what_would_be_done() {
    let answers = vec![(before(0), Answer::DryRun)];
    assert!(told::refuse_where_none_was_made(NAMED, &answers).is_ok());
    let status = told::status(answers, None, true);
    assert_eq!((status.complete, status.made), (false, 0));
    assert_eq!(status.partitions[0].outcome, SnapshotOutcome::DryRun);
    let whole = told::status(vec![made(0)], None, false);
    assert!(whole.complete && whole.partitions[0].message.is_none());
}

#[test]
fn restates_silence_is_told_from_its_refusal() {
    let late = Error::TimedOut { address: "http://a".to_owned(), after: DEADLINE };
    assert!(matches!(Answer::of(Err(late)), Answer::Unanswered(_)));
    let odd = Error::Lacks { address: "http://a".to_owned(), what: "the name of the snapshot" };
    assert!(matches!(Answer::of(Err(odd)), Answer::Failed(_)));
}

fn valid(config: &str) -> Valid {
    let object = serde_json::from_value(json!({
        "apiVersion": "restate.dev/v1",
        "kind": "RestateCluster",
        "metadata": {"name": "prod", "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {
            "compute": {"image": "restate:1.7.12"},
            "storage": {"storageRequestBytes": 1_073_741_824},
            "config": config,
        },
    }));
    cluster::validate(&object.unwrap()).unwrap()
}

#[test]
fn a_cluster_without_a_store_is_refused_before_anybody_is_asked() {
    let status = must_have_a_store(NAMED, &valid("")).unwrap_err();
    assert_eq!(status.code().as_u16(), 409);
    assert!(status.message.contains("worker.snapshots.destination"), "{status}");
    assert!(must_have_a_store(NAMED, &valid("[worker.snapshots]\ndestination = \"s3://b/s\"")).is_ok());
}

#[tokio::test]
async fn e10_where_no_node_answers_nobody_can_tell() {
    let status = telling("prod", vec!["http://127.0.0.1:1".to_owned()]).await.map(|_| ()).unwrap_err();
    assert_eq!(status.code().as_u16(), 503, "{status}");
    assert_eq!(telling("prod", Vec::new()).await.map(|_| ()).unwrap_err().code().as_u16(), 503);
}
