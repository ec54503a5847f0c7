//! What tables of series are made of: texts in an arena, records in a slab, and an index of hashes between them.
//!
//! None of them moves what it holds when it grows, so that a table of millions of series grows without a stall;
//! all of them give memory back when series go. The owner of a table hashes keys with a seed of its own, and the
//! whole key decides.

pub mod arena;
pub mod index;
mod room;
pub mod slab;
