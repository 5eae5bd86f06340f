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
mod delegated;
#[cfg(test)]
mod rig;
pub mod health;
pub mod metrics;
pub mod serve;
pub mod shutdown;
pub mod tls;
pub mod user;

// What the API side is made of: a kind is a descriptor and a small trait.
pub mod request_info;
pub mod selector;
pub mod status;

mod query;

pub use apiserver_kind as kind;
