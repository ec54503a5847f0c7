#!/bin/sh
# Makes the tree that tests boot a systemd in (target/booted/base): the distribution's release of this host, from the
# mirror that apt uses here. One that is there stays. Only root can make it, and boot it: says so to others.
set -eu
cd "$(dirname "$0")"
. ./retry.sh
dir=${1:-${CARGO_TARGET_DIR:-$(pwd)/../../target}/booted}
packages=systemd,systemd-sysv,dbus,iproute2
[ ! -e "$dir/base" ] || exit 0
skip() { echo "skipped: no systemd will be booted by tests: $*" >&2; exit 0; }
[ "$(id -u)" = 0 ] || skip "only root can make its tree ($dir/base)"
unshare --mount true 2>/dev/null || skip "nothing can be mounted here"
. /etc/os-release
release=${VERSION_CODENAME:?}
mirror=$(apt-get indextargets --format "\$(CODENAME) \$(SITE)" "Created-By: Packages" | sed -n "s/^$release //p" | head -1)
[ -n "$mirror" ] || { echo "apt has no mirror of $release" >&2; exit 1; }
echo "installing: $release with $packages into $dir/base" >&2
mkdir -p "$dir"
half=$(mktemp -d "$dir/half.XXXXXX")
trap 'rm -rf "$half"' EXIT
make_root() {
    # What is left of an attempt before; it may have left something mounted.
    rm -rf --one-file-system "$half/root"
    debootstrap --variant=minbase --include=$packages "$release" "$half/root" "$mirror" >"$half/log" 2>&1
}
if ! retry make_root; then
    tail -20 "$half/log" >&2
    exit 1
fi
rm -rf "$half"/root/var/cache/apt/* "$half"/root/var/lib/apt/lists/*
# It goes to its place whole, so that half of it counts as none.
mv "$half/root" "$dir/base"
