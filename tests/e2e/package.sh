#!/bin/bash
# Promise: the Debian package installs and starts the daemon; its upgrade, while containers read, fails no read; its purge
# leaves nothing. It is the same each time, lintian finds nothing, and the archive's programs bring their libraries.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT
packaging=$(realpath "$here/../../packaging")
build=$(realpath "$(dirname "$(command -v starling)")/../..")

deb=$("$packaging/deb.sh" "$build" "$work/packages")
"$packaging/deb.sh" "$build" "$work/again" >/dev/null
cmp "$deb" "$work/again/$(basename "$deb")" || fail "another package of the same programs"
echo "ok: the package is the same each time"
# It does not like to be root, which tests have to be.
lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$deb" >"$work/lintian" 2>&1 || fail "lintian: $(cat "$work/lintian")"
expect "what lintian says" "$(cat "$work/lintian")" ""
newer=$(STARLING_DEB_VERSION=9.9.9 "$packaging/deb.sh" "$build" "$work/newer")

# The bill of materials names what the programs load, with Debian's versions.
dpkg-deb -x "$deb" "$work/tree"
sbom=$work/tree/usr/share/doc/starling/starling.spdx.json
expect "its format" "$(jq -r '.spdxVersion + " " + .dataLicense' "$sbom")" "SPDX-2.3 CC0-1.0"
libcurl=$(dpkg-query -S "$(realpath "$(ldd "$(command -v starling)" | awk '/libcurl/ { print $3 }')")" | cut -d: -f1)
expect "the version of a library in it" "$(jq -r --arg name "$libcurl" '[.packages[] | select(.name | split(":")[0] == $name)][0].versionInfo' "$sbom")" \
  "$(dpkg-query -W -f '${Version}' "$libcurl")"
expect "a library of headers only" "$(jq -r '[.packages[].name | select(. == "nlohmann-json3-dev")] | length' "$sbom")" 1
expect "relations to packages that are not in it" \
  "$(jq '[.packages[].SPDXID] as $known | [.relationships[].relatedSpdxElement | select(IN($known[]) | not)] | length' "$sbom")" 0

# The archive: unpacked anywhere, with the loader told of nothing.
archive=$("$packaging/tarball.sh" "$build" "$work/packages")
mkdir "$work/anywhere"
tar -C "$work/anywhere" -xf "$archive"
program=$(echo "$work"/anywhere/*/bin/starling)
expect "what it says of itself" "$("$program" --version)" "$(starling --version)"
outside=$(ldd "$program" "${program}d" | awk '$2 == "=>" { print $3 }' | grep -v "^$work/anywhere/" | xargs -r dpkg-query -S |
  cut -d: -f1 | sort -u)
expect "libraries from elsewhere" "$outside" libc6

# A machine to install it on: a view of this one, where what is changed is in memory.
make_layers_image "$work" 5
start_registry "$work"
image=$REGISTRY/t/image:esgz
starling convert "oci:$work/oci:plain" "docker://$image" >/dev/null
unshare --mount --propagation private "$here/package_machine.sh" "$work" "$deb" "$newer" "$image"
echo PASS
