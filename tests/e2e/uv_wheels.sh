#!/bin/bash
# Prints a directory with the wheel of uv that builds take, fetched once from the package index. Ends with 77, and why, where that
# cannot be had.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
cache=${STARLING_TEST_CACHE:-/var/cache/starling-test}
path=$(sed -n 's/^[0-9a-f]\{64\}  \(.*\/uv-.*_x86_64\.whl\)$/\1/p' "$here/../../dockerfile/python/tools.cc")
wheel=$cache/uv/${path##*/}
mkdir -p "$cache/uv"
exec 8>"$cache/uv.lock"
flock 8
if [ ! -e "$wheel" ]; then
  if ! curl -fsS -o "$wheel.part" "https://files.pythonhosted.org/packages/$path"; then
    echo "SKIP: uv cannot be had from the package index" >&2
    exit 77
  fi
  mv "$wheel.part" "$wheel"
fi
echo "$cache/uv"
