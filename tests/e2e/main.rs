//! Tests on a real cluster with a real Restate. One binary, so that it links once; a module per layer and subject.
//! Tests of modules that begin with `alone_` do what no other test could bear; they run one by one, after the rest.
//! The order is that of names: `alone_release` takes even the shared cluster away, and nothing that needs it comes after.

mod admit_manifests;
mod alone_abuse;
mod alone_adoption;
mod alone_api_replicas;
mod alone_api_rotation;
mod alone_apiserver;
mod alone_broken_watches;
mod alone_clients;
mod alone_cluster_controller;
mod alone_fault_processes;
mod alone_pace;
mod alone_refusals;
mod alone_release;
mod apiserver_cluster_actions;
mod apiserver_cluster_subresources;
mod apiserver_discovery;
mod apiserver_invocations;
mod apiserver_kubectl;
mod apiserver_mirrors;
mod apiserver_provision;
mod apiserver_proxy;
mod apiserver_queries;
mod apiserver_rights;
mod apiserver_services;
mod apiserver_ui;
mod chart_release;
mod cluster_failures;
mod cluster_growth;
mod cluster_shrink;
mod cluster_storage;
mod cluster_upgrade;
mod controller_adoption;
mod controller_bad_input;
mod controller_deletion;
mod controller_drain;
mod controller_registration;
mod controller_rollback;
mod controller_versions;
mod fault_admin_api;
mod fault_api_namespaces;
