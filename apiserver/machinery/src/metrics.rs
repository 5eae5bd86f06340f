//! Metrics under the names that dashboards for Kubernetes API servers know (M1, M2, M3).
//!
//! Invariant: a label value comes from an enum, from the descriptors of our kinds or from a number; what a caller chose
//! is bucketed as `other`. The label `component` is our own, so that rules about kube-apiserver do not count us (M5).

mod labels;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use labels::{Component, Counted, Kind, Result as ResultLabel, Terminated, Username, WatchLabels};
pub use labels::{Outcome, RequestKind, RequestLabels};

/// Buckets of upstream's request durations.
const SECONDS: [f64; 14] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 10.0, 30.0, 60.0];

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// The metrics of one server. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Families>);

#[derive(Debug)]
struct Families {
    component: &'static str,
    requests: Family<Counted, Counter>,
    durations: Durations<RequestLabels>,
    objectives: Durations<RequestLabels>,
    sizes: Durations<RequestLabels>,
    inflight: Family<Kind, Gauge>,
    longrunning: Family<RequestLabels, Gauge>,
    terminations: Family<Terminated, Counter>,
    aborts: Family<RequestLabels, Counter>,
    watch_events: Family<WatchLabels, Counter>,
    watch_sizes: Durations<WatchLabels>,
    watch_lists: Durations<WatchLabels>,
    authentications: Family<ResultLabel, Gauge>,
    authenticated: Family<Username, Gauge>,
    authentication_seconds: Durations<ResultLabel>,
    authorizations: Family<ResultLabel, Counter>,
    authorization_seconds: Durations<ResultLabel>,
    delegated: Delegated,
    certificate_expiry: Histogram,
    handshake_errors: Counter,
    audit_dropped: Counter,
    serving_expiry: Gauge,
}

#[derive(Debug)]
struct Delegated {
    authn: Family<labels::Code, Counter>,
    authn_seconds: Durations<labels::Code>,
    authz: Family<labels::Code, Counter>,
    authz_seconds: Durations<labels::Code>,
}

/// Which review is asked of kube-apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum Review {
    /// TokenReview.
    Token,
    /// SubjectAccessReview.
    Access,
}

impl Metrics {
    /// Registers all families; `component` is the label value that tells us from kube-apiserver.
    pub fn new(registry: &mut Registry, component: &'static str) -> Self {
        let families = Families::unregistered(component);
        families.register(registry);
        Self(Arc::new(families))
    }

    /// Metrics that nobody reads.
    pub fn unread() -> Self {
        Self::new(&mut Registry::default(), "unread")
    }

    /// The value of the label `component`.
    pub fn component(&self) -> &'static str {
        self.0.component
    }

    /// A request has been answered; `own` is the part of the time that was not spent waiting for others.
    pub fn answered(&self, labels: &RequestLabels, code: u16, took: Duration, own: Duration) {
        self.0.requests.get_or_create(&Counted::new(labels, code)).inc();
        self.0.durations.get_or_create(labels).observe(took.as_secs_f64());
        self.0.objectives.get_or_create(labels).observe(own.as_secs_f64());
    }

    /// The body of an answer has been sent.
    #[expect(clippy::cast_precision_loss, reason = "sizes of answers are far below 2^52")]
    pub fn sent(&self, labels: &RequestLabels, bytes: u64) {
        self.0.sizes.get_or_create(labels).observe(bytes as f64);
    }

    /// A request is being worked on while the guard lives.
    #[must_use]
    pub fn inflight(&self, kind: RequestKind) -> Level {
        Level::raise(self.0.inflight.get_or_create(&Kind::new(kind)).clone())
    }

    /// A long-running request is open while the guard lives.
    #[must_use]
    pub fn longrunning(&self, labels: &RequestLabels) -> Level {
        Level::raise(self.0.longrunning.get_or_create(labels).clone())
    }

    /// We ended a request: by deadline, by load shedding.
    pub fn terminated(&self, labels: &RequestLabels, code: u16) {
        self.0.terminations.get_or_create(&Terminated::new(labels, code)).inc();
    }

    /// The caller went away before the answer.
    pub fn aborted(&self, labels: &RequestLabels) {
        self.0.aborts.get_or_create(labels).inc();
    }

    /// An event was sent to a watcher.
    #[expect(clippy::cast_precision_loss, reason = "sizes of events are far below 2^52")]
    pub fn watch_event(&self, group: &str, version: &str, resource: &str, bytes: usize) {
        let labels = WatchLabels::new(group, version, resource);
        self.0.watch_events.get_or_create(&labels).inc();
        self.0.watch_sizes.get_or_create(&labels).observe(bytes as f64);
    }

    /// The initial events of a WatchList were sent.
    pub fn watch_list(&self, group: &str, version: &str, resource: &str, took: Duration) {
        let labels = WatchLabels::new(group, version, resource);
        self.0.watch_lists.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A caller was authenticated, or not.
    pub fn authentication(&self, outcome: Outcome, took: Duration) {
        let labels = ResultLabel::new(outcome);
        self.0.authentications.get_or_create(&labels).inc();
        self.0.authentication_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        if outcome == Outcome::Success {
            self.0.authenticated.get_or_create(&Username::other()).inc();
        }
    }

    /// A request was authorized, or not.
    pub fn authorization(&self, outcome: Outcome, took: Duration) {
        let labels = ResultLabel::new(outcome);
        self.0.authorizations.get_or_create(&labels).inc();
        self.0.authorization_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// kube-apiserver answered a review, or did not (`code` is then `<error>`).
    pub fn delegated(&self, review: Review, code: Option<u16>, took: Duration) {
        let Delegated { authn, authn_seconds, authz, authz_seconds } = &self.0.delegated;
        let (count, seconds) = match review {
            Review::Token => (authn, authn_seconds),
            Review::Access => (authz, authz_seconds),
        };
        let labels = labels::Code::new(code);
        count.get_or_create(&labels).inc();
        seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A client certificate was used that has this long to live.
    pub fn client_certificate(&self, left: Duration) {
        self.0.certificate_expiry.observe(left.as_secs_f64());
    }

    /// A handshake failed.
    pub fn handshake_failed(&self) {
        self.0.handshake_errors.inc();
    }

    /// The certificate that is served from now on expires then.
    pub fn serving_certificate(&self, expires: jiff::Timestamp) {
        self.0.serving_expiry.set(expires.as_second());
    }

    /// A line of the audit log could not be written in time.
    pub fn audit_dropped(&self) {
        self.0.audit_dropped.inc();
    }
}

/// The text that is scraped.
pub fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = encode(&mut text, registry);
    text
}

/// Holds a gauge up while it lives.
#[derive(Debug)]
pub struct Level(Gauge);

impl Level {
    fn raise(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn bytes() -> Histogram {
    Histogram::new(exponential_buckets(1000.0, 10.0, 7))
}

fn lifetimes() -> Histogram {
    let days = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 7.0, 30.0, 90.0, 180.0, 365.0];
    Histogram::new(days.map(|days| days * 86_400.0))
}

impl Families {
    fn unregistered(component: &'static str) -> Self {
        Self {
            component,
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            objectives: Family::new_with_constructor(seconds),
            sizes: Family::new_with_constructor(bytes),
            inflight: Family::default(),
            longrunning: Family::default(),
            terminations: Family::default(),
            aborts: Family::default(),
            watch_events: Family::default(),
            watch_sizes: Family::new_with_constructor(bytes),
            watch_lists: Family::new_with_constructor(seconds),
            authentications: Family::default(),
            authenticated: Family::default(),
            authentication_seconds: Family::new_with_constructor(seconds),
            authorizations: Family::default(),
            authorization_seconds: Family::new_with_constructor(seconds),
            delegated: Delegated {
                authn: Family::default(),
                authn_seconds: Family::new_with_constructor(seconds),
                authz: Family::default(),
                authz_seconds: Family::new_with_constructor(seconds),
            },
            certificate_expiry: lifetimes(),
            handshake_errors: Counter::default(),
            audit_dropped: Counter::default(),
            serving_expiry: Gauge::default(),
        }
    }

    fn register(&self, registry: &mut Registry) {
        let labels = [(std::borrow::Cow::Borrowed("component"), std::borrow::Cow::Borrowed(self.component))];
        self.register_requests(registry.sub_registry_with_labels(labels.into_iter()));
        self.register_identity(registry);
    }

    /// The suffix `_total` of counters comes with the encoding.
    fn register_requests(&self, registry: &mut Registry) {
        let mut longest = Component::of(registry);
        longest.add("apiserver_request", "Requests by verb, resource and code.", &self.requests);
        longest.add("apiserver_request_duration_seconds", "Time to the answer's head.", &self.durations);
        longest.add("apiserver_request_sli_duration_seconds", "The same, without waits.", &self.objectives);
        longest.add("apiserver_response_sizes", "Bytes of the answers' bodies.", &self.sizes);
        longest.add("apiserver_current_inflight_requests", "Requests being worked on.", &self.inflight);
        longest.add(
            "apiserver_longrunning_requests",
            "Watches and streams that are open.",
            &self.longrunning,
        );
        longest.add("apiserver_request_terminations", "Requests that we ended.", &self.terminations);
        longest.add("apiserver_request_aborts", "Requests that the caller gave up.", &self.aborts);
        longest.add("apiserver_watch_events", "Events sent to watchers.", &self.watch_events);
        longest.add("apiserver_watch_events_sizes", "Bytes of these events.", &self.watch_sizes);
        longest.add("apiserver_watch_list_duration_seconds", "Time of initial events.", &self.watch_lists);
    }

    /// Two of these are counters that upstream names without a suffix: hence gauges, which get none.
    fn register_identity(&self, registry: &mut Registry) {
        let mut all = Component::of(registry);
        all.add("authentication_attempts", "Authentications by result.", &self.authentications);
        all.add("authenticated_user_requests", "Requests of authenticated users.", &self.authenticated);
        all.add("authentication_duration_seconds", "Time to authenticate.", &self.authentication_seconds);
        all.add("authorization_attempts", "Authorizations by result.", &self.authorizations);
        all.add("authorization_duration_seconds", "Time to authorize.", &self.authorization_seconds);
        all.add("apiserver_delegated_authn_request", "TokenReviews by code.", &self.delegated.authn);
        let seconds = &self.delegated.authn_seconds;
        all.add("apiserver_delegated_authn_request_duration_seconds", "Time of TokenReviews.", seconds);
        all.add("apiserver_delegated_authz_request", "SubjectAccessReviews by code.", &self.delegated.authz);
        let seconds = &self.delegated.authz_seconds;
        all.add("apiserver_delegated_authz_request_duration_seconds", "Time of access reviews.", seconds);
        let expiry = &self.certificate_expiry;
        all.add(
            "apiserver_client_certificate_expiration_seconds",
            "Life left in client certificates.",
            expiry,
        );
        all.add("apiserver_tls_handshake_errors", "Handshakes that failed.", &self.handshake_errors);
        let expiry = &self.serving_expiry;
        all.add(
            "apiserver_serving_certificate_expiration_timestamp_seconds",
            "End of the certificate.",
            expiry,
        );
        all.add("apiserver_audit_dropped", "Audit lines that were not written in time.", &self.audit_dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> RequestLabels {
        RequestLabels {
            verb: "LIST".to_owned(),
            group: "example.dev".to_owned(),
            version: "v1".to_owned(),
            resource: "things".to_owned(),
            ..RequestLabels::default()
        }
    }

    #[test]
    fn m1_m3_the_names_are_those_of_upstream() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, "example");
        let second = Duration::from_secs(1);
        metrics.answered(&labels(), 200, second, second);
        metrics.aborted(&labels());
        metrics.terminated(&labels(), 504);
        metrics.watch_event("example.dev", "v1", "things", 10);
        metrics.authentication(Outcome::Success, second);
        metrics.authorization(Outcome::Denied, second);
        metrics.delegated(Review::Token, Some(201), second);
        metrics.delegated(Review::Access, None, second);
        metrics.handshake_failed();
        let text = exposition(&registry);
        for line in [
            r#"apiserver_request_total{component="example",verb="LIST",group="example.dev",version="v1",resource="things",subresource="",scope="",dry_run="",code="200"} 1"#,
            r#"apiserver_request_aborts_total{component="example""#,
            r#"apiserver_watch_events_total{component="example",group="example.dev",version="v1",resource="things"} 1"#,
            r#"authentication_attempts{result="success"} 1"#,
            r#"authenticated_user_requests{username="other"} 1"#,
            r#"authorization_attempts_total{result="denied"} 1"#,
            r#"apiserver_delegated_authn_request_total{code="201"} 1"#,
            r#"apiserver_delegated_authz_request_total{code="<error>"} 1"#,
            "apiserver_tls_handshake_errors_total 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_level_falls_when_its_guard_goes() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, "example");
        let line = |value: u8| {
            format!(r#"inflight_requests{{component="example",request_kind="mutating"}} {value}"#)
        };
        let level = metrics.inflight(RequestKind::Mutating);
        assert!(exposition(&registry).contains(&line(1)));
        drop(level);
        assert!(exposition(&registry).contains(&line(0)));
    }
}
