#!/bin/sh
# Fetches client libraries of StatsD and DogStatsD into a directory (target/clients), from where each language has its
# packages: nothing is installed in the system. Versions are pinned; what is there already stays. Says what is missing.
set -eu
cd "$(dirname "$0")"
here=$(pwd)
. ../retry.sh
dir=${1:-${CARGO_TARGET_DIR:-$here/../../../target}/clients}
datadog=0.56.0 statsd=4.0.1 hot_shots=17.1.1 unix_dgram=2.0.7
# The one that is compiled: what calls it counts as well.
datadog_go="5.9.1 $(cksum <go/main.go)"
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
missing=""

# is_there NAME VERSION
is_there() { [ "$(cat "$dir/$1.version" 2>/dev/null)" = "$2" ]; }

# got NAME VERSION: it goes last, so that half of it counts as none
got() { echo "$2" >"$dir/$1.version" && echo "$1 $2 is in $dir" >&2; }

install_python() {
    rm -rf "${dir:?}/$1" "$dir/$1.version"
    python3 -m pip install -q --no-deps --disable-pip-version-check --root-user-action=ignore \
        --target "$dir/$1" "$1==$2" >&2
}

# python NAME VERSION
python() {
    is_there "$1" "$2" && return
    if retry install_python "$1" "$2"; then
        got "$1" "$2"
    else
        missing="$missing $1"
    fi
}

python datadog "$datadog"
python statsd "$statsd"
# hot-shots sends to unix sockets by a library that is compiled against the headers beside node.
if ! is_there hot-shots "$hot_shots $unix_dgram"; then
    headers=$(dirname "$(dirname "$(command -v node)")")
    [ ! -d "$headers/include/node" ] || export npm_config_nodedir="$headers"
    if retry npm install --silent --no-audit --no-fund --omit=optional --prefix "$dir" "hot-shots@$hot_shots" \
        "unix-dgram@$unix_dgram" >&2; then
        got hot-shots "$hot_shots $unix_dgram"
    else
        missing="$missing hot-shots"
    fi
fi
if ! is_there datadog-go "$datadog_go"; then
    if (cd go && retry go build -o "$dir/dogstatsd-client" .) >&2; then
        got datadog-go "$datadog_go"
    else
        missing="$missing datadog-go"
    fi
fi
[ -z "$missing" ] || { echo "missing:$missing; they need python3-pip, npm, a C++ compiler, go 1.21 and their registries" >&2; exit 1; }
