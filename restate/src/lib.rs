//! The only code that speaks to Restate.
//!
//! - [`endpoint`]: which Restate, where, with which credentials, and which hosts a manifest may name;
//! - [`transport`]: the one HTTP client: TLS, resolver, deadlines, bounded bodies;
//! - [`admin`]: typed calls of the admin API; [`action`]: what can be done to an invocation; [`query`]: SQL beside its
//!   row types; [`node`]: gRPC of a node;
//! - [`poller`]: one task per endpoint that asks on behalf of everybody and publishes snapshots;
//! - [`turns`]: how much is done at one Restate at the same time.
//!
//! Invariant: an answer is complete and of the right shape, or it is an error. Nothing here decides anything.

pub mod action;
pub mod admin;
pub mod endpoint;
pub mod node;
pub mod poller;
pub mod query;
pub mod transport;
pub mod turns;

pub use admin::Admin;
pub use endpoint::{Endpoint, Policy};
pub use node::Node;
pub use poller::{Demand, Pollers, Subscription};
pub use transport::Transport;
pub use turns::Turns;
