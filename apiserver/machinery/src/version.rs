//! Resource versions without etcd (W2, W3, W4).
//!
//! A version is a decimal number below 2^63: 41 bits of milliseconds, 10 bits of sequence, 12 bits of the tag of
//! whoever stamped it. It grows with every stamp, also when the wall clock steps back (T13). A version with another
//! tag was made by another replica, or before a restart: it says when, not what was seen.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::status::Status;

/// 2020-01-01T00:00:00Z: 41 bits of milliseconds from here last until 2089.
const EPOCH_MILLISECONDS: i64 = 1_577_836_800_000;
const SEQUENCE_BITS: u32 = 10;
const TAG_BITS: u32 = 12;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;

/// Stamps versions; one per process, shared by its stores.
#[derive(Debug)]
pub struct Clock {
    tag: u64,
    /// Milliseconds and sequence of the last stamp.
    last: AtomicU64,
}

impl Clock {
    /// A clock with a tag of its own, drawn anew at each start.
    pub fn new() -> Self {
        let [.., high, low] = *uuid::Uuid::new_v4().as_bytes();
        Self::tagged(u16::from_be_bytes([high, low]))
    }

    /// A clock with this tag; only its lower 12 bits count.
    pub fn tagged(tag: u16) -> Self {
        Self { tag: u64::from(tag) & TAG_MASK, last: AtomicU64::new(0) }
    }

    /// A version above every earlier one of this clock.
    pub fn stamp(&self, now: Timestamp) -> u64 {
        let earliest = milliseconds(now) << SEQUENCE_BITS;
        let next = |last: u64| Some(earliest.max(last + 1));
        let last = self.last.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).unwrap_or_default();
        (earliest.max(last + 1) << TAG_BITS) | self.tag
    }

    /// Whether this clock may have stamped the version.
    pub fn is_own(&self, version: u64) -> bool {
        version & TAG_MASK == self.tag
    }

    /// Whether the version lies ahead of everything that could have been stamped until now.
    pub fn is_ahead(&self, version: u64, now: Timestamp) -> bool {
        let reached = (milliseconds(now) << SEQUENCE_BITS).max(self.last.load(Ordering::SeqCst));
        version >> TAG_BITS > reached
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn milliseconds(now: Timestamp) -> u64 {
    u64::try_from(now.as_millisecond() - EPOCH_MILLISECONDS).unwrap_or_default()
}

/// A version as clients write it; `""` and `"0"` have meanings of their own and are not for here.
pub(crate) fn parse(text: &str) -> Result<u64, Status> {
    let refused =
        || Status::bad_request(format!("invalid resource version {text:?}: must be a whole number"));
    text.parse().map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(EPOCH_MILLISECONDS + millisecond).unwrap()
    }

    proptest! {
        #[test]
        fn w2_stamps_grow_whatever_the_wall_clock_does(times in proptest::collection::vec(0..(1_i64 << 41), 1..200)) {
            let clock = Clock::tagged(77);
            let stamps: Vec<u64> = times.into_iter().map(|time| clock.stamp(at(time))).collect();
            prop_assert!(stamps.is_sorted_by(|one, next| one < next));
            prop_assert!(stamps.iter().all(|stamp| clock.is_own(*stamp) && *stamp < 1 << 63));
        }
    }

    #[test]
    fn w4_another_tag_is_another_replica() {
        let (one, other) = (Clock::tagged(1), Clock::tagged(2));
        assert!(!other.is_own(one.stamp(at(5))));
    }

    #[test]
    fn r13_what_lies_ahead_is_known_as_such() {
        let clock = Clock::tagged(1);
        let later = Clock::tagged(2).stamp(at(2000));
        assert!(clock.is_ahead(later, at(1999)));
        assert!(!clock.is_ahead(later, at(2000)));
    }
}
