//! For tests: what is read of lines, without a process to send it to.

use common::time::Time;

use crate::send::lines;
use crate::store::line;

/// A line as `leela store import` reads it: how many records, as they would be exported; else where it is wrong, and how.
///
/// # Errors
/// Where it would be refused.
pub fn import(line: &[u8], now: Time) -> Result<Vec<Vec<u8>>, (usize, String)> {
    let mut records = Vec::new();
    line::read(line, now, |record| records.push(line::written(&record)))?;
    Ok(records)
}

/// A line as `leela send -` reads it: how many metrics and notes, else where it is wrong.
///
/// # Errors
/// Where it would be refused.
pub fn send(line: &[u8], now: Time) -> Result<usize, usize> {
    let line = line.trim_ascii();
    let (mut read, mut wrong) = (0, None);
    lines::read(line, now, |message| match message {
        Ok(_) => read += 1,
        Err(refused) => {
            wrong.get_or_insert(lines::offset_in(line, refused.text) + refused.offset);
        }
    });
    wrong.map_or(Ok(read), Err)
}
