use std::time::Instant;

use rstest::rstest;

use super::*;
use crate::rig::Reviewer;

fn things(name: &str) -> Attributes {
    Attributes::Resource(Box::new(ResourceAttributes {
        verb: "list".to_owned(),
        group: "example.dev".to_owned(),
        version: "v1".to_owned(),
        resource: "things".to_owned(),
        namespace: Some("shop".to_owned()),
        name: Some(name.to_owned()),
        fields: vec![Requirement {
            key: "metadata.name".to_owned(),
            operator: Operator::In,
            values: vec![name.to_owned()],
        }],
        labels: vec![Requirement { key: "old".to_owned(), operator: Operator::DoesNotExist, values: vec![] }],
        ..ResourceAttributes::default()
    }))
}

fn path(path: &str) -> Attributes {
    Attributes::Path { verb: "get".to_owned(), path: path.to_owned() }
}

fn authorizer(reviewer: &Reviewer) -> Authorizer {
    Authorizer::new(reviewer.client(), Metrics::unread())
}

async fn allowed(authorizer: &Authorizer, user: &User, attributes: &Attributes) -> bool {
    authorizer.check(user, attributes).await.unwrap().is_allowed()
}

#[tokio::test]
async fn z1_z4_the_question_holds_everything() {
    let reviewer = Reviewer::default();
    let user = User {
        uid: Some("42".to_owned()),
        groups: vec!["dev".to_owned()],
        extra: [("scopes".to_owned(), vec!["read".to_owned()])].into(),
        ..User::named("alice")
    };
    assert!(allowed(&authorizer(&reviewer), &user, &things("a")).await);
    insta::assert_json_snapshot!(reviewer.questions());
}

/// `==a` names no field, and kube-apiserver answers no question about it.
#[test]
fn z4_a_requirement_about_nothing_is_not_asked_about() {
    let Attributes::Resource(mut resource) = things("a") else { panic!("a resource") };
    let about_nothing = Requirement { key: String::new(), ..resource.fields[0].clone() };
    let fields_of = |resource: &ResourceAttributes| {
        let asked = review::question(&User::default(), &Attributes::Resource(Box::new(resource.clone())));
        let selector = asked.spec.resource_attributes.unwrap().field_selector;
        selector.and_then(|selector| selector.requirements).map_or(0, |each| each.len())
    };
    resource.fields.push(about_nothing.clone());
    assert_eq!(fields_of(&resource), 1);
    resource.fields = vec![about_nothing];
    assert_eq!(fields_of(&resource), 0);
}

#[tokio::test]
async fn z5_paths_are_asked_as_paths() {
    let reviewer = Reviewer::default();
    assert!(!allowed(&authorizer(&reviewer), &User::named("bob"), &path("/metrics")).await);
    let asked = reviewer.questions().remove(0);
    assert_eq!(asked.non_resource_attributes.unwrap().path.as_deref(), Some("/metrics"));
    assert!(asked.resource_attributes.is_none());
}

#[tokio::test]
async fn z6_health_and_masters_are_not_asked_about() {
    let reviewer = Reviewer::default();
    let authorizer = authorizer(&reviewer);
    let master = User { groups: vec![MASTERS.to_owned()], ..User::named("root") };
    assert!(allowed(&authorizer, &master, &things("a")).await);
    assert!(allowed(&authorizer, &User::anonymous(), &path("/readyz/ping")).await);
    assert!(reviewer.questions().is_empty());
    assert!(!allowed(&authorizer, &User::anonymous(), &path("/readyzzz")).await, "a prefix is not a child");
    let post = Attributes::Path { verb: "post".to_owned(), path: "/readyz".to_owned() };
    assert!(!allowed(&authorizer, &User::anonymous(), &post).await);
}

#[tokio::test]
async fn m6_more_paths_can_be_opened() {
    let reviewer = Reviewer::default();
    let authorizer = authorizer(&reviewer).allowing(&["/metrics".to_owned()]);
    assert!(allowed(&authorizer, &User::anonymous(), &path("/metrics")).await);
}

#[tokio::test]
async fn z7_answers_are_remembered_for_the_very_user_and_the_very_question() {
    let reviewer = Reviewer::default();
    let authorizer = authorizer(&reviewer);
    let alice = User::named("alice");
    for _ in 0..3 {
        assert!(allowed(&authorizer, &alice, &things("a")).await);
        assert!(!allowed(&authorizer, &User::named("bob"), &things("a")).await);
    }
    assert_eq!(reviewer.questions().len(), 2);
    let variants = [
        User { uid: Some("1".to_owned()), ..alice.clone() },
        User { groups: vec!["dev".to_owned()], ..alice.clone() },
        User { extra: [("a".to_owned(), vec!["b".to_owned()])].into(), ..alice.clone() },
    ];
    for variant in &variants {
        allowed(&authorizer, variant, &things("a")).await;
    }
    allowed(&authorizer, &alice, &things("b")).await;
    assert_eq!(reviewer.questions().len(), 6, "each is another question");
}

#[tokio::test]
async fn z7_large_questions_are_not_remembered() {
    let reviewer = Reviewer::default();
    let authorizer = authorizer(&reviewer);
    let large = things(&"x".repeat(LARGEST));
    for _ in 0..2 {
        assert!(allowed(&authorizer, &User::named("alice"), &large).await);
    }
    assert_eq!(reviewer.questions().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn z10_failure_is_an_error_and_is_not_remembered() {
    let reviewer = Reviewer::default();
    let authorizer = authorizer(&reviewer);
    reviewer.fail(true);
    let alice = User::named("alice");
    assert!(matches!(authorizer.check(&alice, &things("a")).await, Err(Error::Review { .. })));
    reviewer.fail(false);
    assert!(allowed(&authorizer, &alice, &things("a")).await);
}

#[tokio::test]
async fn z10_what_cannot_be_evaluated_is_an_error() {
    let answer = authorizer(&Reviewer::default()).check(&User::named("odd"), &things("a")).await;
    assert!(matches!(answer, Err(Error::Evaluation { message }) if message == "broken"));
}

/// P6: a question that kube-apiserver takes for nonsense is the asker's fault, and no reason to take the server out.
#[rstest]
#[case(400, true)]
#[case(413, true)]
#[case(422, true)]
#[case(401, false)]
#[case(403, false)]
#[case(429, false)]
#[case(500, false)]
#[tokio::test(start_paused = true)]
async fn p6_who_refuses_a_question_has_been_reached(#[case] code: u16, #[case] reached: bool) {
    let reviewer = Reviewer::default();
    let authorizer = authorizer(&reviewer);
    for seconds in [40, 20] {
        let before = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        authorizer.reachability.saw_at(false, before);
    }
    reviewer.refuse(code);
    assert!(authorizer.check(&User::named("alice"), &things("a")).await.is_err(), "Z10");
    assert_eq!(authorizer.reachability.verdict().is_ok(), reached);
}

/// No URL is longer than 64 KiB, so no selector makes a question that is too large for kube-apiserver.
#[rstest]
#[case("labelSelector=", "a,")]
#[case("labelSelector=", "!a,")]
#[case("fieldSelector=", "a=,")]
fn z4_the_longest_selector_is_a_question_that_is_read(#[case] selector: &str, #[case] requirement: &str) {
    let base = format!("/apis/example.dev/v1/things?{selector}");
    let room = usize::from(u16::MAX) - 1 - base.len() - 1;
    let query = requirement.repeat(room / requirement.len()) + "a";
    let text = if selector.starts_with("field") { query.trim_end_matches('a') } else { &query };
    let uri = format!("{base}{text}").parse().unwrap();
    assert!(format!("{base}{text}aaaa").parse::<http::Uri>().is_err(), "the longest");
    let attributes = crate::request_info::RequestInfo::of(&http::Method::GET, &uri).attributes();
    assert!(attributes.resource().is_some_and(|asked| asked.labels.len() + asked.fields.len() > 20_000));
    let question = review::question(&User::named("alice"), &attributes);
    let size = serde_json::to_vec(&question).unwrap().len();
    assert!((500_000..3 * 1024 * 1024 / 2).contains(&size), "{size}");
}
