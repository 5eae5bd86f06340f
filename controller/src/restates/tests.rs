use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::testing::Restate;
use crate::watches::Wish;

type Woken = UnboundedReceiver<Wish<RestateDeployment>>;

fn restates() -> (Restates, Woken) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (policy, wakers) = (Policy::default().with_loopback(), Arc::new(Wakers::default()));
    let options = restate_client::transport::Options { policy: policy.clone(), extra_ca: Vec::new() };
    let woken = wakers.deployments.open();
    let transport = Transport::new(&options).unwrap();
    (Restates::new(transport, policy, Arc::default(), wakers), woken)
}

fn wanting(name: &str) -> Wanting {
    ObjectRef::new(name).within("shop")
}

fn registry(restate: &Restate) -> Demand {
    Demand { admin: Some(restate.admin()), registry: true, next: Next::Registry, ..Demand::default() }
}

fn waiting(look_again: LookAgain) -> Outcome {
    Outcome::Waiting { on: "X", look_again }
}

async fn next(woken: &mut Woken, patience: u64) -> Option<String> {
    let next = tokio::time::timeout(Duration::from_millis(patience), woken.recv()).await;
    next.ok()?.map(|request| request.message.name)
}

/// Services and deployments at once: both lists are empty.
fn empty() -> serde_json::Value {
    json!({"deployments": [], "services": []})
}

#[tokio::test]
async fn whoever_wants_to_know_is_woken_by_the_answer() {
    let restate = Restate::answering(200, empty()).await;
    let (restates, mut woken) = restates();
    restates.demand(&wanting("a"), &registry(&restate), &waiting(LookAgain::OnChange), None);
    assert_eq!(next(&mut woken, 2_000).await.as_deref(), Some("a"));
    assert!(restates.snapshot(&restate.admin()).unwrap().registry.is_some());
}

#[rstest]
#[case::until_an_answer(LookAgain::OnSnapshot, true)]
#[case::until_a_moment(LookAgain::At(Timestamp::MAX), true)]
#[case::until_a_change(LookAgain::OnChange, false)]
#[case::for_a_while(LookAgain::After(SignedDuration::from_secs(1)), false)]
#[tokio::test]
async fn an_answer_that_says_the_same_wakes_only_those_who_wait_for_one(
    #[case] until: LookAgain,
    #[case] wakes: bool,
) {
    let restate = Restate::answering(200, empty()).await;
    let (restates, mut woken) = restates();
    restates.demand(&wanting("a"), &registry(&restate), &waiting(until), None);
    assert!(next(&mut woken, 2_000).await.is_some(), "the first answer is news");
    while next(&mut woken, 300).await.is_some() {}
    assert_eq!(next(&mut woken, 2_500).await.is_some(), wakes);
}

/// users.md 2b (op#138): a drain is asked about, and woken by another answer alone.
#[tokio::test]
async fn who_waits_for_news_is_not_woken_by_the_same_answer() {
    let restate = Restate::answering(200, empty()).await;
    let (restates, mut woken) = restates();
    let news = Demand { next: Next::News, ..registry(&restate) };
    restates.demand(&wanting("a"), &news, &waiting(LookAgain::At(Timestamp::MAX)), None);
    assert!(next(&mut woken, 2_000).await.is_some(), "the first answer is news");
    while next(&mut woken, 300).await.is_some() {}
    assert_eq!(next(&mut woken, 2_500).await, None);
}

#[rstest]
#[case::who_waits_for_an_answer(Next::Registry, true)]
#[case::who_waits_for_news(Next::News, false)]
#[tokio::test]
async fn a_failure_wakes_again(#[case] waits: Next, #[case] again: bool) {
    let restate = Restate::answering(500, empty()).await;
    let (restates, mut woken) = restates();
    let wanted = Demand { next: waits, ..registry(&restate) };
    restates.demand(&wanting("a"), &wanted, &waiting(LookAgain::At(Timestamp::MAX)), None);
    assert!(next(&mut woken, 5_000).await.is_some(), "that it fails is news");
    while next(&mut woken, 200).await.is_some() {}
    assert_eq!(next(&mut woken, 5_000).await.is_some(), again);
}

/// Between a subscription and the want that keeps it nobody else tidies up.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_others_leave_is_woken() {
    let restate = Restate::answering(200, empty()).await;
    let (restates, mut woken) = restates();
    let (restates, wanted) = (Arc::new(restates), registry(&restate));
    let (others, theirs) = (restates.clone(), wanted.clone());
    let leaving = tokio::task::spawn_blocking(move || {
        for _ in 0..200 {
            others.demand(&wanting("b"), &theirs, &waiting(LookAgain::OnChange), None);
            others.forget(&wanting("b"));
        }
    });
    for _ in 0..200 {
        restates.forget(&wanting("a"));
        restates.demand(&wanting("a"), &wanted, &waiting(LookAgain::OnChange), None);
        assert!(restates.snapshot(&restate.admin()).is_some(), "it is followed");
    }
    leaving.await.unwrap();
    while next(&mut woken, 5_000).await.is_some_and(|name| name != "a") {}
    assert!(restates.snapshot(&restate.admin()).unwrap().registry.is_some());
}

#[tokio::test]
async fn nothing_is_asked_for_whom_nobody_asks() {
    let restate = Restate::answering(200, empty()).await;
    let (restates, mut woken) = restates();
    restates.demand(&wanting("a"), &registry(&restate), &waiting(LookAgain::OnSnapshot), None);
    assert!(next(&mut woken, 2_000).await.is_some());
    let nothing = Demand { registry: false, next: Next::News, ..registry(&restate) };
    restates.demand(&wanting("a"), &nothing, &Outcome::Settled, None);
    assert!(restates.snapshot(&restate.admin()).is_none(), "what was known would only grow old");
    let before = restate.asked().len();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(restate.asked().len() <= before + 1, "one question may have been under way");
}

#[tokio::test]
async fn one_poller_asks_for_everybody() {
    let restate = Restate::answering(200, empty()).await;
    let (restates, mut woken) = restates();
    for name in ["a", "b", "c"] {
        restates.demand(&wanting(name), &registry(&restate), &waiting(LookAgain::OnChange), None);
    }
    let mut names = std::collections::BTreeSet::new();
    while names.len() < 3 {
        names.extend(next(&mut woken, 2_000).await);
    }
    let lists = restate.asked().iter().filter(|asked| asked.contains("/deployments")).count();
    assert!(lists <= 2, "{:?}", restate.asked());
}

/// Many share one Restate: what it says of one of them is no reason to look at the others.
#[tokio::test]
async fn an_answer_that_concerns_somebody_else_wakes_nobody() {
    let restate = Restate::answering(200, empty()).await;
    let (restates, mut woken) = restates();
    let news = Demand { next: Next::News, ..registry(&restate) };
    restates.demand(&wanting("a"), &news, &waiting(LookAgain::OnChange), None);
    assert!(next(&mut woken, 2_000).await.is_some(), "the first answer is news");
    while next(&mut woken, 300).await.is_some() {}
    let other = json!({"id": "dp_b", "uri": "http://b-64f4f8f8b6.shop:9080/", "services": []});
    restate.answers(200, json!({"deployments": [other], "services": []}));
    let asked = restate.asked().len();
    assert_eq!(next(&mut woken, 2_500).await, None);
    assert!(restate.asked().len() > asked, "it was asked and has answered");
    restate.answers(500, empty());
    assert!(next(&mut woken, 5_000).await.is_some(), "it ceases to answer");
}
