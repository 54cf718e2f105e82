#!/bin/bash
# reproducible.sh PACKAGES: builds the committed tree once more, elsewhere and without a compiler cache, and compares its
# packages with those in the directory PACKAGES byte for byte.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
packages=$(cd "$1" && pwd)
if [ -n "$(git -C "$source" status --porcelain)" ]; then
  echo "reproducible: commit what was changed first" >&2
  exit 1
fi
work=$(mktemp -d /var/tmp/starling-reproducible.XXXXXX)
trap 'rm -rf "$work"' EXIT
git clone -q "$source" "$work/elsewhere"
CCACHE_DISABLE=1 make -C "$work/elsewhere" deb tarball >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; exit 1; }
different=0
for package in "$packages"/*; do
  if cmp "$package" "$work/elsewhere/build/packages/$(basename "$package")"; then
    echo "the same: $(basename "$package")"
  else
    different=1
  fi
done
exit $different
