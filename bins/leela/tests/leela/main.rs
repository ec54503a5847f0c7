//! The real `leela`, one module a promise.

mod check;
mod page;
mod query;
mod refused;
mod sandbox;
mod send;
mod status;
mod tail;
