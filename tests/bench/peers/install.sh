#!/usr/bin/env bash
# Fetches what the rows `store_peers` and `statsd_peers` measure beside Leela into a directory (target/peers), as the user
# who calls it: nothing is installed in the system, no service starts. Versions are pinned; what is there already stays.
#
#   VictoriaMetrics    built with Go where there is one (1.26 or later, some minutes the first time), else Debian's
#   Prometheus         Debian's
#   statsd_exporter    built with Go
#   gostatsd           built with Go: of May 2018, the newest that is a module
#   Veneur, Telegraf   built with Go: a quarter of an hour and 1.5 GB of modules the first time. Of Telegraf only what
#                      the row needs: with all of it, some dependencies have no entry in the checksum database
#   statsd             npm's, run by node
#   collectd, netdata  Debian's; they use libraries of the system
set -euo pipefail
cd "$(dirname "$0")/../../.."
dir=${1:-${CARGO_TARGET_DIR:-target}/peers}
victoria=v1.131.0 victoria_debian=1.79.5+ds1-2+b5 prometheus_debian=2.42.0+ds-5+deb12u1
veneur=v14.2.0 telegraf=v1.37.2
exporter=v0.31.0 gostatsd=v0.0.0-20180514010436-af796620006e statsd=0.9.0
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

# unpacked PACKAGE VERSION NAME: all of the package, without installing it
unpacked() {
    is_there_dir "$3" "$2" && return
    rm -rf "${dir:?}/$3" "$dir/$3.version"
    (cd "$work" && apt-get download -q "$1=$2" 2>/dev/null && dpkg-deb -x "$1"_*.deb "$dir/$3") || {
        echo "$1 $2 cannot be had: it is of Debian 12 (apt-get update may be due)" >&2
        return 1
    }
    echo "$2" >"$dir/$3.version"
    echo "$3 $2 is in $dir"
}
is_there_dir() { [ -d "$dir/$1" ] && [ "$(cat "$dir/$1.version" 2>/dev/null)" = "$2" ]; }

# built NAME VERSION PACKAGE 'MODULE VERSION'...: with Go, from a module that requires these, by the tags in $tags
tags=""
built() {
    local name=$1 version=$2 package=$3
    shift 3
    is_there "$name" "$version" && return
    rm -rf "$work/module"
    mkdir "$work/module"
    # A module that requires it: `go install` would ask for a list of versions, which not every proxy has.
    printf 'module peer\n\ngo 1.26\n\n' >"$work/module/go.mod"
    printf 'require %s\n' "$@" >>"$work/module/go.mod"
    (cd "$work/module" && go build -mod=mod -tags "$tags" -ldflags "-s -w" -o "$work/built" "$package")
    keep "$name" "$version" "$work/built"
}

missing=0
if command -v go >/dev/null; then
    module=github.com/VictoriaMetrics/VictoriaMetrics
    built victoria-metrics "$victoria" $module/app/victoria-metrics "$module $victoria"
    module=github.com/prometheus/statsd_exporter
    built statsd_exporter "$exporter" $module "$module $exporter"
    module=github.com/atlassian/gostatsd
    # It is older than go.mod, hence the list.
    built gostatsd "$gostatsd" $module/cmd/gostatsd "$module $gostatsd" \
        'github.com/ash2k/stager v0.0.0-20170622123058-6e9c7b0eacd4' \
        'github.com/aws/aws-sdk-go v1.31.13' \
        'github.com/cenkalti/backoff v2.2.1+incompatible' \
        'github.com/go-redis/redis v6.15.9+incompatible' \
        'github.com/gxed/GoEndian v0.0.0-20160916112711-0f5c6873267e' \
        'github.com/gxed/eventfd v0.0.0-20160916113412-80a92cca79a8' \
        'github.com/ipfs/go-log v1.0.4' \
        'github.com/jbenet/go-reuseport v0.0.0-20180416043609-15a1cd37f050' \
        'github.com/json-iterator/go v1.1.12' \
        'github.com/libp2p/go-reuseport v0.0.0-20180416043609-15a1cd37f050' \
        'github.com/libp2p/go-sockaddr v0.1.0' \
        'github.com/sirupsen/logrus v1.9.3' \
        'github.com/spf13/pflag v1.0.10' \
        'github.com/spf13/viper v1.21.0' \
        'golang.org/x/net v0.55.0' \
        'golang.org/x/time v0.14.0'
    module=github.com/stripe/veneur/v14
    built veneur "$veneur" $module/cmd/veneur "$module $veneur"
    module=github.com/influxdata/telegraf
    tags=custom,inputs.statsd,outputs.discard built telegraf "$telegraf" $module/cmd/telegraf "$module $telegraf"
elif ! is_there victoria-metrics "$victoria_debian"; then
    debian victoria-metrics "$victoria_debian" victoria-metrics || missing=1
fi
command -v go >/dev/null || { echo "without Go there is no statsd_exporter, gostatsd, Veneur and Telegraf" >&2; missing=1; }
if ! is_there_dir statsd "$statsd"; then
    if npm install --silent --no-fund --no-audit --omit=optional --prefix "$dir/statsd" "statsd@$statsd"; then
        echo "$statsd" >"$dir/statsd.version"
    else
        echo "statsd $statsd cannot be had from npm" >&2
        missing=1
    fi
fi
unpacked collectd-core 5.12.0-14 collectd || missing=1
unpacked netdata-core 1.37.1-2 netdata || missing=1
is_there prometheus "$prometheus_debian" || debian prometheus "$prometheus_debian" prometheus || missing=1
exit $missing
