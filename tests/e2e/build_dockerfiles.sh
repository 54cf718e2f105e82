#!/bin/bash
# Promise: `starling build` builds what BuildKit's own tests build, with the checks in their RUN steps, and refuses what they do, for
# every test of the table beside the repository that is whole there; build_dockerfiles.py names the others and the exceptions.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/build_bases.sh"
need_tables integration/dockerfiles_by_test.json
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

start_registry "$work"
make_bases "$work"
start_starlingd "$work"
start_containerd "$work" "$("$here/tools.sh")"
"$here/build_dockerfiles.py" --tables "$TABLES" --registry "$REGISTRY" --containerd "$CONTAINERD_ADDRESS" --work "$work/cases" "$@"
expect "mounts that builds left" "$(grep -c starling-build /proc/self/mounts || true)" 0
echo PASS
