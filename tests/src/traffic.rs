//! What callers of the ingress saw: how many requests they made, which failed, and for how long none succeeded.

use std::{fmt, time::Duration};

use crate::calls::{Failure, Record};

/// Requests of one client, in the order in which they ended.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    record: Record,
    failing_since: Option<Duration>,
    outage: Duration,
}

impl Traffic {
    /// A request that ended at this time, with these words if it failed.
    pub fn note(&mut self, at: Duration, failed: Option<String>) {
        self.record.made += 1;
        if let Some(words) = failed {
            self.failing_since.get_or_insert(at);
            self.record.failures.push(Failure { at, words });
        } else if let Some(since) = self.failing_since.take() {
            self.outage = self.outage.max(at.saturating_sub(since));
        }
    }

    /// How many were made, and which failed.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The longest time from a failure to the next success.
    pub fn outage(&self) -> Duration {
        self.outage
    }
}

/// In one line, for people.
impl fmt::Display for Traffic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, failing_since: _, outage } = self;
        let Record { made, failures } = record;
        let permille = failures.len() * 1_000 / (*made).max(1);
        write!(formatter, "{made} requests to the ingress, {} failed", failures.len())?;
        let Some(Failure { at: _, words }) = failures.first() else { return Ok(()) };
        let span = record.failed_for().as_secs_f32();
        let outage = outage.as_secs_f32();
        write!(formatter, " ({}.{} %) within {span:.1} s", permille / 10, permille % 10)?;
        write!(formatter, ", the longest time without a success {outage:.1} s; the first one: {words}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ends: &[(u64, bool)]) -> Traffic {
        let mut traffic = Traffic::default();
        for (second, good) in ends {
            traffic.note(Duration::from_secs(*second), (!good).then(|| "refused".to_owned()));
        }
        traffic
    }

    #[test]
    fn an_outage_lasts_from_a_failure_to_the_next_success() {
        let ends =
            [(1, true), (2, false), (3, false), (6, true), (7, false), (8, true), (60, true), (61, false)];
        let traffic = seen(&ends);
        assert_eq!(traffic.outage(), Duration::from_secs(4));
        assert_eq!(
            traffic.to_string(),
            "8 requests to the ingress, 4 failed (50.0 %) within 59.0 s, the longest time without a success 4.0 s; \
             the first one: refused"
        );
    }

    #[test]
    fn where_nothing_fails_there_is_no_rate() {
        assert_eq!(seen(&[(1, true), (90, true)]).to_string(), "2 requests to the ingress, 0 failed");
    }
}
