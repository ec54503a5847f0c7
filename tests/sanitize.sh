#!/bin/sh
# Runs the tests of the crates that hold unsafe code under the address sanitizer, with a nightly toolchain.
set -eu
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Zsanitizer=address"
exec cargo +nightly test --target "$host" --target-dir "${CARGO_TARGET_DIR:-target}/sanitize" -p mapped -p sockets --lib
