#!/usr/bin/env bash
# Fetches the stores that the row `store_peers` measures beside Leela's into a directory (target/peers), as the user who
# calls it: nothing is installed in the system, no service starts. Versions are pinned; what is there already stays.
#
#   VictoriaMetrics   built with Go where there is one (1.26 or later, some minutes the first time), else Debian's
#   Prometheus        Debian's
set -euo pipefail
cd "$(dirname "$0")/../../.."
dir=${1:-${CARGO_TARGET_DIR:-target}/peers}
victoria=v1.131.0 victoria_debian=1.79.5+ds1-2+b5 prometheus_debian=2.42.0+ds-5+deb12u1
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# is_there NAME VERSION
is_there() { [ -x "$dir/$1" ] && [ "$(cat "$dir/$1.version" 2>/dev/null)" = "$2" ]; }

# keep NAME VERSION FILE: the version goes last, so that half a copy counts as none
keep() {
    rm -f "$dir/$1.version"
    cp "$3" "$dir/$1"
    echo "$2" >"$dir/$1.version"
    echo "$1 $2 is in $dir"
}

# debian PACKAGE VERSION PROGRAM: out of the package, without installing it
debian() {
    (cd "$work" && apt-get download -q "$1=$2" 2>/dev/null && dpkg-deb -x "$1"_*.deb "$1") || {
        echo "$1 $2 cannot be had: it is of Debian 12 (apt-get update may be due)" >&2
        return 1
    }
    keep "$1" "$2" "$work/$1/usr/bin/$3"
}

missing=0
if command -v go >/dev/null; then
    if ! is_there victoria-metrics "$victoria"; then
        module=github.com/VictoriaMetrics/VictoriaMetrics
        mkdir "$work/module"
        # A module that requires it: `go install` would ask for a list of versions, which not every proxy has.
        printf 'module peer\n\ngo 1.26\n\nrequire %s %s\n' "$module" "$victoria" >"$work/module/go.mod"
        (cd "$work/module" && go build -mod=mod -ldflags "-s -w" -o "$work/built" "$module/app/victoria-metrics")
        keep victoria-metrics "$victoria" "$work/built"
    fi
elif ! is_there victoria-metrics "$victoria_debian"; then
    debian victoria-metrics "$victoria_debian" victoria-metrics || missing=1
fi
is_there prometheus "$prometheus_debian" || debian prometheus "$prometheus_debian" prometheus || missing=1
exit $missing
