//! The query language: `SELECT <pipeline> FROM <regex>;`, and the proc socket that speaks it.
//!
//! A [`pipeline::Pipeline`] is what becomes of a series, a [`run::Run`] is its state for one series, a
//! [`selector::Selector`] says which series. [`statement`] is what people type, [`proc`] and [`answer`] are
//! the two directions of the proc socket, [`error`] is why a query is refused and where, and [`caret`] shows
//! that to a person. The pipeline is checked whole before anything runs: what parses, runs.

pub mod answer;
pub mod caret;
pub(crate) mod cursor;
pub mod error;
pub mod function;
mod median;
pub mod number;
mod parse;
pub mod pipeline;
pub mod proc;
pub mod run;
pub mod selector;
pub mod statement;
mod words;
