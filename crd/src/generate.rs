//! Placeholder for the generated files.
