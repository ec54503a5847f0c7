//! What all of Leela's processes agree on. It opens no socket but READY's and the journal's.

pub mod books;
pub mod key;
pub mod metric;
pub mod time;
pub mod value;
pub mod wire;
