#!/bin/bash
# Promise: SIGTERM ends starlingd, and a pull, while they wait for a registry that does not answer: they give
# up the request instead of waiting for its deadline, and leave nothing mounted and nothing in containerd.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
starling convert "oci:$work/oci:plain" "oci:$work/oci:esgz" >/dev/null
start_process "$work/bad-registry.log" python3 "$here/bad_registry.py" "$work/oci" esgz
wait_until 20 "the bad registry's start" test -s "$work/bad-registry.log"
image=$(head -n 1 "$work/bad-registry.log")/stuck/image:esgz
# Deadlines that the test does not live to see.
starlingd_settings=$'[registry]\nrequest_timeout_sec = 3600\nblob_timeout_sec = 3600'
start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS

# seen WORD COUNT: the bad registry has said so often.
seen() {
  [ "$(grep -c "^$1 " "$work/bad-registry.log")" -ge "$2" ]
}

starling pull "$image" >"$work/pull.log" 2>&1 &
pull=$!
wait_until 20 "a Prepare that waits for the registry" seen asked 1
stop_process "$STARLINGD_PID" || fail "starlingd waited for the registry"
wait_until 20 "the end of starlingd's request" seen gone 1
expect "mounts of a stopped starlingd" "$(mounts_below "$work/starling")" ""
expect_match "what the log says of the layer" \
  "$(grep '"remote-snapshot-prepared":"false"' "$work/starlingd.log")" 'shutting down'

# The layer is to be an ordinary one then, so the pull fetches it, from the same registry.
wait_until 20 "a download that waits for the registry" seen asked 2
kill -TERM "$pull"
status=0
wait "$pull" || status=$?
expect "exit code of a stopped pull" "$status" 1
expect_match "its error" "$(tail -n 1 "$work/pull.log")" '^starling pull: .*stopped'
wait_until 20 "the end of the pull's request" seen gone 2
expect "leases, images and half-written blobs" \
  "$(ctr leases ls -q | wc -l) $(ctr images ls -q | wc -l) $(ctr content active | tail -n +2 | wc -l)" "0 0 0"
echo PASS
