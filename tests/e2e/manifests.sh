#!/bin/bash
# Builds what renders Helm charts and reads Kubernetes manifests, from the Go module proxy, once. Prints the directory that
# holds it.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
cache=${STARLING_TEST_CACHE:-/var/cache/starling-test}
bin=$cache/bin-manifests-$(cat "$here"/manifests/* | sha256sum | cut -c 1-16)
mkdir -p "$cache"
exec 8>"$cache/manifests.lock"
flock 8
if [ ! -e "$bin/complete" ]; then
  go=$("$here/../../packaging/go.sh")
  mkdir -p "$bin"
  cd "$here/manifests"
  CGO_ENABLED=0 GOTOOLCHAIN=local "$go" build -mod=readonly -o "$bin/manifests" . 1>&2
  touch "$bin/complete"
fi
echo "$bin"
