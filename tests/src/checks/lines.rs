//! Lines that people give to `leela`: what is sent, and what is imported.

use common::time::Time;
use leela::testing::{import, send};

const NOW: Time = Time::from_secs(1_000_000_000);

/// A line: all of it is read, or it is refused at a spot inside; a record that is imported is written as one that is read
/// as the same.
pub fn lines(line: &[u8]) {
    match import(line, NOW) {
        Ok(records) => {
            for record in records {
                let again = import(&record, NOW);
                assert_eq!(again, Ok(vec![record.clone()]), "{}", record.escape_ascii());
            }
        }
        Err((at, told)) => {
            assert!(at <= line.len() && !told.is_empty(), "{at}: {told}");
        }
    }
    if let Err(at) = send(line, NOW) {
        assert!(at <= line.len(), "{at}");
    }
}
