//! For tests: the small forms of the store, from any bytes.

use super::index::row;
use super::state::State;

/// The bytes that a state file's own would be written as again; none where they are no state file.
pub fn state_again(bytes: &[u8]) -> Option<Vec<u8>> {
    State::parse(bytes).map(|state| state.bytes())
}

/// The names of a row of the index; none where its bytes are no row.
pub fn names_of(row: &[u8]) -> Option<Vec<Vec<u8>>> {
    row::Names::of(row).and_then(row::Names::collect).ok()
}

/// The rows of names, which stand in order.
pub fn rows_of(names: &[Vec<u8>]) -> Vec<Vec<u8>> {
    row::rows(names).into_iter().map(|(_, row)| row).collect()
}
