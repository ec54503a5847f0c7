#!/usr/bin/env bash
# Fuzzes every check, or those named, keeps the corpus minimal, and writes what came of it into README.md.
# usage: tests/fuzz/run.sh SECONDS [CHECK...]
set -euo pipefail
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- $(ls corpus)
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --version 0.13.2
# Checked arithmetic finds more than the address sanitizer, which `make sanitize` lends to the unsafe modules.
cargo +nightly fuzz build --sanitizer none
failed=()
for check; do
    export CHECK=$check
    mkdir -p "target/grown/$check" "crashes/$check"
    log=target/$check.log
    [ -n "$(ls "corpus/$check" 2>/dev/null)" ] || { echo "$check has no corpus" >&2; exit 1; }
    echo "== $check"
    cargo +nightly fuzz run --sanitizer none check "target/grown/$check" "corpus/$check" -- \
        "-max_total_time=$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        "-artifact_prefix=crashes/$check/" >"$log" 2>&1 || { failed+=("$check"); tail -n 40 "$log"; }
    rmdir --ignore-fail-on-non-empty "crashes/$check"
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    # How often an edge was taken does not count here: a small corpus is worth more in a repository.
    if [[ " ${failed[*]-} " != *" $check "* ]]; then
        rm -rf "target/minimal/$check" && mkdir -p "target/minimal/$check"
        cargo +nightly fuzz run --sanitizer none check "target/minimal/$check" "corpus/$check" \
            "target/grown/$check" -- -set_cover_merge=1 -use_counters=0 -timeout=10 >>"$log" 2>&1
        rm -rf "corpus/$check" && cp -r "target/minimal/$check" "corpus/$check"
    fi
    # What earlier runs did is added to.
    IFS='|' read -r _ _ before _ _ before_seconds _ < <(grep "^| $check |" README.md || echo '|||||||')
    executions=$((${executions:-0} + ${before:-0}))
    files=$(find "corpus/$check" -type f | wc -l)
    bytes=$(cat "corpus/$check"/* | wc -c)
    row="| $check | $executions | ${coverage:-none} | $files files, $bytes bytes | $((seconds + ${before_seconds:-0})) | $(date -u +%Y-%m-%d) |"
    echo "$row"
    awk -v row="$row" -v check="$check" '
        index($0, "| " check " |") == 1 { if (!done) print row; done = 1; next }
        /^\|/ { table = 1 }
        table && !/^\|/ && !done { print row; done = 1 }
        { print }
        END { if (!done) print row }' README.md >target/README.md
    cp target/README.md README.md
done
[ ${#failed[@]} -eq 0 ] || { echo "broken promises: ${failed[*]}; the inputs lie in tests/fuzz/crashes" >&2; exit 1; }
