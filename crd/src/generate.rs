//! The files that are made from the types: CRD manifests, the CRD chart's templates, Pkl modules.
//!
//! Stage in the flow: none at run time. Invariant: the text depends on the types alone, so that what is
//! committed can be compared with what would be made. Not for installing anything.

use std::path::PathBuf;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;
use serde_json::Value;

use crate::{RestateCloudEnvironment, RestateCluster, RestateDeployment};

mod chart;
mod pkl;

/// A file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A definition is not one that JSON can hold.
    #[error("failed to write {name} as JSON")]
    Json {
        /// Name of the definition.
        name: String,
        /// What JSON cannot hold.
        source: serde_json::Error,
    },
    /// A definition is not one that YAML can hold.
    #[error("failed to write {name} as YAML")]
    Yaml {
        /// Name of the definition.
        name: String,
        /// What YAML cannot hold.
        source: serde_saphyr::ser::Error,
    },
}

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it belongs, from the root of the workspace.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

impl File {
    fn new(path: String, text: String) -> Self {
        Self { path: path.into(), text }
    }
}

/// The definitions of the three kinds.
#[must_use]
pub fn definitions() -> [CustomResourceDefinition; 3] {
    [RestateCluster::crd(), RestateDeployment::crd(), RestateCloudEnvironment::crd()]
}

/// Every generated file.
///
/// # Errors
/// None that the types as they are could cause.
pub fn files() -> Result<Vec<File>, Error> {
    let made: Result<Vec<_>, Error> = definitions().iter().map(files_of).collect();
    Ok(made?.into_iter().flatten().collect())
}

fn files_of(definition: &CustomResourceDefinition) -> Result<[File; 3], Error> {
    let names = &definition.spec.names;
    let yaml = manifest(definition)?;
    let template = chart::template(&yaml);
    let module = pkl::module(definition);
    Ok([
        File::new(format!("crd/yaml/{}.yaml", names.plural), yaml),
        File::new(format!("charts/restate-operator-crds/templates/{}.yaml", names.plural), template),
        File::new(format!("crd/{}.pkl", names.kind), module),
    ])
}

/// The definition as YAML. Keys are sorted, which is how they read best: `apiVersion` and `kind` come first.
fn manifest(definition: &CustomResourceDefinition) -> Result<String, Error> {
    let name = || definition.metadata.name.clone().unwrap_or_default();
    let value: Value =
        serde_json::to_value(definition).map_err(|source| Error::Json { name: name(), source })?;
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&value, options)
        .map_err(|source| Error::Yaml { name: name(), source })
}
