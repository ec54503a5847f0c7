//! The checks and the harness.
