#!/bin/sh
# Checks the systemd units: each loads without a warning, and is at most exposed as stated.
# usage: tests/units.sh DIRECTORY-OF-BINARIES
set -eu
binaries=$(cd "$1" && pwd)
units=$(cd "$(dirname "$0")/../systemd" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for unit in "$units"/leela*.service "$units"/leela*.socket "$units"/*.target; do
    # The programs are looked for where they were built; a name without its binary is an error of its own.
    sed "s#^ExecStart=/usr/bin/#ExecStart=$binaries/#" "$unit" >"$work/$(basename "$unit")"
done
systemd-analyze verify --man=no --recursive-errors=yes "$work"/*
for unit in "$work"/*.service; do
    exposure=$(systemd-analyze security --offline=yes "$unit" | sed -n 's/.*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p')
    echo "$(basename "$unit"): exposure $exposure"
    awk -v exposure="$exposure" 'BEGIN { exit !(exposure != "" && exposure <= 2.0) }' ||
        { echo "$(basename "$unit"): exposed by $exposure, at most 2.0" >&2; exit 1; }
done
