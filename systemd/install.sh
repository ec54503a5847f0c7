#!/bin/sh
# Installs programs, units, configuration and man pages.
# usage: systemd/install.sh DIRECTORY-OF-BINARIES DESTDIR PREFIX
set -eu
from=$1 root=$2 prefix=$3
here=$(cd "$(dirname "$0")" && pwd)
for binary in "$from"/leela "$from"/leela-*; do
    [ -f "$binary" ] && [ -x "$binary" ] || continue
    install -D -m 0755 "$binary" "$root$prefix/bin/$(basename "$binary")"
done
for unit in "$here"/leela*.service "$here"/leela*.socket "$here"/leela.target; do
    name=$(basename "$unit")
    install -d "$root$prefix/lib/systemd/system"
    sed "s#^ExecStart=/usr/bin/#ExecStart=$prefix/bin/#" "$unit" >"$root$prefix/lib/systemd/system/$name"
    chmod 0644 "$root$prefix/lib/systemd/system/$name"
done
install -D -m 0644 "$here/leela.sysusers" "$root$prefix/lib/sysusers.d/leela.conf"
install -D -m 0644 "$here/leela.tmpfiles" "$root$prefix/lib/tmpfiles.d/leela.conf"
install -D -m 0644 "$here/leela.sysctl" "$root$prefix/lib/sysctl.d/60-leela.conf"
for configuration in "$here"/../bins/*/*.toml; do
    name=$(basename "$configuration")
    [ "$name" = Cargo.toml ] || [ -e "$root/etc/leela/$name" ] || install -D -m 0644 "$configuration" "$root/etc/leela/$name"
done
for page in "$here"/../bins/*/leela*.[18].rst "$here"/leela-systemd.7.rst; do
    name=$(basename "$page" .rst)
    install -d "$root$prefix/share/man/man${name##*.}"
    rst2man "$page" "$root$prefix/share/man/man${name##*.}/$name"
done
