//! A check of tests/src/checks.rs under libFuzzer: that of the name in CHECK when this is compiled, so that a program has no
//! more than its check calls, and every edge of it is looked at after every execution.
#![no_main]

use tests::checks::{ALL, Check};

const CHECK: Check = {
    let name = env!("CHECK", "CHECK=<name> says which check").as_bytes();
    let mut at = 0;
    while !is(ALL[at].0.as_bytes(), name) {
        at += 1;
    }
    ALL[at].1
};

const fn is(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| CHECK(bytes));
