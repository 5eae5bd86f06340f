//! From samples to a table that people read.

use std::time::Duration;

/// What was measured of one request of one server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Samples {
    times: Vec<Duration>,
    bytes: usize,
}

impl Samples {
    pub(super) fn add(&mut self, took: Duration, bytes: usize) {
        self.times.push(took);
        self.bytes = bytes;
    }

    /// The time that this share of the samples does not exceed; zero where there are none.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get(rank(share, last)).copied().unwrap_or_default()
    }

    /// Bytes of the last answer.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a small index is a small index"
)]
fn rank(share: f64, last: usize) -> usize {
    (share.clamp(0.0, 1.0) * last as f64).round() as usize
}

/// Milliseconds with the digits that mean something.
pub(super) fn milliseconds(time: Duration) -> String {
    let value = time.as_secs_f64() * 1000.0;
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// How many times the second fits into the first.
pub(super) fn ratio(time: Duration, limit: Duration) -> String {
    if limit.is_zero() {
        return "–".to_owned();
    }
    format!("{:.2}", time.as_secs_f64() / limit.as_secs_f64())
}

/// A table in Markdown: the first row is its head.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let line = |row: &Vec<String>| format!("| {} |\n", row.join(" | "));
    let Some((head, body)) = rows.split_first() else { return String::new() };
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    [line(head), rule].into_iter().chain(body.iter().map(line)).collect()
}
