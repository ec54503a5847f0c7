//! A check of tests/src/checks.rs under libFuzzer: that of the name in CHECK. All are one program, which is built once.
#![no_main]

use std::sync::LazyLock;

use tests::checks::{ALL, Check};

static CHECK: LazyLock<Check> = LazyLock::new(|| {
    let name = std::env::var("CHECK").expect("CHECK=<name> says which check");
    let found = ALL.into_iter().find(|(has, _)| *has == name);
    found.unwrap_or_else(|| panic!("{name} is no check")).1
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (*CHECK)(bytes));
