//! Many words committed at once: two banks, and a turn that says which one holds.
//!
//! ```text
//! ┌──────────────┬──────────────────┬──────────────────┐
//! │ turn         │ bank 0           │ bank 1           │   in 64-bit words
//! │ 1 word       │ n words          │ n words          │   the bank that holds is turn % 2
//! └──────────────┴──────────────────┴──────────────────┘
//! ```
//! A commit fills the bank that does not hold, then stores the next turn: a process killed anywhere before
//! that store leaves the state of the commit before. A reader that saw the turn move while it copied reads
//! again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

// Under `--cfg shuttle` the tests try one interleaving after the other (`tests/interleave.sh`).
#[cfg(all(test, shuttle))]
use shuttle::sync::atomic::{AtomicU64, fence};
#[cfg(not(all(test, shuttle)))]
use std::sync::atomic::{AtomicU64, fence};

/// Words of the file that banks of `n` words take.
pub const fn words(n: usize) -> usize {
    1 + 2 * n
}

/// Makes `values` what holds. `words` is as long as [`words`] says for them.
pub fn commit(words: &[AtomicU64], values: &[u64]) {
    let (turn, banks) = words.split_first().expect("banks have at least their turn");
    let next = turn.load(Relaxed).wrapping_add(1);
    let start = (next % 2) as usize * values.len();
    // This bank held before the last turn: nothing of it may change before that turn is seen.
    fence(Release);
    for (word, value) in banks[start..start + values.len()].iter().zip(values) {
        word.store(*value, Relaxed);
    }
    turn.store(next, Release);
}

/// What holds, read by the writer itself.
pub fn read(words: &[AtomicU64], values: &mut [u64]) {
    let (turn, banks) = words.split_first().expect("banks have at least their turn");
    let start = (turn.load(Acquire) % 2) as usize * values.len();
    for (value, word) in values.iter_mut().zip(&banks[start..]) {
        *value = word.load(Relaxed);
    }
}

/// What holds in the banks of `n` words that begin at byte `offset` of a file somebody else writes.
pub fn read_file(file: &File, offset: u64, n: usize) -> io::Result<Vec<u64>> {
    let turn = || -> io::Result<u64> {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, offset)?;
        Ok(u64::from_ne_bytes(word))
    };
    let mut bytes = vec![0; n * 8];
    let copy = |bank: u64| file.read_exact_at(&mut bytes, offset + 8 + bank * n as u64 * 8);
    copy_whole(turn, copy)?;
    Ok(bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("8 bytes"))).collect())
}

/// Copies the bank that holds, until it held from the first word to the last.
fn copy_whole<E>(
    turn: impl Fn() -> Result<u64, E>,
    mut copy: impl FnMut(u64) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        let before = turn()?;
        copy(before % 2)?;
        // After one commit the writer may be filling this bank already.
        if turn()? == before {
            return Ok(());
        }
    }
}

#[cfg(all(test, shuttle))]
mod interleaved {
    use std::convert::Infallible;
    use std::sync::Arc;

    use super::*;

    const WORDS: usize = 3;

    #[test]
    fn a_reader_sees_whole_commits_and_never_an_older_one() {
        let run = || {
            let area: Arc<Vec<AtomicU64>> = Arc::new((0..words(WORDS)).map(|_| AtomicU64::new(0)).collect());
            let ours = Arc::clone(&area);
            let writer =
                shuttle::thread::spawn(move || (1..=5).for_each(|round| commit(&ours, &[round; WORDS])));
            let mut last = 0;
            for _ in 0..3 {
                let mut seen = [0; WORDS];
                let whole = copy_whole::<Infallible>(
                    || Ok(area[0].load(Acquire)),
                    |bank| {
                        let bank = &area[1 + bank as usize * WORDS..];
                        seen.iter_mut().zip(bank).for_each(|(seen, word)| *seen = word.load(Acquire));
                        Ok(())
                    },
                );
                assert_eq!(whole, Ok(()));
                assert!(seen == [seen[0]; WORDS] && seen[0] >= last, "{seen:?} after {last}");
                last = seen[0];
            }
            writer.join().expect("it ends");
        };
        shuttle::check_random(run, 20_000);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::Mapping;

    #[test]
    fn a_commit_holds_whole_or_not_at_all() {
        let area: Vec<AtomicU64> = (0..words(3)).map(|_| AtomicU64::new(0)).collect();
        let mut seen = [9; 3];
        read(&area, &mut seen);
        assert_eq!(seen, [0; 3]);
        for round in 1..5 {
            commit(&area, &[round, round * 10, round * 100]);
            // A writer killed in the midst of its next commit has filled the other bank in part.
            let other = 1 + ((round + 1) % 2) as usize * 3;
            area[other].store(u64::MAX, Relaxed);
            read(&area, &mut seen);
            assert_eq!(seen, [round, round * 10, round * 100]);
        }
    }

    #[test]
    fn a_reader_never_sees_half_a_commit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("books");
        let mapping = Mapping::open(&path, 2 + words(64), 0).unwrap();
        let file = File::open(&path).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 0..20_000u64 {
                    commit(&mapping.words()[2..], &[round; 64]);
                }
            });
            while !writer.is_finished() {
                let seen = read_file(&file, 16, 64).unwrap();
                assert!(seen.iter().all(|word| *word == seen[0]), "{seen:?}");
            }
        });
        assert_eq!(read_file(&file, 16, 64).unwrap(), [19_999; 64]);
    }
}
