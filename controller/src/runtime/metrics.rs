//! What is counted. Invariant: every label is an enum of ours, never a name or a text from outside, so the number
//! of series is bounded. Not for deciding anything.

use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use restate_crd::condition::{ConditionStatus, ConditionType, Conditions};
use strum::IntoStaticStr;

/// What is counted of clusters: how many of them say so, by the conditions that somebody may want to be told of.
const OF_CLUSTERS: [ConditionType; 6] = [
    ConditionType::Ready,
    ConditionType::Stalled,
    ConditionType::ClusterConfigDrift,
    ConditionType::ReplicationFollows,
    ConditionType::NodeDataLoss,
    ConditionType::UpgradeHeld,
];

/// What all clusters say of themselves now.
type Clusters = Box<dyn Fn() -> Vec<Conditions> + Send + Sync>;

/// Which kind a pass was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
pub(crate) enum Controller {
    /// RestateCluster.
    #[strum(serialize = "cluster")]
    Cluster,
    /// RestateDeployment.
    #[strum(serialize = "deployment")]
    Deployment,
    /// RestateCloudEnvironment.
    #[strum(serialize = "cloud_environment")]
    CloudEnvironment,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Ended {
    /// Nothing is left to do.
    Settled,
    /// It waits for something.
    Waiting,
    /// It failed.
    Failed,
    /// It was dropped before its end.
    Abandoned,
}

/// What a request to the API server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Verb {
    /// GET: get, list, watch.
    Read,
    /// POST.
    Create,
    /// PATCH.
    Patch,
    /// PUT.
    Replace,
    /// DELETE.
    Delete,
}

/// How the API server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Answer {
    /// 2xx.
    Done,
    /// 409: somebody else was faster, or it exists already.
    Conflict,
    /// Any other 4xx.
    Refused,
    /// 5xx.
    Failed,
    /// No answer.
    Unreachable,
}

/// An enum of ours as a label's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Word<T>(pub(crate) T);

impl<T: Copy + Into<&'static str> + fmt::Debug> EncodeLabelValue for Word<T> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.0.into())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    controller: Word<Controller>,
    ended: Word<Ended>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: Word<Controller>,
}

/// Variants of errors and steps are named by `strum` and are as many as the code has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    controller: Word<Controller>,
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: Word<Verb>,
    answer: Word<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuestionLabels {
    question: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    condition: Word<ConditionType>,
    status: Word<ConditionStatus>,
}

/// All that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    passes: Family<PassLabels, Counter>,
    duration: Family<ControllerLabels, Histogram>,
    errors: Family<ErrorLabels, Counter>,
    steps: Family<StepLabels, Counter>,
    status_writes: Family<ControllerLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    watch_failures: Family<KindLabels, Counter>,
    undecodable: Family<KindLabels, Gauge>,
    behind: Family<ControllerLabels, Gauge>,
    leads: Gauge,
    questions: Family<QuestionLabels, Counter>,
    conditions: Family<ConditionLabels, Gauge>,
    clusters: OnceLock<Clusters>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Metrics").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("restate_controller");
        let metrics = Self {
            passes: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 9))),
            errors: Family::default(),
            steps: Family::default(),
            status_writes: Family::default(),
            requests: Family::default(),
            watch_failures: Family::default(),
            undecodable: Family::default(),
            behind: Family::default(),
            leads: Gauge::default(),
            questions: Family::default(),
            conditions: Family::default(),
            clusters: OnceLock::new(),
            registry: Registry::default(),
        };
        metrics.register(&mut registry);
        Self { registry, ..metrics }
    }
}

impl Metrics {
    fn register(&self, to: &mut Registry) {
        to.register("reconciliations", "Passes over an object, by how they ended", self.passes.clone());
        let unit = Unit::Seconds;
        to.register_with_unit(
            "reconciliation_duration",
            "Time that a pass took",
            unit,
            self.duration.clone(),
        );
        to.register("errors", "Passes that failed, by what failed", self.errors.clone());
        to.register("steps", "Steps that were executed", self.steps.clone());
        to.register("status_writes", "Changes of a status", self.status_writes.clone());
        to.register("api_requests", "Requests to the API server", self.requests.clone());
        to.register(
            "watch_failures",
            "Watches that broke and were taken up again",
            self.watch_failures.clone(),
        );
        to.register("undecodable_objects", "Objects that cannot be read", self.undecodable.clone());
        to.register(
            "objects_behind",
            "Objects whose status has said nothing about their spec for more than a minute",
            self.behind.clone(),
        );
        to.register("leader", "Whether this process holds the Lease and acts", self.leads.clone());
        to.register("clusters", "RestateClusters, by what they say of themselves", self.conditions.clone());
        to.register("restate_questions", "Questions that pollers asked of Restate", self.questions.clone());
    }

    /// All of it, in the text format of `OpenMetrics`.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        self.count_clusters();
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// From where it is known what clusters say of themselves.
    pub(crate) fn know_clusters(&self, clusters: impl Fn() -> Vec<Conditions> + Send + Sync + 'static) {
        drop(self.clusters.set(Box::new(clusters)));
    }

    /// Counted when somebody looks: clusters come and go without a word to us.
    fn count_clusters(&self) {
        let Some(clusters) = self.clusters.get() else { return };
        let said = clusters();
        for condition in OF_CLUSTERS {
            for status in [ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown] {
                let says = |said: &&Conditions| {
                    said.get(condition).is_some_and(|said| said.status == status.as_ref())
                };
                let count = i64::try_from(said.iter().filter(says).count()).unwrap_or(i64::MAX);
                let labels = ConditionLabels { condition: Word(condition), status: Word(status) };
                self.conditions.get_or_create(&labels).set(count);
            }
        }
    }

    /// A pass ended.
    pub(crate) fn pass_ended(&self, controller: Controller, ended: Ended, took: Duration) {
        let labels = PassLabels { controller: Word(controller), ended: Word(ended) };
        self.passes.get_or_create(&labels).inc();
        let labels = ControllerLabels { controller: Word(controller) };
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A pass failed, with this variant of an error.
    pub(crate) fn failed(&self, controller: Controller, error: &'static str) {
        self.errors.get_or_create(&ErrorLabels { controller: Word(controller), error }).inc();
    }

    /// A step was executed.
    pub(crate) fn executed(&self, step: &'static str, succeeded: bool) {
        let result = if succeeded { "done" } else { "failed" };
        self.steps.get_or_create(&StepLabels { step, result }).inc();
    }

    /// A status was written.
    pub(crate) fn status_written(&self, controller: Controller) {
        self.status_writes.get_or_create(&ControllerLabels { controller: Word(controller) }).inc();
    }

    /// The API server was asked.
    pub(crate) fn asked(&self, verb: Verb, answer: Answer) {
        self.requests.get_or_create(&RequestLabels { verb: Word(verb), answer: Word(answer) }).inc();
    }

    /// A watch broke.
    pub(crate) fn watch_failed(&self, kind: &'static str) {
        self.watch_failures.get_or_create(&KindLabels { kind }).inc();
    }

    /// So many objects of a kind cannot be read.
    pub(crate) fn undecodable(&self, kind: &'static str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.undecodable.get_or_create(&KindLabels { kind }).set(count);
    }

    /// So many objects of a kind have waited too long for a word about their spec.
    pub(crate) fn behind(&self, controller: Controller, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.behind.get_or_create(&ControllerLabels { controller: Word(controller) }).set(count);
    }

    /// A poller asked.
    pub(crate) fn asked_restate(&self, question: &'static str, succeeded: bool) {
        let result = if succeeded { "done" } else { "failed" };
        self.questions.get_or_create(&QuestionLabels { question, result }).inc();
    }

    /// Whether this process acts.
    pub(crate) fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// users.md §1b (op#195): the drift is a metric, with as many series for a thousand clusters as for one.
    #[test]
    fn clusters_are_counted_by_what_they_say() {
        use restate_crd::condition::{Reason, Verdict};
        let metrics = Metrics::default();
        metrics.know_clusters(|| {
            let says = |status| {
                let mut said = Conditions::default();
                let verdict = Verdict::new(status, Reason::ReplicationBehind, "");
                said.set(ConditionType::ClusterConfigDrift, verdict, jiff::Timestamp::UNIX_EPOCH);
                said
            };
            vec![says(ConditionStatus::True), says(ConditionStatus::True), says(ConditionStatus::False)]
        });
        let text = metrics.text().unwrap();
        for (status, count) in [("True", 2), ("False", 1), ("Unknown", 0)] {
            let line = format!(
                r#"restate_controller_clusters{{condition="ClusterConfigDrift",status="{status}"}} {count}"#
            );
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("restate_controller_clusters{").count(), 18);
    }

    #[test]
    fn labels_are_words_of_ours() {
        let metrics = Metrics::default();
        metrics.pass_ended(Controller::Deployment, Ended::Waiting, Duration::from_millis(3));
        metrics.failed(Controller::CloudEnvironment, "Apply");
        metrics.executed("Register", false);
        metrics.asked(Verb::Patch, Answer::Conflict);
        metrics.behind(Controller::Cluster, 2);
        metrics.leads(true);
        let text = metrics.text().unwrap();
        for line in [
            r#"restate_controller_reconciliations_total{controller="deployment",ended="waiting"} 1"#,
            r#"restate_controller_errors_total{controller="cloud_environment",error="Apply"} 1"#,
            r#"restate_controller_steps_total{step="Register",result="failed"} 1"#,
            r#"restate_controller_api_requests_total{verb="patch",answer="conflict"} 1"#,
            r#"restate_controller_objects_behind{controller="cluster"} 2"#,
            "restate_controller_leader 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
