//! Decisions for `RestateDeployment`.
