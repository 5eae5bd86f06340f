//! The stored kinds: what each looks at, and where its decisions are made. One file per kind.

mod cloud_environment;
mod cluster;
mod deployment;
