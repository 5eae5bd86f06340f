//! Events. Invariant: the same words about the same object are said once in a while, not in each pass; that an
//! event cannot be written never fails a pass.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use moka::sync::Cache;
use restate_plan::{EventKind, Note};
use tokio::time::timeout;

use super::API_DEADLINE;

/// The same words are not repeated for this long.
const SILENCE: Duration = Duration::from_mins(10);
/// How many different words are remembered; beyond that some are said again.
const REMEMBERED: u64 = 4096;
/// How many series there are at a time; what is repeated beyond that begins a new one. Each holds its event.
const SERIES: u64 = 64;
/// Kubernetes cuts no event off, it refuses it.
const LONGEST: usize = 1024;

type Words = (String, &'static str, String);

/// Tells people.
#[derive(Clone)]
pub(crate) struct Notices {
    client: Client,
    reporter: Reporter,
    said: Cache<Words, ()>,
    /// A recorder for each text: one alone would make a series of all texts with the same reason, and show only the
    /// first of them.
    series: Cache<Words, Recorder>,
}

impl fmt::Debug for Notices {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Notices: {} said", self.said.entry_count())
    }
}

impl Notices {
    /// Events are ours, by the name of the pod.
    pub(crate) fn new(client: Client, pod: Option<String>) -> Self {
        let reporter = Reporter { controller: "restate-operator".to_owned(), instance: pod };
        let said = Cache::builder().max_capacity(REMEMBERED).time_to_live(SILENCE).build();
        let series = Cache::builder().max_capacity(SERIES).time_to_live(SILENCE).build();
        Self { client, reporter, said, series }
    }

    /// Says it, unless it was said just now.
    pub(crate) async fn tell(&self, note: &Note, subject: &ObjectReference) {
        let words = words(note, subject);
        if !self.said.contains_key(&words) {
            self.said.insert(words, ());
            self.publish(note, subject, &self.recorder()).await;
        }
    }

    /// Says it; repetitions become one series.
    pub(crate) async fn repeat(&self, note: &Note, subject: &ObjectReference) {
        let words = words(note, subject);
        self.said.insert(words.clone(), ());
        self.publish(note, subject, &self.series.get_with(words, || self.recorder())).await;
    }

    fn recorder(&self) -> Recorder {
        Recorder::new(self.client.clone(), self.reporter.clone())
    }

    async fn publish(&self, note: &Note, subject: &ObjectReference, recorder: &Recorder) {
        tracing::info!(reason = note.reason, object = subject.name, note.message);
        let event = Event {
            type_: match note.kind {
                EventKind::Normal => EventType::Normal,
                EventKind::Warning => EventType::Warning,
            },
            reason: note.reason.to_owned(),
            note: Some(shortened(&note.message)),
            action: note.action.to_owned(),
            secondary: None,
        };
        match timeout(API_DEADLINE, recorder.publish(&event, subject)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, reason = note.reason, "an event could not be written"),
            Err(_) => tracing::warn!(reason = note.reason, "an event could not be written in time"),
        }
    }
}

fn words(note: &Note, subject: &ObjectReference) -> Words {
    (subject.uid.clone().unwrap_or_default(), note.reason, note.message.clone())
}

fn shortened(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let cut = (0..LONGEST - '…'.len_utf8()).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}…", &text[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Kubernetes;

    fn refused(message: &str) -> Note {
        let (kind, reason, action) = (EventKind::Warning, "RegistrationFailed", "Register");
        Note { kind, reason, action, message: message.to_owned() }
    }

    fn writes(requests: &[String]) -> Vec<(&str, bool)> {
        let write = |request: &String| request.contains("\"series\":{");
        requests
            .iter()
            .map(|request| (request.split(' ').next().unwrap_or_default(), write(request)))
            .collect()
    }

    /// What Restate says about the same step may change: the new words reach whoever describes the object.
    #[tokio::test]
    async fn other_words_are_another_event_and_the_same_words_are_said_once() {
        let server = Kubernetes::default();
        let notices = Notices::new(server.client(), None);
        let subject = ObjectReference { uid: Some("u".to_owned()), ..ObjectReference::default() };
        for message in ["no route to host", "no route to host", "[META0003] not a service"] {
            notices.tell(&refused(message), &subject).await;
        }
        assert_eq!(writes(&server.told()), [("POST", false), ("POST", false)]);
    }

    #[tokio::test]
    async fn what_is_repeated_becomes_one_series() {
        let server = Kubernetes::default();
        let notices = Notices::new(server.client(), None);
        let subject = ObjectReference { uid: Some("u".to_owned()), ..ObjectReference::default() };
        for _ in 0..3 {
            notices.repeat(&refused("no route to host"), &subject).await;
        }
        assert_eq!(writes(&server.told()), [("POST", false), ("PATCH", true), ("PATCH", true)]);
        notices.tell(&refused("no route to host"), &subject).await;
        assert_eq!(writes(&server.told()), [], "it was said just now");
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let cut = shortened(&"ö".repeat(1000));
        assert!(cut.len() <= LONGEST && cut.ends_with("ö…"), "{}", cut.len());
        assert_eq!(shortened("short"), "short");
    }
}
