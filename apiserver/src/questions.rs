//! How often Restate is asked, how long it takes and how it ends (M4). No name of a Restate is a label: whoever makes
//! one would make a time series.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use restate_client::poller::{Asked, Observer, Question};
use restate_model::{EndpointKey, FailureKind};

/// From what a local Restate takes to the longest that is waited.
const SECONDS: [f64; 9] = [0.002, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0];

/// The metrics. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Questions {
    asked: Family<Ended, Histogram, fn() -> Histogram>,
    answered_at: Family<About, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    question: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct About {
    question: &'static str,
}

impl Questions {
    pub(crate) fn new() -> Self {
        Self {
            asked: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            answered_at: Family::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let seconds = "Questions that pollers asked of Restate: how long they took, how they ended";
        registry.register("restate_question_duration_seconds", seconds, self.asked.clone());
        let answered = "When a Restate last answered, as a Unix time";
        registry.register("restate_question_answered_timestamp_seconds", answered, self.answered_at.clone());
    }

    fn count(&self, question: Question, took: Duration, failed: Option<FailureKind>) {
        let question = question.into();
        self.asked.get_or_create(&Ended { question, outcome: outcome(failed) }).observe(took.as_secs_f64());
        if failed.is_none() {
            let now = jiff::Timestamp::now().as_second();
            self.answered_at.get_or_create(&About { question }).set(now);
        }
    }
}

impl Observer for Questions {
    fn asked(&self, _: &EndpointKey, Asked { question, took, failed }: Asked) {
        self.count(question, took, failed);
    }
}

fn outcome(failed: Option<FailureKind>) -> &'static str {
    match failed {
        None => "answered",
        Some(FailureKind::Unreachable) => "unreachable",
        Some(FailureKind::TimedOut) => "timed_out",
        Some(FailureKind::Malformed) => "malformed",
        Some(FailureKind::Unavailable) => "unavailable",
        Some(FailureKind::Refused) => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m4_questions_are_counted_by_how_they_ended() {
        let (questions, mut registry) = (Questions::new(), Registry::default());
        questions.register(&mut registry);
        questions.count(Question::Usage, Duration::from_millis(20), None);
        questions.count(Question::Registry, Duration::from_secs(2), Some(FailureKind::TimedOut));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"restate_question_duration_seconds_count{question="usage",outcome="answered"} 1"#,
            r#"restate_question_duration_seconds_count{question="registry",outcome="timed_out"} 1"#,
            r#"restate_question_answered_timestamp_seconds{question="usage"}"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains(r#"answered_timestamp_seconds{question="registry"}"#), "it has not answered");
    }
}
