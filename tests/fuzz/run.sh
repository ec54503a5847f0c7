#!/usr/bin/env bash
# Fuzzes every check, or those named, as many at once as there are cores, keeps the corpus minimal, and writes what came of
# it into README.md. With EXECUTIONS=N a check ends when all its runs together have so many, and one that has is left out.
# usage: [EXECUTIONS=N] tests/fuzz/run.sh SECONDS [CHECK...]
set -euo pipefail
cd "$(dirname "$0")"

# Runs "$1" for at most "$2" seconds.
fuzz() {
    local check=$1 seconds=$2 log=target/$1.log begun=$SECONDS before runs=-1
    [ -n "$(ls "corpus/$check" 2>/dev/null)" ] || { echo "$check has no corpus" >&2; return 1; }
    before=$(awk -F ' *[|] *' -v check="$check" '$2 == check { print $3 }' README.md)
    if [ -n "${EXECUTIONS-}" ]; then
        runs=$((EXECUTIONS - ${before:-0}))
        [ $runs -gt 0 ] || { echo "$check: $before executions already"; return 0; }
    fi
    mkdir -p "target/grown/$check" "crashes/$check"
    "target/checks/$check" "target/grown/$check" "corpus/$check" "-max_total_time=$seconds" "-runs=$runs" -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 "-artifact_prefix=crashes/$check/" >"$log" 2>&1 || {
        tail -n 40 "$log"
        echo "$check: a promise is broken; the input lies in tests/fuzz/crashes/$check" >&2
        return 1
    }
    seconds=$((SECONDS - begun))
    rmdir --ignore-fail-on-non-empty "crashes/$check"
    local executions coverage
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    # How often an edge was taken does not count here: a small corpus is worth more in a repository.
    rm -rf "target/minimal/$check" && mkdir -p "target/minimal/$check"
    "target/checks/$check" "target/minimal/$check" "corpus/$check" "target/grown/$check" -set_cover_merge=1 -use_counters=0 \
        -timeout=10 >>"$log" 2>&1
    rm -rf "corpus/$check" && cp -r "target/minimal/$check" "corpus/$check"
    flock README.md bash -euo pipefail -c 'row "$@"' _ "$check" "$executions" "${coverage:-none}" "$seconds"
}

# Adds a run of "$1" to the table: "$2" executions, "$3" edges, "$4" seconds.
row() {
    local check=$1 executions=$2 coverage=$3 seconds=$4 before before_seconds files bytes row
    read -r before before_seconds < <(
        awk -F ' *[|] *' -v check="$check" '$2 == check { print $3, $6; found = 1 } END { if (!found) print 0, 0 }' README.md)
    files=$(find "corpus/$check" -type f | wc -l)
    bytes=$(cat "corpus/$check"/* | wc -c)
    row="| $check | $((executions + before)) | $coverage | $files files, $bytes bytes"
    row+=" | $((seconds + before_seconds)) | $(date -u +%Y-%m-%d) |"
    echo "$row"
    awk -v row="$row" -v check="$check" '
        index($0, "| " check " |") == 1 { if (!done) print row; done = 1; next }
        /^\|/ { table = 1 }
        table && !/^\|/ && !done { print row; done = 1 }
        { print }
        END { if (!done) print row }' README.md >target/README.md
    # In place: the lock is on this file.
    cat target/README.md >README.md
}

seconds=$1
shift
[ $# -gt 0 ] || set -- $(ls corpus)
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --version 0.13.2
# All are built before one runs: what is being fuzzed stays as it is while something else is built. Checked arithmetic finds
# more than the address sanitizer, which `make sanitize` lends to the unsafe modules.
mkdir -p target/checks
for check; do
    CHECK=$check RUSTC_WRAPPER=$PWD/rustc.sh cargo +nightly fuzz build --sanitizer none
    cp "$(ls -t target/*/release/check | head -n 1)" target/checks/new && mv target/checks/new "target/checks/$check"
done
# Of an error that is expected nobody wants to know where it was made, which takes longer than the parser.
export RUST_LIB_BACKTRACE=0
export -f fuzz row
export seconds
printf '%s\n' "$@" | xargs -P "$(nproc)" -I {} bash -euo pipefail -c 'fuzz {} "$seconds"' || {
    echo "broken promises: see above" >&2
    exit 1
}
