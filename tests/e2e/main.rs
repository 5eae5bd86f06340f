//! Tests on a real cluster with a real Restate. One binary, so that it links once; a module per layer and subject.

mod admit_bad_input;
mod admit_examples;
mod apiserver_discovery;
mod apiserver_provision;
mod apiserver_rights;
mod chart_release;
mod controller_bad_input;
mod controller_versions;
mod fault_admin_api;
mod fault_processes;
