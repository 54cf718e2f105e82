#!/bin/bash
# Builds crictl, the client of the Container Runtime Interface, from the Go module proxy, once. Prints the directory that
# holds it.
set -euo pipefail

version=v1.34.0
here=$(dirname "$(realpath "$0")")
cache=${STARLING_TEST_CACHE:-/var/cache/starling-test}
bin=$cache/bin-crictl-$version
mkdir -p "$cache"
exec 8>"$cache/crictl.lock"
flock 8
if [ ! -e "$bin/complete" ]; then
  go=$("$here/../../packaging/go.sh")
  mkdir -p "$bin"
  # A module of our own: crictl's names what it replaces, which `go install` refuses. go.sum has the digests of all.
  cd "$here/crictl"
  CGO_ENABLED=0 GOTOOLCHAIN=local "$go" build -mod=readonly -o "$bin/crictl" sigs.k8s.io/cri-tools/cmd/crictl 1>&2
  touch "$bin/complete"
fi
echo "$bin"
