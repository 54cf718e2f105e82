#!/bin/bash
# Prints the path of a Go that can build the test peers (containerd 2.3 wants 1.26). Debian 12's own Go is
# older; the toolchain that it needs is a module of the Go proxy, kept in STARLING_TEST_CACHE.
set -euo pipefail

wanted=1.26.3
cache=${STARLING_TEST_CACHE:-/var/cache/starling-test}

is_enough() {
  local have
  have=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  [ "$(printf '%s\n' "${have#go}" "$wanted" | sort -V | head -n 1)" = "$wanted" ]
}

for go in "$(command -v go || true)" "$cache/go/bin/go"; do
  if [ -x "$go" ] && is_enough "$go"; then
    echo "$go"
    exit 0
  fi
done

mkdir -p "$cache"
exec 9>"$cache/go.lock"
flock 9
if ! { [ -x "$cache/go/bin/go" ] && is_enough "$cache/go/bin/go"; }; then
  arch=$(dpkg --print-architecture)
  module="golang.org/toolchain@v0.0.1-go$wanted.linux-$arch"
  directory=$(cd /tmp && GOTOOLCHAIN=local GOFLAGS=-mod=mod go mod download -json "$module" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
  rm -rf "$cache/go.new"
  cp -r "$directory" "$cache/go.new"
  chmod -R u+w "$cache/go.new"
  chmod +x "$cache/go.new"/bin/* "$cache/go.new"/pkg/tool/*/*
  rm -rf "$cache/go"
  mv "$cache/go.new" "$cache/go"
fi
echo "$cache/go/bin/go"
