#!/bin/sh
# Installs the real services that the tests start, where this user may (Debian and its kin; versions are those of
# the distribution's release). Says what is missing where he may not.
set -eu
. "$(dirname "$0")/retry.sh"
packages="chromium collectd-core curl libfaketime strace openssl prometheus python3 python3-docutils systemd bsdutils dpkg-dev
systemd-container debootstrap util-linux prosody lua-unbound lua-sec ejabberd redis-server python3-slixmpp"
# Client libraries of StatsD and a tree to boot go into the target folder, last: what makes them may be installed here.
into_target() { "$(dirname "$0")/statsd_clients/install.sh" && "$(dirname "$0")/booted.sh"; }
missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -z "$missing" ]; then
    into_target
    exit
fi
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo=sudo
else
    echo "missing:$missing; install them as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "installing:$missing" >&2
# Another one at work, an unattended upgrade for one, is waited for.
apt="apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5"
# shellcheck disable=SC2086 # words
retry $sudo $apt update
# Tests start their own servers: what is installed here neither starts now (invoke-rc.d and deb-systemd-invoke ask this
# file; one that is there stays) nor at the next boot.
units() { (cd /lib/systemd/system 2>/dev/null && ls -- *.service *.socket 2>/dev/null) | grep -v @ | sort; }
before=$(mktemp)
units >"$before"
policy=/usr/sbin/policy-rc.d
remove="$before"
if [ ! -e "$policy" ]; then
    remove="$before $policy"
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod 755 "$policy"
fi
# shellcheck disable=SC2064 # as it is now
trap "$sudo rm -f $remove" EXIT
# shellcheck disable=SC2086 # words, and a list of packages
retry $sudo env DEBIAN_FRONTEND=noninteractive $apt install -y --no-install-recommends $missing >/dev/null
if command -v systemctl >/dev/null; then
    # One that cannot be disabled cannot be enabled.
    units | comm -13 "$before" - | xargs -r $sudo systemctl disable --quiet 2>/dev/null || true
fi
into_target
