//! Other programs: run to their end, or left running with an identity that survives this process.

mod daemon;
mod identity;
mod invocation;

pub use daemon::{Daemon, DaemonError, Launch, Presence};
pub use identity::{Identity, all_running};
pub use invocation::{Error, Invocation, last_lines};
