//! What nobody should send, straight to a replica, past the aggregation layer: claims to be somebody, smuggled
//! requests, hosts in paths, bodies and heads without end, and thousands of malformed requests from a generator.

mod door;
mod generator;
mod malformed;
mod spoofing;
