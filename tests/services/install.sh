#!/bin/sh
# Installs the real services that the tests start, where this user may (Debian and its kin; versions are those of
# the distribution's release). Says what is missing where he may not.
set -eu
packages="chromium collectd-core curl openssl prometheus python3 python3-docutils systemd bsdutils"
missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo=sudo
else
    echo "missing:$missing; install them as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "installing:$missing" >&2
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
