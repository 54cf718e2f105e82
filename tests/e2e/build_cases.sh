#!/bin/bash
# Promise: `starling build` makes the files and the configuration that buildah makes of the same Dockerfile and context, for every
# case of the tables beside the repository; where it does not, build_cases.py says why.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/build_bases.sh"
need_tables conformance/cases.json
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

start_registry "$work"
make_bases "$work"
start_starlingd "$work"
start_containerd "$work" "$("$here/tools.sh")"
"$here/build_cases.py" --tables "$TABLES" --registry "$REGISTRY" --containerd "$CONTAINERD_ADDRESS" --work "$work/cases" "$@"
expect "mounts that builds left" "$(grep -c starling-build /proc/self/mounts || true)" 0
echo PASS
