//! Files that are memory: what a process writes here its successor finds, also after kill -9.
//!
//! [`Mapping`] is a file mapped into memory by its one writer; [`banks`] commits many words of it at once.
//! Everybody else reads the file with plain reads ([`banks::read_file`]). [`Versions`] says which versions of a form are read.
//!
//! **Invariant:** the only `unsafe` of shared memory is in `mapping.rs` and `stream.rs`; that of [`discipline`] is a
//! system call.

pub mod banks;
pub mod discipline;
mod mapping;
pub mod stream;
mod versions;

pub use mapping::Mapping;
pub use versions::{Ahead, Versions};
