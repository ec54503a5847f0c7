#!/usr/bin/env bash
# Fuzzes every check, or those named, as many at once as there are cores, keeps the corpus minimal, and writes what came of
# it into README.md. With EXECUTIONS=N a check ends when all its runs together have so many, and one that has is left out.
# usage: [EXECUTIONS=N] tests/fuzz/run.sh SECONDS [CHECK...]
set -euo pipefail
cd "$(dirname "$0")"

# By EXECUTIONS=N a tenth of them is guided by the comparisons that a check makes, with inputs of up to 4 KiB, as all are
# without it. The others are quick: to trace comparisons takes up to three fifths of the time of a parser that goes byte by
# byte, and inputs four times as long about half of the rest.
GUIDED=$((${EXECUTIONS:-0} / 10))
QUICK_BYTES_MAX=1024

# Runs "$1" for at most "$2" seconds.
fuzz() {
    local check=$1 end=$((SECONDS + $2)) before
    [ -n "$(ls "corpus/$check" 2>/dev/null)" ] || { echo "$check has no corpus" >&2; return 1; }
    if [ -z "${EXECUTIONS-}" ]; then
        run "$check" target/guided/checks -1 "$2"
        return
    fi
    before=$(executions "$check")
    if [ "$before" -ge "$EXECUTIONS" ]; then
        echo "$check: $before executions already"
        return 0
    fi
    if [ "$before" -lt "$GUIDED" ]; then
        run "$check" target/guided/checks $((GUIDED - before)) "$2"
        before=$(executions "$check")
    fi
    if [ "$before" -ge "$GUIDED" ] && [ "$before" -lt "$EXECUTIONS" ] && [ $SECONDS -lt $end ]; then
        run "$check" target/quick/checks $((EXECUTIONS - before)) $((end - SECONDS))
    fi
}

# How many "$1" has had.
executions() {
    awk -F ' *[|] *' -v check="$1" '$2 == check { n = $3 } END { print n + 0 }' README.md
}

# Runs the program of "$1" in "$2" for "$3" executions (-1: any number) and "$4" seconds at most.
run() {
    local check=$1 program=$2/$1 runs=$3 begun=$SECONDS log=target/$1.log lengths=()
    [ "$2" = target/guided/checks ] || lengths=("-max_len=$QUICK_BYTES_MAX")
    mkdir -p "target/grown/$check" "crashes/$check"
    "$program" "target/grown/$check" "corpus/$check" "${lengths[@]}" "-max_total_time=$4" "-runs=$runs" -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 "-artifact_prefix=crashes/$check/" >"$log" 2>&1 || {
        tail -n 40 "$log"
        echo "$check: a promise is broken; the input lies in tests/fuzz/crashes/$check" >&2
        return 1
    }
    local seconds=$((SECONDS - begun)) executed coverage
    rmdir --ignore-fail-on-non-empty "crashes/$check"
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    # How often an edge was taken does not count here: a small corpus is worth more in a repository.
    rm -rf "target/minimal/$check" && mkdir -p "target/minimal/$check"
    "$program" "target/minimal/$check" "corpus/$check" "target/grown/$check" -set_cover_merge=1 -use_counters=0 -timeout=10 \
        >>"$log" 2>&1
    rm -rf "corpus/$check" && cp -r "target/minimal/$check" "corpus/$check"
    flock README.md bash -euo pipefail -c 'row "$@"' _ "$check" "$executed" "${coverage:-none}" "$seconds"
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
for check; do
    had=$(executions "$check")
    if [ -z "${EXECUTIONS-}" ]; then
        ways="guided"
    elif [ "$had" -lt "$GUIDED" ]; then
        ways="guided quick"
    elif [ "$had" -lt "$EXECUTIONS" ]; then
        ways="quick"
    else
        continue
    fi
    for way in $ways; do
        options=(--sanitizer none --target-dir "target/$way")
        [ $way = guided ] || options+=(--no-trace-compares)
        CHECK=$check RUSTC_WRAPPER=$PWD/rustc.sh cargo +nightly fuzz build "${options[@]}"
        mkdir -p "target/$way/checks"
        cp target/$way/*/release/check target/new && mv target/new "target/$way/checks/$check"
    done
done
# Of an error that is expected nobody wants to know where it was made, which takes longer than the parser.
export RUST_LIB_BACKTRACE=0
export -f fuzz executions run row
export seconds GUIDED QUICK_BYTES_MAX
printf '%s\n' "$@" | xargs -P "$(nproc)" -I {} bash -euo pipefail -c 'fuzz {} "$seconds"' || {
    echo "broken promises: see above" >&2
    exit 1
}
