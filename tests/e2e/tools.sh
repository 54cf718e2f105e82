#!/bin/bash
# Builds the peers that Debian 12 does not have, from the Go module proxy, once: containerd 2.3 with its
# ctr and shim, and nerdctl. Prints the directory that holds them.
set -euo pipefail

containerd_version=v2.3.4
nerdctl_version=v2.3.5
here=$(dirname "$(realpath "$0")")
cache=${STARLING_TEST_CACHE:-/var/cache/starling-test}
bin=$cache/bin-$containerd_version-$nerdctl_version
mkdir -p "$cache"
exec 8>"$cache/tools.lock"
flock 8
if [ -e "$bin/complete" ]; then
  echo "$bin"
  exit 0
fi

go=$("$here/../../packaging/go.sh")
export CGO_ENABLED=0 GOTOOLCHAIN=local
mkdir -p "$bin"
for program in containerd ctr containerd-shim-runc-v2; do
  GOBIN=$bin "$go" install "github.com/containerd/containerd/v2/cmd/$program@$containerd_version" 1>&2
done

# nerdctl cannot be installed by version, because its go.mod replaces a module. A module of our own takes
# over its requirements, and a stub the replaced module, which only its tests call.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$(cd /tmp && "$go" mod download -json "github.com/containerd/nerdctl/v2@$nerdctl_version" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
cp -r "$here/nerdctl/stub" "$work/stub"
sed 's|^module .*|module starling.test/nerdctl|; s|=> ./mod/tigron|=> ./stub|' "$source/go.mod" >"$work/go.mod"
cp "$source/go.sum" "$work/go.sum"
chmod u+w "$work/go.mod" "$work/go.sum"
(
  cd "$work"
  "$go" mod edit -require="github.com/containerd/nerdctl/v2@$nerdctl_version" \
    -replace=github.com/containerd/nerdctl/mod/tigron=./stub
  GOFLAGS=-mod=mod "$go" build -o "$bin/nerdctl" github.com/containerd/nerdctl/v2/cmd/nerdctl 1>&2
)
touch "$bin/complete"
echo "$bin"
