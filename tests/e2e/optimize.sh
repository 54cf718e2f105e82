#!/bin/bash
# Promise: an image that `starling optimize` has written starts cold with fewer requests and bytes than before, for the same
# output, and holds the same files; --profile attaches what a run needs to an image that stays as it is; commands that fail
# write nothing; nothing stays mounted, running or on the disk; every example of docs/optimize.md works.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
before_release() {
  for directory in "$work"/at*; do starling umount "$directory" 2>/dev/null; done
}
trap 'release_all "$work"' EXIT
mkdir "$work/tmp"
export TMPDIR=$work/tmp

# Two layers of many files: a start reads every tenth of one, in another order than they lie, and a part of a
# large one; and none of the other.
make_image "$work"
for layer in used unused; do
  mkdir -p "$work/tree/$layer"
  for file in $(seq 10 209); do head -c 200000 /dev/urandom >"$work/tree/$layer/$file"; done
  head -c 12000000 /dev/urandom >"$work/tree/$layer/large"
  tar -C "$work/tree" --sort=name -cf "$work/$layer.tar" .
  umoci raw add-layer --image "$work/oci:plain" "$work/$layer.tar"
  rm -rf "$work/tree" "$work/$layer.tar"
done
start_registry "$work"
plain=$REGISTRY/t/app:1
lazy=$REGISTRY/t/app:1-esgz
fast=$REGISTRY/t/app:1-fast
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:plain" "docker://$plain"
starling convert "$plain" "$lazy" >/dev/null 2>&1
start='{ for f in 200 10 90 180 50 40 130 20 110 160; do sha256sum /used/$f; done; dd if=/used/large bs=4096 skip=1500 count=16 2>/dev/null | sha256sum; }'

mark=$(registry_mark "$work")
starling optimize "$plain" -t "$fast" --json -- sh -c "$start" >"$work/optimized.json" 2>"$work/error" ||
  fail "$(cat "$work/error")"
read -r _ bytes <<<"$(registry_requests "$work" "$mark" | awk '$1 == "GET" { requests++; bytes += $4 } END { print requests, bytes }')"
size=$(skopeo inspect --raw --tls-verify=false "docker://$plain" | jq '[.layers[].size] | add')
[ "$bytes" -lt $((size + 100000)) ] || fail "$bytes bytes were downloaded of an image of $size"
echo "ok: $bytes bytes downloaded of an image of $size"
# JSON follows what the command printed.
sed -n '/^{$/,$p' "$work/optimized.json" >"$work/report.json"
expect "the command's output" "$(grep -c ' /used/' "$work/optimized.json")" 10
expect "what comes first, in its order" "$(jq -r '[.firstFiles[3][].path] | join(" ")' "$work/report.json")" \
  "$(printf '/used/%s ' 200 10 90 180 50 40 130 20 110 160 | sed 's/ $//')"
expect "what comes first of the layer that is not read" "$(jq -c '.firstFiles[4]' "$work/report.json")" '[]'
expect "what is read in parts" "$(jq -c '[.filesInParts[][].path]' "$work/report.json")" '["/used/large"]'
expect "busybox" "$(jq -r '[.firstFiles[0][].path] | join(" ")' "$work/report.json")" /bin/busybox
expect "what is left in the temporary directory" "$(ls "$work/tmp")" ""

# The image: its digest, its configuration, the landmarks.
expect "digest" "$(starling inspect --json "$fast" | jq -r .digest)" "$(jq -r .digest "$work/report.json")"
expect "its command" "$(skopeo inspect --config --tls-verify=false "docker://$fast" | jq -c .config)" \
  "$(skopeo inspect --config --tls-verify=false "docker://$plain" | jq -c .config)"
starling check --json --root "$work/nothing" "$fast" >"$work/check.json"
expect "landmarks" "$(jq -r '[.layers[].landmark] | join(" ")' "$work/check.json")" \
  "prefetch no-prefetch no-prefetch prefetch no-prefetch"
prefetched=$(jq '.layers[3].prefetchSize' "$work/check.json")
[ "$prefetched" -gt 2000000 ] && [ "$prefetched" -lt 2100000 ] || fail "$prefetched bytes before the landmark"

# The same files.
for image in "$lazy" "$fast"; do
  mkdir "$work/at"
  starling mount --root "$work/mount" "$image" "$work/at"
  python3 "$here/tree.py" "$work/at" | grep -v '^/ ' >"$work/tree-${image##*-}.txt"
  starling umount "$work/at"
  rm -rf "$work/at" "$work/mount"
done
cmp "$work/tree-esgz.txt" "$work/tree-fast.txt" || fail "the optimized image has other files"
echo "ok: $(wc -l <"$work/tree-fast.txt") files are the same"

# Cold starts by a starlingd that fetches nothing but what is asked for or prefetched.
# cold_start IMAGE: sets REQUESTS, BYTES and OUTPUT.
cold_start() {
  local mark node=$work/node-${1##*[:-]}
  mkdir "$node"
  starlingd_settings=$'[fetch]\nbackground = false\nrecord_profiles = false\npolicy = "lazy"\n'
  start_starlingd "$node"
  start_containerd "$node"
  mark=$(registry_mark "$work")
  starling pull --address "$CONTAINERD_ADDRESS" "$1" >/dev/null
  OUTPUT=$(ctr run --rm --snapshotter stargz "$1" c1 /bin/sh -c "$start")
  read -r REQUESTS BYTES <<<"$(registry_requests "$work" "$mark" | grep /blobs/ |
    awk '{ requests++; bytes += $4 } END { print requests, bytes }')"
  STALLS=$(starling status --address "$node/starling.sock" --json "$1" | jq '.images[0].stalls.reads')
  ctr images rm --sync "$1" >/dev/null
  stop_process "$CONTAINERD_PID" || fail "containerd did not stop"
  stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
}
cold_start "$lazy"
before_requests=$REQUESTS before_bytes=$BYTES before_output=$OUTPUT before_stalls=$STALLS
cold_start "$fast"
expect "the output of the optimized image" "$OUTPUT" "$before_output"
[ "$REQUESTS" -lt "$before_requests" ] || fail "$REQUESTS requests, $before_requests before"
[ "$BYTES" -lt "$before_bytes" ] || fail "$BYTES bytes, $before_bytes before"
echo "ok: $REQUESTS requests for $BYTES bytes and $STALLS reads that waited; before $before_requests, $before_bytes and $before_stalls"

# A profile beside the image, which stays as it is; indexes make a plain one lazy enough.
digest=$(skopeo inspect --raw --tls-verify=false "docker://$lazy" | sha256sum)
artifact=$(starling optimize "$lazy" --profile --root "$work/root" --json --runs 2 -- sh -c "$start >/dev/null" 2>"$work/error" | jq -r .artifact) ||
  fail "$(cat "$work/error")"
expect "the image after" "$(skopeo inspect --raw --tls-verify=false "docker://$lazy" | sha256sum)" "$digest"
expect_match "what is attached" "$artifact" '^sha256:[0-9a-f]{64}$'
starling profile pull --root "$work/other" "$lazy" >"$work/profile.txt"
expect_match "the profile" "$(cat "$work/profile.txt")" 'runs    2'
expect_refusal "a profile of a plain image" 'starling convert' starling optimize "$plain" --profile --root "$work/root" -- true

# Failures write nothing.
none=$REGISTRY/t/app:none
for command in "exit 3" "kill -KILL \$\$"; do
  status=0
  starling optimize "$plain" -t "$none" -- sh -c "$command" >/dev/null 2>"$work/error" || status=$?
  expect "exit code of '$command'" "$status" 1
  expect_match "its error" "$(cat "$work/error")" 'ended with exit code (3|137); nothing was written'
done
status=0
starling optimize "$plain" -t "$none" --wait-for ready -- sh -c 'echo red' >/dev/null 2>"$work/error" || status=$?
expect "exit code without the text" "$status" 1
expect_match "its error" "$(cat "$work/error")" 'ended without printing "ready"; nothing was written'
expect_refusal "neither" 'give either' starling optimize "$plain" -- true
expect_refusal "both" 'give either' starling optimize "$plain" --profile -t "$none" -- true
expect "what was written" "$(starling tags "$REGISTRY/t/app" | grep -c none || true)" 0

# The documentation's examples.
examples=$(sed -n '/^```sh$/,/^```$/p' "$here/../../docs/optimize.md" | grep '^starling ')
[ "$(wc -l <<<"$examples")" -ge 5 ] || fail "docs/optimize.md has few examples"
while read -r example; do
  command=${example//ghcr.io\/me/$REGISTRY/t}
  bash -c "$command" >/dev/null 2>"$work/error" </dev/null || fail "$example: $(cat "$work/error")"
  echo "ok: $example"
done <<<"$examples"
expect "what is left in the temporary directory" "$(ls "$work/tmp")" ""
expect "mounts after all" "$(mounts_below "$work"; grep -E '/tmp/starling-(record|run)-' /proc/self/mountinfo || true)" ""
echo PASS
