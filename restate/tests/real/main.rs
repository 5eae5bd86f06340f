//! Every call against a real Restate, which these tests start themselves where `RESTATE_TEST_SERVER` names its
//! program. What they assert are facts about the server that the product relies on.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

mod server;
mod service;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use restate_client::action::{Acted, Action, Onto};
use restate_client::admin::{Accepted, Deregistered, Error, Registration};
use restate_client::node::{self, Membership, Provision};
use restate_client::poller::{NoObserver, Pace};
use restate_client::query::{
    Bounds, Column, Condition, Cut, FreeQuery, Scope, Wanted, fault_of_statement, word,
};
use restate_client::{Admin, Demand, Pollers};
use restate_model::{DeploymentId, FailureKind, InvocationId, Load, ServiceName, UsageReport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use server::{Server, eventually, transport};
use service::Service;

fn small() -> Provision {
    Provision {
        partitions: Some(2),
        log_provider: Some("replicated".into()),
        log_replication: Some("1".into()),
        partition_replication: Some("1".into()),
        ..Provision::default()
    }
}

async fn provisioned() -> Option<Server> {
    let server = Server::start().await?;
    server.node().provision(&small()).await.unwrap();
    eventually("partitions are placed", || async { server.admin().usage().await.ok() }).await;
    Some(server)
}

#[tokio::test]
async fn provisioning_happens_once_and_shows_at_the_node() {
    let Some(server) = Server::start().await else { return };
    let node = server.node();
    let before = eventually("the node waits", || async {
        node.ident().await.ok().filter(|ident| ident.membership() == Membership::None)
    })
    .await;
    assert_eq!((before.cluster_name.as_str(), before.node_id), ("real", None));

    let dry = node.provision(&Provision { dry_run: true, ..small() }).await.unwrap();
    assert_eq!((dry.partitions, dry.log_provider.as_str()), (2, "replicated"));
    assert_eq!(node.ident().await.unwrap().membership(), Membership::None, "a dry run does nothing");

    let done = node.provision(&small()).await.unwrap();
    assert_eq!(done, dry, "it did what it had said");
    let again = node.provision(&small()).await.unwrap_err();
    assert!(matches!(again, node::Error::AlreadyProvisioned { .. }), "{again:?}");
    assert_eq!(
        node.provision(&Provision { dry_run: true, ..small() }).await.unwrap(),
        dry,
        "it does not notice"
    );

    // At once by its metadata server's word, a moment later by its id, too.
    assert_eq!(node.ident().await.unwrap().membership(), Membership::Member);
    let joined = || async { node.ident().await.ok().filter(|ident| ident.node_id.is_some()) };
    assert_eq!(eventually("the node has an id", joined).await.node_id, Some(1));
    let configuration =
        eventually("the configuration is there", || async { node.configuration().await.ok() }).await;
    assert_eq!(configuration, done);
    let written = || async { node.logs().await.ok().filter(|found| !found.logs.is_empty()) };
    let logs = eventually("there are logs", written).await.logs;
    let newest = |log: &node::LogChain| log.segments.last().unwrap().replication.clone();
    let said: Vec<_> = logs.iter().map(|log| (log.id, newest(log))).collect();
    let said: Vec<_> = said.iter().map(|(id, text)| (*id, text.as_deref())).collect();
    assert_eq!(said, [(0, Some("{node: 1}")), (1, Some("{node: 1}"))], "as many as partitions");
    let health = node.cluster_health().await.unwrap();
    assert_eq!((health.cluster_name.as_str(), health.metadata_members.as_slice()), ("real", [1].as_slice()));
}

#[tokio::test]
async fn a_configuration_is_changed_as_it_was_written_and_nodes_are_listed() {
    let Some(server) = provisioned().await else { return };
    let node = server.node();
    let before = eventually("the configuration is there", || async { node.configuration().await.ok() }).await;
    let wanted = node::Configuration {
        partition_replication: Some("{node: 2}".to_owned()),
        log_replication: Some("{node: 2}".to_owned()),
        ..before.clone()
    };
    node.configure(&wanted).await.unwrap();
    assert_eq!(node.configuration().await.unwrap(), wanted, "also where there are too few nodes for it");
    node.configure(&before).await.unwrap();
    assert_eq!(node.configuration().await.unwrap(), before);

    let listed = node.members().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, &listed[0].storage), (1, &node::StorageState::ReadWrite));
}

#[tokio::test]
async fn a_nodes_states_are_changed_and_what_is_on_it_is_told() {
    let Some(server) = provisioned().await else { return };
    let node = server.node();
    let before = node.nodes().await.unwrap();
    let [only] = before.nodes.as_slice() else { panic!("{before:?}") };
    let change = |to| node::Change { node: only.id, name: only.name.clone(), to };
    let draining = [
        change(node::Become::Storage(node::StorageState::ReadOnly)),
        change(node::Become::Worker(node::WorkerState::Draining)),
    ];
    let stale = node.change_nodes(before.version - 1, &draining).await.unwrap_err();
    assert!(matches!(stale, node::Error::Changed { .. }), "{stale:?}");
    let version = node.change_nodes(before.version, &draining).await.unwrap();
    let after = node.nodes().await.unwrap();
    assert_eq!((after.version, version), (before.version + 1, before.version + 1));
    let found = (&after.nodes[0].storage, &after.nodes[0].worker);
    assert_eq!(found, (&node::StorageState::ReadOnly, &node::WorkerState::Draining));
    let back = [
        change(node::Become::Storage(node::StorageState::ReadWrite)),
        change(node::Become::Worker(node::WorkerState::Active)),
    ];
    node.change_nodes(version, &back).await.unwrap();
    assert_eq!(node.nodes().await.unwrap().nodes, before.nodes, "everything else stayed as it was");

    let logs = node.logs().await.unwrap().logs;
    assert_eq!(logs.iter().map(|log| log.id).collect::<Vec<_>>(), [0, 1]);
    assert!(logs.iter().flat_map(|log| &log.segments).all(|segment| segment.held == node::Held::By(vec![1])));
    assert!(node.replicas(1).await.unwrap().current.iter().all(|id| *id == 1));
    assert!(node.replicas(7).await.is_err(), "a partition that is not there has no word");
    let servers = node.metadata_servers().await.unwrap();
    assert_eq!((servers.leader, servers.members.len()), (Some(1), 1));
    assert!(node.leave_metadata(servers.members[0]).await.is_err(), "the last one stays");
    assert!(node.create_snapshot(0, None, false).await.is_err(), "there is nowhere to put it");
}

#[tokio::test]
async fn snapshots_are_refused_without_a_store() {
    let Some(server) = provisioned().await else { return };
    // Until the cluster's controller knows who runs the partition, it finds nobody to ask.
    let refused = || async {
        let error = server.node().create_snapshot_within(0, Duration::from_secs(20)).await.unwrap_err();
        error.lacks_snapshot_store().then_some(())
    };
    eventually("the missing store to be named", refused).await;
}

fn wish(service: &Service, force: bool) -> Registration {
    Registration { uri: service.uri(), force, breaking: false, use_http_11: true }
}

async fn register(admin: &Admin, service: &Service, force: bool) -> Accepted {
    admin.register(&wish(service, force)).await.unwrap()
}

async fn routed(admin: &Admin, service: &str) -> DeploymentId {
    let registry = admin.registry().await.unwrap().value;
    let name = ServiceName::from(service);
    let found = admin.service(&name).await.unwrap();
    assert_eq!(
        found.as_ref(),
        registry.services.get(&name).map(std::sync::Arc::as_ref),
        "one by one, it says the same"
    );
    assert_eq!(admin.service(&ServiceName::from("nobody")).await.unwrap(), None);
    found.unwrap().deployment
}

async fn usage(admin: &Admin) -> UsageReport {
    admin.usage().await.unwrap().value
}

async fn load_becomes(admin: &Admin, id: &DeploymentId, what: impl Fn(Load) -> bool) {
    eventually("the load becomes what it should", || async {
        usage(admin).await.load(id).filter(|load| what(*load))
    })
    .await;
}

/// A call without waiting for its answer: `POST /service/handler/send`.
async fn send(server: &Server, path: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.ingress())).await.unwrap();
    let request =
        format!("POST {path} HTTP/1.1\r\nhost: restate\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202") || answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn registration_moves_routing_only_when_it_should() {
    let Some(server) = provisioned().await else { return };
    let admin = server.admin();
    admin.health().await.unwrap();
    let version = admin.version().await.unwrap();
    assert!((2..=4).contains(&version.max_admin_api_version), "{version:?}");

    let [one, two] = [Service::start("s", "SERVICE").await, Service::start("s", "SERVICE").await];
    admin.rehearse(&wish(&one, false)).await.unwrap();
    assert!(admin.registry().await.unwrap().value.services.is_empty(), "a rehearsal leaves nothing behind");
    let first = register(&admin, &one, false).await;
    let second = register(&admin, &two, false).await;
    assert!(first.new && second.new);
    assert_eq!(routed(&admin, "s").await, second.id);

    let known = register(&admin, &one, false).await;
    assert_eq!((&known.id, known.new), (&first.id, false));
    assert_eq!(routed(&admin, "s").await, second.id, "without force routing stays");
    let forced = register(&admin, &one, true).await;
    assert_eq!((&forced.id, forced.new, forced.services[0].revision), (&first.id, false, 3));
    assert_eq!(routed(&admin, "s").await, first.id, "with force it moves");
    let registry = admin.registry().await.unwrap().value;
    assert_eq!(registry.at_endpoint(&one.uri()).map(|(id, _)| id), Some(&first.id));

    assert_eq!(admin.deregister(&first.id).await.unwrap(), Deregistered::Acknowledged);
    assert_eq!(admin.deregister(&first.id).await.unwrap(), Deregistered::NotFound);
    let back = register(&admin, &one, false).await;
    assert!(back.new && back.id != first.id, "after a DELETE the address gets a new id");
}

#[tokio::test]
async fn refusals_say_whether_they_may_pass() {
    let Some(server) = provisioned().await else { return };
    let admin = server.admin();
    let service = Service::start("s", "SERVICE").await;
    let changed = Service::start("s", "VIRTUAL_OBJECT").await;
    register(&admin, &service, false).await;

    let error = admin.register(&wish(&changed, false)).await.unwrap_err();
    assert_refused(&error, Some("META0006"), true);
    assert_refused(&admin.rehearse(&wish(&changed, false)).await.unwrap_err(), Some("META0006"), true);
    let gone = Registration { uri: "http://127.0.0.1:1/".into(), ..wish(&service, false) };
    assert_refused(&admin.register(&gone).await.unwrap_err(), Some("META0003"), false);
    assert_refused(&admin.rehearse(&gone).await.unwrap_err(), Some("META0003"), false);
    let not_an_sdk = Registration { uri: server.endpoint().url().to_string(), ..wish(&service, false) };
    assert_refused(&admin.register(&not_an_sdk).await.unwrap_err(), Some("META0003"), false);
    let only_http1 = Registration { use_http_11: false, ..wish(&changed, false) };
    assert_refused(&admin.register(&only_http1).await.unwrap_err(), Some("META0014"), false);
    let no_uri = Registration { uri: "no uri".into(), ..wish(&service, false) };
    assert_refused(&admin.register(&no_uri).await.unwrap_err(), None, true);

    // A new address with force: the type changes without a word. Force is for known addresses.
    let forced = register(&admin, &changed, true).await;
    assert!(forced.new);
    assert_eq!(routed(&admin, "s").await, forced.id);
}

fn assert_refused(error: &Error, code: Option<&str>, is_final: bool) {
    let refused = error.refused().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!((refused.code.as_deref(), error.is_final()), (code, is_final), "{refused:?}");
}

#[tokio::test]
async fn usage_holds_what_runs_and_what_waits() {
    let Some(server) = provisioned().await else { return };
    let admin = server.admin();
    let [one, two] = [Service::start("s", "SERVICE").await, Service::start("s", "SERVICE").await];
    let object = Service::start("o", "VIRTUAL_OBJECT").await;
    let first = register(&admin, &one, false).await.id;
    let held = register(&admin, &object, false).await.id;
    assert!(usage(&admin).await.load(&first).unwrap().is_idle());
    assert_eq!(usage(&admin).await.load(&DeploymentId::from("dp_other")), None);

    send(&server, "/s/hang/send").await;
    load_becomes(&admin, &first, |load| load.in_flight_unpinned == 1 && load.pinned.total() == 0).await;
    let second = register(&admin, &two, false).await.id;
    assert!(usage(&admin).await.load(&second).unwrap().is_idle());
    assert!(!usage(&admin).await.load(&first).unwrap().is_idle(), "superseded, and still running an attempt");

    send(&server, "/s/hang/send?delay=1h").await;
    send(&server, "/o/key/hang/send").await;
    send(&server, "/o/key/hang/send").await;
    load_becomes(&admin, &held, |load| load.in_flight_unpinned == 1).await;
    let report = usage(&admin).await;
    let unpinned = |name: &str| report.unpinned[&ServiceName::from(name)];
    assert_eq!((unpinned("s").running, unpinned("s").scheduled), (1, 1));
    assert_eq!((unpinned("o").running, unpinned("o").inboxed), (1, 1));
    assert!(report.load(&second).unwrap().is_idle(), "scheduled work is the service's, not the deployment's");
}

#[tokio::test]
async fn free_queries_are_bounded() {
    let Some(server) = provisioned().await else { return };
    let admin = server.admin();
    let bounds = Bounds { rows: 2, bytes: 100_000, deadline: Duration::from_secs(5) };
    let query = FreeQuery::new("SELECT * FROM (VALUES (1), (2), (3)) AS t(n) ORDER BY n;").unwrap();
    let rows = admin.query(&query, bounds).await.unwrap();
    assert_eq!((rows.rows.len(), rows.cut), (2, Some(Cut::Rows)));
    assert_eq!(rows.rows[0]["n"], 1);
    let broken = FreeQuery::new("select nothing from nowhere").unwrap();
    let error = admin.query(&broken, bounds).await.unwrap_err();
    assert!(error.words().contains("nowhere"), "{}", error.words());
    let long = FreeQuery::new("select value from generate_series(1, 100000)").unwrap();
    let long = admin.query(&long, Bounds { rows: 100_000, ..bounds }).await.unwrap();
    assert_eq!((long.cut, long.rows.is_empty()), (Some(Cut::Bytes), false));
    assert!(fault_of_statement(&error).is_some(), "{error:?}");
    assert!(admin.explain(&query, bounds.deadline).await.is_ok());
    assert!(fault_of_statement(&admin.explain(&broken, bounds.deadline).await.unwrap_err()).is_some());
}

#[tokio::test]
async fn a_poller_follows_a_restate_and_notices_its_end() {
    let Some(server) = provisioned().await else { return };
    let service = Service::start("s", "SERVICE").await;
    let pollers = Pollers::new(&transport(), Pace::default(), Arc::new(NoObserver));
    let subscription = pollers.subscribe(&server.endpoint());
    let id = register(&server.admin(), &service, false).await.id;
    let moment = Timestamp::now();
    let snapshot = subscription.fresh_after(moment, Demand::Usage).await.unwrap();
    assert!(snapshot.registry.as_ref().unwrap().value.deployments.contains_key(&id));
    assert!(snapshot.usage.as_ref().unwrap().value.load(&id).unwrap().is_idle());

    let mut changes = subscription.changes();
    changes.mark_unchanged();
    let held = subscription.demand(Demand::Usage);
    send(&server, "/s/hang/send").await;
    let busy = changes.wait_for(|snapshot| {
        snapshot.usage.as_ref().and_then(|usage| usage.value.load(&id)).is_some_and(|load| !load.is_idle())
    });
    tokio::time::timeout(Duration::from_secs(10), busy).await.unwrap().unwrap();
    drop(server);
    let failure = subscription.fresh_after(Timestamp::now(), Demand::Usage).await.unwrap_err();
    assert!(matches!(failure.kind, FailureKind::Unreachable | FailureKind::Malformed), "{failure:?}");
    assert!(subscription.snapshot().usage.is_some(), "the last reading stays, and grows old");
    drop(held);
}

/// The invocations of a service, by state.
async fn by_state(admin: &Admin, scope: &Scope) -> BTreeMap<&'static str, Vec<InvocationId>> {
    let wanted = Wanted { scope: scope.clone(), limit: 100, ..Wanted::default() };
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for invocation in admin.invocations(&wanted).await.unwrap() {
        found.entry(word(invocation.state)).or_default().push(invocation.id);
    }
    found
}

#[tokio::test]
async fn invocations_are_seen_within_their_scope_and_page_by_page() {
    let Some(server) = provisioned().await else { return };
    let admin = server.admin();
    let [mine, theirs] = [Service::start("s", "SERVICE").await, Service::start("x", "SERVICE").await];
    let own = register(&admin, &mine, false).await.id;
    register(&admin, &theirs, false).await;
    for _ in 0..5 {
        send(&server, "/s/hang/send?delay=1h").await;
    }
    send(&server, "/x/hang/send?delay=1h").await;
    let scope = Scope { deployments: [own].into(), services: ["s".into()].into() };
    let mut seen = Vec::new();
    loop {
        let wanted =
            Wanted { scope: scope.clone(), after: seen.last().cloned(), limit: 2, ..Wanted::default() };
        let page = admin.invocations(&wanted).await.unwrap();
        seen.extend(page.iter().map(|invocation| invocation.id.clone()));
        assert!(page.iter().all(|invocation| invocation.target.service == ServiceName::from("s")));
        if page.len() < 2 {
            break;
        }
    }
    assert_eq!((seen.len(), seen.is_sorted()), (5, true));
    let key = |value: &str| Condition { column: Column::Key, is: true, values: vec![value.to_owned()] };
    for attempt in ["' OR '1'='1", "\\' OR TRUE --", "'; select 1", "/*", "\u{0}"] {
        let wanted = Wanted { conditions: vec![key(attempt)], limit: 10, scope: scope.clone(), after: None };
        assert_eq!(admin.invocations(&wanted).await.unwrap(), [], "{attempt}");
    }
    let foreign = Scope { services: ["x".into()].into(), ..Scope::default() };
    assert_eq!(admin.invocation(&foreign, &seen[0]).await.unwrap(), None);
    let routed = Scope { services: ["s".into()].into(), ..Scope::default() };
    assert!(admin.invocation(&routed, &seen[0]).await.unwrap().is_some(), "bound to nothing yet");
    assert_eq!(
        admin.invocation(&scope, &seen[0]).await.unwrap().map(|found| found.id),
        Some(seen[0].clone())
    );
}

/// The facts that the aggregated API's dry runs rest on.
#[tokio::test]
async fn actions_are_answered_as_is_written_here() {
    let Some(server) = provisioned().await else { return };
    let admin = server.admin();
    let object = Service::start("o", "VIRTUAL_OBJECT").await;
    let id = register(&admin, &object, false).await.id;
    let scope = Scope { deployments: [id].into(), services: ["o".into()].into() };
    for path in ["/o/key/hang/send", "/o/key/hang/send", "/o/other/hang/send?delay=1h"] {
        send(&server, path).await;
    }
    let states = eventually("one of each", || async {
        let states = by_state(&admin, &scope).await;
        (states.len() == 3).then_some(states)
    })
    .await;
    let [running, inboxed, scheduled] = ["running", "pending", "scheduled"].map(|state| &states[state][0]);
    let onto_latest = Action::Resume { onto: Some(Onto::Latest) };
    let restart = Action::Restart { from: None, onto: None };
    for (id, action, status) in [
        (running, Action::Purge, 409),
        (running, restart.clone(), 409),
        (running, onto_latest, 409),
        (inboxed, Action::Pause, 409),
        (inboxed, Action::Resume { onto: None }, 425),
        (scheduled, Action::Purge, 409),
        (scheduled, restart, 425),
    ] {
        let error = admin.act(id, &action).await.unwrap_err();
        assert_eq!(error.refused().map(|refused| refused.status.as_u16()), Some(status), "{action:?}");
    }
    assert_eq!(admin.act(running, &Action::Resume { onto: None }).await.unwrap(), Acted::Done);
    assert_eq!(admin.act(scheduled, &Action::Cancel).await.unwrap(), Acted::Done);
    assert_eq!(admin.act(inboxed, &Action::Kill).await.unwrap(), Acted::Done);
    let unknown = InvocationId::from("inv_1gcM2zdaqxx73ieDvWr0x4VrZRl82mzBL7");
    let error = admin.act(&unknown, &Action::Cancel).await.unwrap_err();
    assert_eq!(error.refused().map(|refused| refused.status.as_u16()), Some(404));
    assert_eq!(admin.act(running, &Action::Kill).await.unwrap(), Acted::Done);
}
