//! Takes out the check before a removal: what has work counts as idle. With it the chaos run must fail, which proves
//! that the run would notice.
//!
//! Invariant: no build contains this unless the feature is asked for and the environment says what for, too. The
//! program that is built so has another name than the controller, and no image and no chart knows it.

use jiff::Timestamp;

use super::Usage;

const _: () = assert!(
    option_env!("RESTATE_UNCHECKED").is_some(),
    "the feature `unchecked` is for the proof of the chaos run: `cargo lab test chaos` builds it"
);

/// Unless new calls go to it, a version counts as idle.
pub(super) fn idle(usage: Usage, now: Timestamp) -> Usage {
    match usage {
        Usage::Active { routed: 0, .. } => Usage::Idle { asked_at: now },
        Usage::Active { .. } | Usage::Idle { .. } | Usage::Unknown => usage,
    }
}
