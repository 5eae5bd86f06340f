//! Other programs: run to their end, or left running with an identity that survives this process.

mod invocation;

pub use invocation::{Error, Invocation, last_lines};
