#!/bin/bash
# Prints a directory with Pythons as python-build-standalone releases them, and their digests in SHA256SUMS. They are packed once
# from a Go module that carries them unpacked. Ends with 77, and why, where that cannot be had.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
cache=${STARLING_TEST_CACHE:-/var/cache/starling-test}
archives=$cache/python-archives-2
mkdir -p "$cache"
exec 8>"$cache/python.lock"
flock 8
if [ ! -e "$archives/SHA256SUMS" ]; then
  go=$("$here/../../packaging/go.sh")
  rm -rf "$archives"
  mkdir -p "$archives"
  for version in 3.12.3-20240415 3.11.6-20231002; do
    module=$(cd /tmp && GOTOOLCHAIN=local GOFLAGS=-mod=mod "$go" mod download -json "github.com/kluctl/go-embed-python@v0.0.0-$version-1" |
      python3 -c 'import json, sys; print(json.load(sys.stdin).get("Dir", ""))') || module=
    if [ -z "$module" ]; then
      echo "SKIP: the module with Python $version cannot be had" >&2
      exit 77
    fi
    "$here/pack_python.py" "$module" amd64 "$archives/cpython-${version/-/+}-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz"
    [ "$version" != 3.11.6-20231002 ] ||
      "$here/pack_python.py" "$module" arm64 "$archives/cpython-${version/-/+}-aarch64-unknown-linux-gnu-install_only.tar.gz"
  done
  (cd "$archives" && sha256sum ./*.tar.gz | sed 's|  \./|  |' >SUMS && mv SUMS SHA256SUMS)
fi
echo "$archives"
