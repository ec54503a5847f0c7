#!/bin/sh
# Builds a Debian package of what install.sh installs; prints its path. Needs dpkg-dev.
# usage: systemd/debian/build.sh DIRECTORY-OF-BINARIES OUTPUT-DIRECTORY
set -eu
binaries=$(cd "$1" && pwd) output=$(mkdir -p "$2" && cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
sources=$here/../..
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$sources/Cargo.toml" | head -n 1)-1
architecture=${DEB_HOST_ARCH:-$(dpkg --print-architecture)}
# The same sources give the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$sources" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree doc=$work/tree/usr/share/doc/leela
sh "$here/../install.sh" "$binaries" "$tree" /usr

for program in "$tree"/usr/bin/*; do
    "${STRIP:-strip}" --strip-unneeded --remove-section=.comment --remove-section=.note "$program"
done
find "$tree/usr/share/man" -type f -exec gzip -9n {} +

# What is said of it.
mkdir -p "$doc"
cp "$here/copyright" "$doc/copyright"
for page in README.md SECURITY.md ARCHITECTURE.rst; do
    cp "$sources/$page" "$doc/"
done
gzip -9nc "$sources/CHANGELOG.md" >"$doc/changelog.gz"
maintainer=$(sed -n 's/^Maintainer: //p' "$here/control.in")
gzip -9n >"$doc/changelog.Debian.gz" <<END
leela ($version) unstable; urgency=medium

  * Leela $version: see changelog.gz.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END

# Which libraries the programs need, and from which version on.
mkdir -p "$work/debian" "$tree/DEBIAN"
echo "Source: leela" >"$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O tree/usr/bin/* | sed -n 's/^shlibs:Depends=//p')
[ -n "$libraries" ] || { echo "dpkg-shlibdeps names no library" >&2; exit 1; }

# The units that are enabled from the first installation on: those that the target names.
enabled="leela.target $(sed -n 's/^Also=//p' "$tree/usr/lib/systemd/system/leela.target" | tr '\n' ' ')"
units=$(cd "$tree/usr/lib/systemd/system" && echo leela*)
services=$(cd "$tree/usr/lib/systemd/system" && echo leela*.service)
for file in control.in preinst postinst prerm postrm; do
    sed -e "s#@VERSION@#$version#" -e "s#@ARCHITECTURE@#$architecture#" -e "s#@LIBRARIES@#$libraries#" \
        -e "s#@SIZE@#$(du -sk --exclude=DEBIAN "$tree" | cut -f1)#" \
        -e "s#@UNITS@#$units#" -e "s#@SERVICES@#$services#" -e "s#@ENABLED@#${enabled% }#" \
        "$here/$file" >"$tree/DEBIAN/${file%.in}"
    [ "$file" = control.in ] || chmod 0755 "$tree/DEBIAN/$file"
done
(cd "$tree" && find etc -type f -printf '/%p\n' | sort >DEBIAN/conffiles)
(cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)

package=$output/leela_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$tree" "$package" >&2
echo "$package"
