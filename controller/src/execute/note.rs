//! Events. Invariant: the same words about the same object are said once in a while, not in each pass; that an
//! event cannot be written never fails a pass.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use moka::sync::Cache;
use restate_plan::{EventKind, Note};

/// The same words are not repeated for this long.
const SILENCE: Duration = Duration::from_mins(10);
/// How many different words are remembered; beyond that some are said again.
const REMEMBERED: u64 = 4096;
/// Kubernetes cuts no event off, it refuses it.
const LONGEST: usize = 1024;

type Words = (String, &'static str, String);

/// Tells people.
#[derive(Clone)]
pub(crate) struct Notices {
    recorder: Recorder,
    said: Cache<Words, ()>,
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
        Self { recorder: Recorder::new(client, reporter), said }
    }

    /// Says it, unless it was said just now.
    pub(crate) async fn tell(&self, note: &Note, subject: &ObjectReference) {
        let uid = subject.uid.clone().unwrap_or_default();
        let words = (uid, note.reason, note.message.clone());
        if self.said.contains_key(&words) {
            return;
        }
        self.said.insert(words, ());
        self.repeat(note, subject).await;
    }

    /// Says it; repetitions become one series.
    pub(crate) async fn repeat(&self, note: &Note, subject: &ObjectReference) {
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
        if let Err(error) = self.recorder.publish(&event, subject).await {
            tracing::warn!(%error, reason = note.reason, "an event could not be written");
        }
    }
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

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let cut = shortened(&"ö".repeat(1000));
        assert!(cut.len() <= LONGEST && cut.ends_with("ö…"), "{}", cut.len());
        assert_eq!(shortened("short"), "short");
    }
}
