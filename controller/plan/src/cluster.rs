//! Decisions for `RestateCluster`.
