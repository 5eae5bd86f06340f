//! Tests of all stages together: stories and properties on a small world, recorded objects, and what is built.

mod adoption;
mod builders;
mod cases;
mod concern;
mod properties;
mod scenarios;
mod world;
