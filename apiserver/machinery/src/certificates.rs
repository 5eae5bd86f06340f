//! The serving certificate: where it comes from, and who is told which CA to trust (H1–H5).
//!
//! Self mode, the default: the replicas keep CAs and one leaf in a Secret ([`keyring`]). Any replica may take the next
//! step ([`plan`]); it counts only if the Secret has not changed meanwhile, so no leader is needed (H4). All replicas
//! follow the Secret, serve its leaf, and keep the bundle of its CAs in `spec.caBundle` of the APIServices.
//! Given mode: somebody else makes the certificate; files or a Secret are followed ([`given`]).
//!
//! Invariant: a leaf is served only after its CA has been in the bundles for the overlap, and a CA leaves the bundles
//! only after everything it signed has expired (H3). The one exception is having nothing valid to serve.

pub mod given;
mod issue;
mod keeper;
pub mod keyring;
pub mod plan;
mod publish;

use std::io;
use std::path::PathBuf;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;

pub use keeper::Keeper;

/// Why a certificate could not be made, kept or published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Key or certificate could not be made.
    #[error("failed to make a certificate")]
    Issue {
        /// What the library found.
        source: rcgen::Error,
    },
    /// The Secret does not hold what we keep there.
    #[error("the Secret has no usable {key}")]
    Stored {
        /// Which entry.
        key: &'static str,
    },
    /// A stored certificate cannot be read.
    #[error("a stored certificate cannot be read")]
    Certificate {
        /// What the parser found.
        source: crate::tls::trust::Error,
    },
    /// The pair cannot be served.
    #[error("the certificate cannot be served")]
    Serve {
        /// What is wrong with it.
        source: crate::tls::slot::Error,
    },
    /// kube-apiserver did not do what we asked.
    #[error("failed to {action}")]
    Kube {
        /// What we asked.
        action: &'static str,
        /// What the client found.
        source: Box<kube::Error>,
    },
    /// A file of a given certificate cannot be read.
    #[error("failed to read {path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The Service through which we are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Name of the Service.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
    /// Domain of the cluster, mostly `cluster.local`.
    pub cluster_domain: String,
}

/// How long things last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Life of a CA.
    pub authority: SignedDuration,
    /// A CA gets a successor when this much of its life is left; more than the life of a leaf.
    pub renew_authority: SignedDuration,
    /// Life of a leaf.
    pub leaf: SignedDuration,
    /// A leaf gets a successor when this much of its life is left.
    pub renew_leaf: SignedDuration,
    /// Time for every kube-apiserver to read a new bundle.
    pub overlap: SignedDuration,
    /// Certificates are valid this long before they are made: clocks differ.
    pub backdate: SignedDuration,
}

impl Default for Policy {
    fn default() -> Self {
        let days = |days| SignedDuration::from_hours(24_i64 * days);
        Self {
            authority: days(365),
            renew_authority: days(120),
            leaf: days(90),
            renew_leaf: days(30),
            overlap: SignedDuration::from_mins(5),
            backdate: SignedDuration::from_hours(1),
        }
    }
}

impl Names {
    /// The names in the certificate; the aggregation layer asks for the third (P2).
    pub fn dns(&self) -> Vec<String> {
        let Self { service, namespace, cluster_domain } = self;
        vec![
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.{cluster_domain}"),
        ]
    }
}

fn entry<'a>(secret: &'a Secret, key: &'static str) -> Result<&'a str, Error> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).ok_or(Error::Stored { key })?;
    str::from_utf8(&bytes.0).map_err(|_| Error::Stored { key })
}

#[cfg(test)]
mod tests;
