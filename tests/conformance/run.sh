#!/bin/bash
# Builds containerd's snapshotter suite and runs it against the starlingd named on the command line.
# Exit code 77 (skipped) says what is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
starlingd=$1
build=$2

if [ "$(id -u)" != 0 ]; then
  echo "skipped: needs root"
  exit 77
fi
if ! go=$("$here/../../packaging/go.sh"); then
  echo "skipped: needs a Go that can build containerd 2.3"
  exit 77
fi
mkdir -p "$build"
(cd "$here" && GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-mod=readonly "$go" test -c -o "$build/conformance.test" .)
# The suite's directories are the daemon's roots; they go with it.
scratch=$(mktemp -d /tmp/conformance.XXXXXX)
trap 'rm -rf --one-file-system "$scratch"' EXIT
cd "$scratch"
TMPDIR=$scratch SNAPSHOTTER_CMD="$starlingd --config $here/empty.toml --root {root} --address {sock} --log-level warn" \
  "$build/conformance.test" -test.v -test.timeout 500s >"$scratch/out" 2>&1 && failed=0 || failed=1
grep -E '^ *--- ' "$scratch/out" || true
if [ $failed = 1 ]; then
  cat "$scratch/out"
  exit 1
fi
passed=$(grep -c -E '^ +--- PASS: TestSuite/' "$scratch/out")
echo "$passed of 21 tests of containerd's suite pass"
[ "$passed" = 21 ]
