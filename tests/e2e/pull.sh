#!/bin/bash
# Promise: `starling pull` brings ordinary images to containerd's own snapshotter, however many pulls of one
# image run at once; one that is stopped or refused says why and leaves nothing in containerd.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
image=$REGISTRY/t/image:plain
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:plain" "docker://$image"
start_process "$work/bad-registry.log" python3 "$here/bad_registry.py" "$work/oci" plain
wait_until 20 "the bad registry's start" test -s "$work/bad-registry.log"
bad=$(head -n 1 "$work/bad-registry.log")
start_containerd "$work"
export CONTAINERD_ADDRESS

# pull IMAGE [OPTION...]: a pull that hangs does not end by SIGTERM, which only asks it to stop.
pull() {
  timeout -k 1 60 starling pull --snapshotter "${SNAPSHOTTER:-overlayfs}" "$@"
}

# held: what containerd has of leases, snapshots, half-written and whole blobs, images.
held() {
  echo "$(ctr leases ls -q | wc -l) $(ctr snapshots ls | tail -n +2 | wc -l)" \
    "$(ctr content active | tail -n +2 | wc -l) $(ctr content ls -q | wc -l) $(ctr images ls -q | wc -l)"
}

expect "what a fresh containerd holds" "$(held)" "0 0 0 0 0"
expect "layers of the first pull" \
  "$(pull --json "$image" | jq -c '[.lazyLayers, .presentLayers, .downloadedLayers]')" "[0,0,3]"
expect "what a pulled image holds" "$(held)" "0 3 0 5 1"
expect "output of a container" \
  "$(ctr run --rm "$image" c1 /bin/sh -c 'cat /data/kept; test -e /data/removed || echo gone')" \
  $'changed\ngone'
expect "layers of the second pull" \
  "$(pull --json "$image" | jq -c '[.lazyLayers, .presentLayers, .downloadedLayers]')" "[0,3,0]"
# What is drawn in place is drawn before the name, and not once more after it.
"$here/on_terminal.py" sh -c "stty cols 100; starling pull --snapshotter overlayfs $image" </dev/null | tr -d '\r' >"$work/terminal"
expect "the last line on a terminal" "$(tail -n 1 "$work/terminal")" "$image"
ctr images rm --sync "$image" >/dev/null
expect "what is left of a removed image" "$(held)" "0 0 0 0 0"

# Pulls of one image at once, slow enough to overlap in every layer.
pulls=()
for number in 1 2 3; do
  pull --json "$bad/slow/image:plain" >"$work/pull-$number.json" 2>"$work/pull-$number.log" &
  pulls+=($!)
done
for number in 1 2 3; do
  wait "${pulls[number - 1]}" || fail "pull $number of three: $(tail -n 1 "$work/pull-$number.log")"
done
expect "what three pulls at once hold" "$(held)" "0 3 0 5 1"
expect "their layers: none is lazy, each is there" \
  "$(jq -c '[.lazyLayers, .presentLayers + .downloadedLayers]' "$work"/pull-?.json | sort -u)" "[0,3]"
ctr images rm --sync "$bad/slow/image:plain" >/dev/null
expect "what is left of them" "$(held)" "0 0 0 0 0"

# stopped SIGNAL: a pull that gets it in the middle of a layer.
stopped() {
  local status=0 pid
  starling pull --snapshotter overlayfs "$bad/slow/image:plain" >"$work/stopped.log" 2>&1 &
  pid=$!
  wait_until 20 "a layer on its way" bash -c 'ctr content active | grep -q sha256'
  kill "-$1" "$pid"
  wait "$pid" || status=$?
  expect "$1: exit code" "$status" 1
  expect_match "$1: error" "$(tail -n 1 "$work/stopped.log")" '^starling pull: .*stopped'
  # Without its lease, what the pull wrote is the collector's, which a lease deleted in sync runs now.
  ctr leases create --id collect >/dev/null
  ctr leases delete --sync collect >/dev/null
  expect "$1: what is left" "$(held)" "0 0 0 0 0"
}
stopped INT
stopped TERM

# refused WHAT REGEX ARGUMENT...
refused() {
  local what=$1 regex=$2 status=0
  shift 2
  pull "$@" >/dev/null 2>"$work/error" || status=$?
  expect "$what: exit code" "$status" 1
  expect_match "$what: error" "$(tail -n 1 "$work/error")" "^starling pull: .*($regex)"
  expect "$what: images" "$(ctr images ls -q | wc -l) $(ctr leases ls -q | wc -l)" "0 0"
}
refused "404" '404|not found' "$bad/missing/image:plain"
refused "500" '500' "$bad/broken/image:plain"
refused "truncated layers" '416|bytes|size' "$bad/truncated/image:plain"
refused "changed layers" 'digest|sha256' "$bad/wrong-chunk/image:plain"
SNAPSHOTTER=nope refused "no such snapshotter" 'nope' "$image"
refused "no containerd" 'none.sock.*is it running' --address "$work/none.sock" "$image"
SNAPSHOTTER=stargz refused "the snapshotter's daemon is away" 'prepare a snapshot' "$image"
echo PASS
