#!/bin/bash
# deb.sh BUILD OUTPUT: the Debian package of what is in the build directory, in the directory OUTPUT. The same programs
# give the same bytes. STARLING_DEB_VERSION is another version, for tests of upgrades.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$1" && pwd)
mkdir -p "$2"
output=$(cd "$2" && pwd)
read -r version day <<<"$("$source/packaging/version.sh" "$source")"
version=${STARLING_DEB_VERSION:-$version}-1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/starling
mkdir "$tree"
cp -r "$source/packaging/debian" "$tree/debian"
cat >"$tree/debian/changelog" <<C
starling ($version) unstable; urgency=medium

  * See /usr/share/doc/starling/CHANGELOG.md.

 -- Starling developers <starling@example.org>  $(LC_ALL=C date -u -d "$day" '+%a, %d %b %Y 00:00:00 +0000')
C
cd "$tree"
if ! STARLING_SOURCE=$source STARLING_BUILD=$build dpkg-buildpackage -us -uc -b >"$work/log" 2>&1; then
  tail -n 40 "$work/log" >&2
  exit 1
fi
package=$(basename "$work"/starling_*.deb)
cp "$work/$package" "$output/$package"
echo "$output/$package"
