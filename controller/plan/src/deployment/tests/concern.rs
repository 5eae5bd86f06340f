//! Whom an answer concerns: never too few.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use restate_model::{Counts, DeploymentId, Load, Registered, Registry, ServiceName, Snapshot};

use super::super::*;
use super::properties::{live, story};
use super::world::{Crash, World};

/// Something that the next answer says otherwise.
#[derive(Clone, Debug)]
enum Change {
    Forget(usize),
    Register(&'static str),
    Move(usize, &'static str),
    Offer(usize, &'static str),
    Route(&'static str, usize),
    Unroute(&'static str),
    Pinned(usize, u64),
    InFlight(usize, u64),
    Unpinned(&'static str, u64),
    Unnamed(usize),
    Routed(usize),
}

const SERVICES: [&str; 4] = ["a", "b", "other", "another"];
const ENDPOINTS: [&str; 4] = [
    "http://elsewhere:9080/",
    "http://other-64f4f8f8b6.shop.svc.cluster.local:9080/",
    "http://greeter-64f4f8f8b6.bank.svc.cluster.local:9080/",
    "http://greeter-64f4f8f8b6.shop.svc.cluster.local:9080/",
];

fn change() -> impl Strategy<Value = Change> {
    let (id, count) = (0..5_usize, 0..3_u64);
    let (service, endpoint) = (prop::sample::select(&SERVICES[..]), prop::sample::select(&ENDPOINTS[..]));
    prop_oneof![
        id.clone().prop_map(Change::Forget),
        endpoint.clone().prop_map(Change::Register),
        (id.clone(), endpoint).prop_map(|(id, endpoint)| Change::Move(id, endpoint)),
        (id.clone(), service.clone()).prop_map(|(id, service)| Change::Offer(id, service)),
        (service.clone(), id.clone()).prop_map(|(service, id)| Change::Route(service, id)),
        service.clone().prop_map(Change::Unroute),
        (id.clone(), count.clone()).prop_map(|(id, count)| Change::Pinned(id, count)),
        (id.clone(), count.clone()).prop_map(|(id, count)| Change::InFlight(id, count)),
        (service, count).prop_map(|(service, count)| Change::Unpinned(service, count)),
        id.clone().prop_map(Change::Unnamed),
        id.prop_map(Change::Routed),
    ]
}

fn id_at(registry: &Registry, index: usize) -> Option<DeploymentId> {
    registry.deployments.keys().nth(index).cloned()
}

fn say(snapshot: &mut Snapshot, change: &Change) -> Option<()> {
    let registry = Arc::make_mut(&mut snapshot.registry.as_mut()?.value);
    let report = snapshot.usage.as_mut().map(|reading| &mut reading.value);
    match *change {
        Change::Forget(index) => drop(registry.deployments.remove(&id_at(registry, index)?)),
        Change::Register(endpoint) => {
            drop(registry.deployments.insert("dp_new".into(), registered(endpoint, &["other"]).into()));
        }
        Change::Move(index, endpoint) => {
            let moved = registry.deployments.get_mut(&id_at(registry, index)?)?;
            Arc::make_mut(moved).endpoint = endpoint.to_owned();
        }
        Change::Offer(index, service) => {
            let offered = registered("", &[service]).services;
            let offers = registry.deployments.get_mut(&id_at(registry, index)?)?;
            Arc::make_mut(offers).services.extend(offered);
        }
        Change::Route(service, index) => {
            let id = id_at(registry, index)?;
            let like = registry.services.values().next()?.as_ref().clone();
            let routed = restate_model::Service { name: service.into(), deployment: id, ..like };
            drop(registry.services.insert(service.into(), routed.into()));
        }
        Change::Unroute(service) => drop(registry.services.remove(&ServiceName::from(service))),
        Change::Pinned(index, count) => load(registry, report?, index)?.pinned.running = count,
        Change::InFlight(index, count) => load(registry, report?, index)?.in_flight_unpinned = count,
        Change::Unpinned(service, count) => {
            let counts = Counts { inboxed: count, ..Counts::default() };
            report?.unpinned.insert(service.into(), counts);
        }
        Change::Unnamed(index) => {
            report?.known.remove(&id_at(registry, index)?);
        }
        Change::Routed(index) => {
            report?.routed.insert(id_at(registry, index)?);
        }
    }
    Some(())
}

fn load<'r>(
    registry: &Registry,
    report: &'r mut restate_model::UsageReport,
    index: usize,
) -> Option<&'r mut Load> {
    Some(report.deployments.entry(id_at(registry, index)?).or_default())
}

fn registered(endpoint: &str, services: &[&str]) -> Registered {
    let revision =
        |name: &&str| restate_model::ServiceRevision { name: ServiceName::from(*name), revision: 1 };
    let services = services.iter().map(revision).collect();
    Registered { endpoint: endpoint.to_owned(), created_at: None, services, http11: false }
}

fn with(world: &World, snapshot: &Snapshot) -> Seen {
    Seen { snapshot: Some(Arc::new(snapshot.clone())), ..world.seen() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// An answer that does not concern an object changes nothing about it: nobody has to be woken to find that out.
    #[test]
    fn what_does_not_concern_an_object_changes_no_decision_about_it(
        story in story(),
        changes in prop::collection::vec(change(), 1..4),
        foreign in 0..3_usize,
    ) {
        let mut world = live(&story);
        for service in SERVICES.iter().skip(4 - foreign) {
            world.register_at(&format!("http://{service}:9080/"), &[service], false);
        }
        world.poll();
        let Some(before) = world.snapshot.clone() else { return Ok(()) };
        let mut after = Snapshot::clone(&before);
        for change in &changes {
            let _said = say(&mut after, change);
        }
        let decision = decide(&with(&world, &before), world.now);
        if !Difference::between(&before, &after).concerns(&decision.demand.interest) {
            prop_assert_eq!(decision, decide(&with(&world, &after), world.now));
        }
    }
}

/// What a later question to the same Restate answers, where nothing happened.
fn asked_again(snapshot: &Snapshot, usage: bool, now: Timestamp) -> Snapshot {
    let mut later = snapshot.clone();
    if let Some(reading) = &mut later.registry {
        reading.asked_at = now;
    }
    if let Some(reading) = later.usage.as_mut().filter(|_| usage) {
        reading.asked_at = now;
    }
    later
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// Who is not woken by an answer that says the same would do nothing if it were.
    #[test]
    fn the_same_answer_changes_nothing_for_whom_it_does_not_count(story in story(), deleted in any::<bool>()) {
        let mut world = live(&story);
        if deleted {
            world.delete();
            world.pass(Crash::Never);
        }
        let Some(before) = world.snapshot.clone() else { return Ok(()) };
        world.tick(1);
        let decision = decide(&with(&world, &before), world.now);
        let unchanged = match decision.demand.next {
            _ if !decision.demand.registry => &[],
            Next::News => [false, true].as_slice(),
            Next::Usage => &[false],
            Next::Registry => &[],
        };
        for usage in unchanged {
            let after = asked_again(&before, *usage, world.now);
            let again = decide(&with(&world, &after), world.now);
            prop_assert_eq!(&decision.plan, &again.plan, "{:?}", decision.demand);
            prop_assert_eq!(&decision.status, &again.status, "{:?}", decision.demand);
        }
    }
}

/// The other half: what others do at the same Restate concerns them alone.
#[test]
fn a_registration_and_work_of_somebody_else_concern_him_alone() {
    let mut world = World::new();
    world.settle().unwrap();
    let interest = world.decide().demand.interest;
    world.poll();
    let before = world.snapshot.clone().unwrap();
    let mut after = Snapshot::clone(&before);
    let concerned = |after: &Snapshot| Difference::between(&before, after).concerns(&interest);
    assert!(!concerned(&after), "the same answer");
    say(&mut after, &Change::Register(ENDPOINTS[1])).unwrap();
    say(&mut after, &Change::Unpinned("other", 3)).unwrap();
    assert!(!concerned(&after), "a neighbour");
    let none = Snapshot { usage: None, ..Snapshot::clone(&before) };
    assert!(concerned(&none), "what was known is gone");
    for change in [Change::Register(ENDPOINTS[3]), Change::Unpinned("a", 1), Change::Unroute("a")] {
        let mut after = Snapshot::clone(&before);
        say(&mut after, &change).unwrap();
        assert!(concerned(&after), "{change:?}");
    }
}
