#!/bin/bash
# tarball.sh BUILD OUTPUT: an archive that runs on any Linux with a glibc as new as Debian 12's: every other library is in
# it, and found beside the programs wherever it is unpacked. The same programs give the same bytes.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$1" && pwd)
mkdir -p "$2"
output=$(cd "$2" && pwd)
read -r version day <<<"$("$source/packaging/version.sh" "$source")"
name=starling-$version-linux-$(dpkg --print-architecture)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/$name
"$source/packaging/stage.sh" "$source" "$build" "$tree" ""
sed -i 's|=/bin/starlingd|=/usr/local/bin/starlingd|' "$tree/lib/systemd/system/starling.service"
install -m 0644 "$source/LICENSE" "$tree/share/doc/starling/LICENSE"

# glibc belongs to the kernel and the loader of the machine; no other library does.
libraries=$tree/lib/starling
mkdir -p "$libraries"
ldd "$tree"/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u | while read -r library; do
  case $(dpkg-query -S "$(realpath "$library")" "$library" 2>/dev/null | head -n 1) in
    libc6:*) ;;
    *) install -m 0755 "$(realpath "$library")" "$libraries/$(basename "$library")" ;;
  esac
done
strip "$tree"/bin/*
patchelf --force-rpath --set-rpath '$ORIGIN/../lib/starling' "$tree"/bin/*
patchelf --force-rpath --set-rpath '$ORIGIN' "$libraries"/*
tar -C "$work" --sort=name --mtime="$day 00:00:00Z" --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -9n >"$output/$name.tar.gz"
echo "$output/$name.tar.gz"
