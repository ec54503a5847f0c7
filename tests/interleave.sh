#!/bin/sh
# What threads or processes share by rules of its own, under a scheduler that tries one interleaving after the other.
set -eu
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg shuttle"
# Orders weaker than sequential are not what it tries, and it says so each time.
export SHUTTLE_SILENCE_WARNINGS=1
cargo test --target-dir "${CARGO_TARGET_DIR:-target}/interleave" -p mapped -p leela-storage --lib -- interleaved
