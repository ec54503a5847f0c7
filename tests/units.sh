#!/bin/sh
# Checks the systemd units: each has what all have, loads without a warning, and is at most exposed as stated.
# usage: tests/units.sh DIRECTORY-OF-BINARIES
set -eu
binaries=$(cd "$1" && pwd)
units=$(cd "$(dirname "$0")/../systemd" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

wrong() { echo "$1: $2" >&2; exit 1; }
has() { # has FILE LINE...
    file=$1
    shift
    for line in "$@"; do
        grep -qxF -e "$line" "$file" || wrong "$(basename "$file")" "it has no $line"
    done
}
for unit in "$units"/leela-*.service; do
    name=$(basename "$unit" .service) socket=${unit%.service}.socket
    has "$unit" Type=notify User="$name" Group=leela UMask=0027 PartOf=leela.target WantedBy=leela.target \
        "Documentation=man:$name(8)" WatchdogSec=30s Restart=always RestartSec=500ms StartLimitIntervalSec=0
    grep -q "^u $name " "$units/leela.sysusers" || wrong leela.sysusers "it has no $name"
    if grep -q ^StateDirectory= "$unit"; then
        has "$unit" "StateDirectory=leela/${name#leela-}" StateDirectoryMode=0700
    fi
    if [ ! -e "$socket" ]; then
        has "$unit" "RestartPreventExitStatus=77 78"
        continue
    fi
    # One that cannot start is tried again and again, so that its socket does not fail and the queue waits.
    ! grep -q ^RestartPreventExitStatus "$unit" || wrong "$name.service" "its socket would fail"
    has "$unit" "Requires=$name.socket" "After=$name.socket" "Also=$name.socket"
    has "$socket" StopPropagatedFrom=leela.target "WantedBy=sockets.target leela.target"
    has "$units/leela.target" "Also=$name.socket $name.service"
    ! grep -q '^Listen[A-Za-z]*=/run/leela/' "$socket" ||
        has "$socket" SocketUser=root SocketGroup=leela SocketMode=0660 RemoveOnStop=yes
done
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
