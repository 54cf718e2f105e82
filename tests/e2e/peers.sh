#!/bin/bash
# Builds tests/e2e/peers, whose modules come from the Go module proxy, once for each state of its sources.
# Prints the program's path.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
cache=${STARLING_TEST_CACHE:-/var/cache/starling-test}
state=$(cat "$here"/peers/{*.go,go.mod,go.sum} | sha256sum | head -c 16)
program=$cache/peers-$state
mkdir -p "$cache"
exec 8>"$cache/peers.lock"
flock 8
if [ ! -x "$program" ]; then
  go=$("$here/../../packaging/go.sh")
  (cd "$here/peers" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly \
    "$go" build -buildvcs=false -o "$program.new" . 1>&2)
  mv "$program.new" "$program"
fi
echo "$program"
