//! A Kubernetes extension API server for virtual kinds: kinds that are computed when they are asked for.
//!
//! ```text
//! TLS ─► authn ─► request info ─► authz ─► discovery | OpenAPI | resource ─► Table | object | Status
//! ```
//!
//! The connection side: [`tls`], [`certificates`], [`authn`], [`authz`], [`health`], [`metrics`], [`audit`] and
//! [`serve`], which puts the stages in their order.

pub mod audit;
pub mod authn;
pub mod authz;
pub mod certificates;
mod delegated;
pub mod health;
pub mod metrics;
#[cfg(test)]
mod rig;
pub mod serve;
pub mod shutdown;
pub mod tls;
pub mod user;

// The API side: a kind is a descriptor and a small trait.
pub mod api;
pub mod discovery;
pub mod encoded;
pub mod list;
pub mod negotiate;
pub mod request_info;
pub mod resource;
pub mod selector;
pub mod status;
pub mod store;
pub mod version;
pub mod watch;
pub mod write;

mod openapi;
mod query;
mod render;
mod table;
#[cfg(test)]
mod testing;

pub use apiserver_kind as kind;

/// What the README shows does compile, and does what it says.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
