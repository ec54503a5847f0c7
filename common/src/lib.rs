//! What all of Leela's processes agree on. It opens no socket but READY's and the journal's.

pub mod ask;
pub mod books;
pub mod clock;
pub mod config;
pub mod copy;
pub mod exit;
pub mod growth;
pub mod heavy;
pub mod key;
pub mod log;
pub mod metric;
pub mod process;
pub mod queries;
pub mod query;
pub mod runtime_dir;
pub mod size;
pub mod sketch;
pub mod span;
pub mod spot;
pub mod table;
pub mod text;
pub mod time;
pub mod utc;
pub mod value;
pub mod wire;

pub use mapped::{Ahead, Versions};
