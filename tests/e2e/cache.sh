#!/bin/bash
# Promise: `starling cache` shows what starlingd holds, keeps what is pinned over a restart, gives up what it is told to,
# finds what the disk has spoiled and has it fetched again, while containers go on; it does the same for a
# `starling mount` and for a store that nobody serves, and every example of docs/cache.md works. The store stays below
# its cap under the pull and the reading of three times as much, and a container whose files are evicted under it reads
# the right bytes; so does one of plain layers, which go and come back as a whole. An image can be pinned that only containerd
# knows by its name.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

mebibyte=$((1 << 20))
cap=$((96 * mebibyte))
make_image "$work"
# The same with more plain layers.
umoci tag --image "$work/oci:plain" whole
for layer in 1 2 3; do
  mkdir -p "$work/tree/whole$layer"
  for file in 1 2 3; do head -c $((3 * mebibyte)) /dev/urandom >"$work/tree/whole$layer/$file"; done
  (cd "$work/tree" && find . -type f -exec sha256sum {} + >>"$work/whole-sums")
  tar -C "$work/tree" -cf "$work/whole$layer.tar" .
  umoci raw add-layer --image "$work/oci:whole" "$work/whole$layer.tar"
  rm -rf "$work/tree" "$work/whole$layer.tar"
done
# Layers of random bytes, three times the cap together, and busybox.
for layer in 1 2 3; do
  mkdir -p "$work/tree/big$layer"
  for file in $(seq 1 8); do head -c $((12 * mebibyte)) /dev/urandom >"$work/tree/big$layer/$file"; done
  for file in $(seq 1 200); do head -c 3000 /dev/urandom >"$work/tree/big$layer/small-$file"; done
  (cd "$work/tree" && find . -type f -exec sha256sum {} + >>"$work/sums")
  tar -C "$work/tree" -cf "$work/big$layer.tar" .
  umoci raw add-layer --image "$work/oci:plain" "$work/big$layer.tar"
  rm -rf "$work/tree" "$work/big$layer.tar"
done
start_registry "$work"
image=$REGISTRY/t/image:1-esgz
starling convert "oci:$work/oci:plain" "docker://$image" >/dev/null
whole=$REGISTRY/t/whole:1
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:whole" "docker://$whole"
rm -rf "$work/oci"

export STARLING_ADDRESS=$work/starling.sock
expect_refusal "no daemon" "starling cache: .*nobody answers at $work/starling.sock: is starlingd running" starling cache ls
starlingd_settings=$'[store]\nmax_size_bytes = '$cap
start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS
# What the files of the store take of the disk; du counts what a process removes meanwhile as an error.
store_bytes() {
  { du -s --block-size=1 "$work/starling/store" 2>/dev/null || true; } | cut -f 1
}
watch_store() {
  local bytes most=0
  while :; do
    bytes=$(store_bytes)
    [ "${bytes:-0}" -le "$most" ] || { most=$bytes && echo "$most" >"$work/most"; }
    sleep 0.1
  done
}
begin_watching() {
  watch_store &
  watcher=$!
  E2E_PIDS+=("$watcher")
}
begin_watching
expect "layers of the pull" "$(starling pull --json "$image" | jq -c '[.lazyLayers, .presentLayers, .downloadedLayers]')" "[6,0,0]"
run() {
  local name=$1
  shift
  ctr run --rm --snapshotter stargz --mount "type=bind,src=$work/sums,dst=/tmp/sums,options=bind:ro" "$image" "$name" "$@"
}
# drop_caches: so that reads come to the store again. Of the whole machine, and harmless.
drop_caches() {
  echo 3 >/proc/sys/vm/drop_caches
}
expect "a container that reads three times the cap" "$(run c1 /bin/sh -c 'cd / && sha256sum -c /tmp/sums | grep -vc OK' || true)" 0
kill "$watcher"
echo "the store took $(cat "$work/most") bytes at most, of $cap"
[ "$(cat "$work/most")" -le $((cap + 64 * mebibyte)) ] || fail "the cap was exceeded by more than 64 MiB"
[ "$(cat "$work/most")" -ge $((cap / 2)) ] || fail "most of the store is not used"

cache() {
  starling cache "$@"
}
cache ls --json >"$work/ls.json"
expect "layers that are listed" "$(jq '.layers | length' "$work/ls.json")" 6
expect "the cap" "$(jq .maxSize "$work/ls.json")" "$cap"
expect_refusal "a second process on its store" '--address.*another process uses' starling cache ls --root "$work/starling"
expect_refusal "a second daemon on its root" 'in use by another starlingd' starlingd --root "$work/starling" --address "$work/other.sock"
expect "the images of all" "$(jq -r '[.layers[].images[]] | unique | join(" ")' "$work/ls.json")" "$image"
# Nothing is mounted for a name that all layers are here for.
ctr images tag "$image" "$REGISTRY/t/again:1" >/dev/null
expect "an image whose layers were all here" "$(cache ls --json | jq -r '[.layers[].images[]] | unique | join(" ")')" "$REGISTRY/t/again:1 $image"
expect_match "without containerd" "$(cache ls --containerd "$work/none.sock" 2>&1 >/dev/null)" "are missing: .*$work/none.sock"
ctr images rm "$REGISTRY/t/again:1" >/dev/null
expect "what the store takes is what it says" \
  "$(python3 -c "print(abs($(jq .diskSize "$work/ls.json") - $(store_bytes)) < $mebibyte)")" True
layer=$(jq -r '[.layers[] | select(.heldSize > 1000000)][0].digest' "$work/ls.json")
held_of() {
  cache ls --json | jq --arg layer "$1" '.layers[] | select(.digest == $layer).heldSize'
}

# A container goes on while its chunks are evicted and fetched again.
run c3 /bin/sh -c 'for i in 1 2; do cd / && sha256sum -c /tmp/sums | grep -vc OK; done; echo end' >"$work/c3" 2>&1 &
reader=$!
while kill -0 "$reader" 2>/dev/null; do
  cache evict --to 0 >/dev/null || true
  drop_caches
  sleep 0.3
done
wait "$reader" || fail "the container failed: $(cat "$work/c3")"
expect "a container whose files are evicted" "$(tr '\n' ' ' <"$work/c3")" "0 0 end "

drop_caches
run c4 /bin/sh -c 'cd / && sha256sum -c /tmp/sums' >/dev/null
layer=$(cache ls --json | jq -r '[.layers[] | select(.heldSize > 1000000)][0].digest')
cache pin "$layer" >/dev/null
held=$(held_of "$layer")
expect_refusal "an eviction of what is pinned" 'stays: pinned' starling cache evict "$layer"
status=0
cache evict --to 1MiB >/dev/null || status=$?
expect "an eviction to less than is pinned" "$status" 4
expect "what a pinned layer holds after it" "$(held_of "$layer")" "$held"
stop_process "$STARLINGD_PID"
start_starlingd "$work"
await_snapshotter
drop_caches
run c5 /bin/sh -c 'cd / && sha256sum -c /tmp/sums' >/dev/null
[ "$(held_of "$layer")" -ge "$held" ] || fail "a pin was not honoured after a restart"
echo "ok: a pin after a restart"

expect_match "a verification" "$(cache verify 2>"$work/progress")" '^6 layers verified, 0 chunks were wrong'
expect "lines of progress" "$(wc -l <"$work/progress")" 6
# spoil LAYER FILE: other bytes where the first held ones are, as a disk may have it.
spoil() {
  python3 - "$work"/starling/store/"${1#sha256:}".*/data <<'P'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
at = os.lseek(fd, 0, os.SEEK_DATA)
os.pwrite(fd, bytes(byte ^ 0xFF for byte in os.pread(fd, 100, at)), at)
P
}
spoil "$layer"
status=0
cache verify --json >"$work/verify.json" || status=$?
expect "a verification of spoiled bytes" "$status $(jq -c '[.wrongChunks, .mendedChunks]' "$work/verify.json")" "3 [1,1]"
cache verify "$layer" >/dev/null 2>&1 || fail "what was mended is wrong"
drop_caches
expect "a container after it" "$(run c6 /bin/sh -c 'cd / && sha256sum -c /tmp/sums | grep -vc OK' || true)" 0
cache unpin "$layer" >/dev/null

# Every example of the documentation, with names that exist here.
cache pin "$layer" >/dev/null
cache unpin "$layer" >/dev/null
examples=$(sed -n 's/^starling cache /&/p' "$here/../../docs/cache.md" | grep -v -- '--mount\|--root')
[ -n "$examples" ] || fail "docs/cache.md has no examples"
while read -r example; do
  example=${example//ghcr.io\/me\/app:1-esgz/$image}
  example=${example//sha256:0d6a.../$layer}
  bash -c "$example" >"$work/output" 2>"$work/error" </dev/null || fail "$example: $(cat "$work/error")"
  echo "ok: $example"
done <<<"$examples"
for command in ls pin unpin evict verify clear; do
  starling cache $command --help | grep -q "Example: starling cache $command" || fail "$command --help has no example"
done

ctr images rm --sync "$image" >/dev/null
wait_until 20 "the removal of the image's layers" bash -c "test \$(starling cache ls --json | jq '.layers | length') = 0"
stop_process "$STARLINGD_PID"

# Plain layers of one and a half times the cap.
cap=$((24 * mebibyte))
starlingd_settings=$'[store]\nmax_size_bytes = '$cap
start_starlingd "$work"
# Where there is no snapshot, containerd lists them without asking for any.
wait_until 20 "containerd's return to the snapshotter" ctr snapshots --snapshotter stargz prepare first
ctr snapshots --snapshotter stargz rm first
begin_watching
expect "plain layers of a pull" "$(starling pull --json "$whole" | jq -c "[.lazyLayers, .wholeLayers, .downloadedLayers]")" "[0,6,0]"
for container in c7 c8; do
  drop_caches
  expect "$container, whose layers are evicted as a whole" "$(ctr run --rm --snapshotter stargz --mount \
    "type=bind,src=$work/whole-sums,dst=/tmp/sums,options=bind:ro" "$whole" "$container" /bin/sh -c \
    'cd / && sha256sum -c /tmp/sums | grep -vc OK' || true)" 0
done
kill "$watcher"
echo "the store took $(cat "$work/most") bytes at most, of $cap"
[ "$(cat "$work/most")" -le $((cap + mebibyte)) ] || fail "the cap was exceeded by plain layers"
fetched_again=$(grep -c 'has lost a part and is fetched again as a whole' "$work/starlingd.log" || true)
[ "$fetched_again" -ge 1 ] || fail "no layer was evicted and fetched again"
expect "why plain layers stay" "$(cache ls --json | jq -r '[.layers[].pins[]] | join(" ")')" ""
again=$REGISTRY/t/whole:again
ctr images tag "$whole" "$again" >/dev/null
expect "a pin by a name that containerd alone knows" "$(cache pin "$again")" "6 layers are pinned"
expect "layers that it pins" "$(cache ls --json | jq '[.layers[] | select(.pins != [])] | length')" 6
expect "its end" "$(cache unpin "$again")" "6 layers have lost a pin"
expect_refusal "a name that nobody knows" "nothing is held of $REGISTRY/t/none:1.*containerd at .* has no image" \
  starling cache pin "$REGISTRY/t/none:1"
ctr images rm --sync "$again" "$whole" >/dev/null
stop_process "$STARLINGD_PID"

# Without containerd: a mount has a cache of its own, served as long as it is mounted.
mkdir "$work/mnt"
starling mount --root "$work/mount-root" "$image" "$work/mnt"
sha256sum "$work/mnt/big1/1" >/dev/null
expect_match "the cache of a mount" "$(starling cache ls --root "$work/mount-root" --json | jq -c '[.layers[] | select(.mounted)] | length')" 6
starling cache evict --to 0 --root "$work/mount-root" >/dev/null || true
drop_caches
expect "a mount after an eviction" "$(cd "$work/mnt" && sha256sum -c "$work/sums" 2>&1 | grep -vc OK || true)" 0
starling umount "$work/mnt"
expect "a store that nobody serves" "$(starling cache ls --root "$work/mount-root" --json | jq -c '[.layers[] | select(.mounted)] | length')" 0
expect "its clearing" "$(starling cache clear --root "$work/mount-root" --json | jq .removedLayers)" 6
expect_refusal "a directory without a store" 'there is no store' starling cache ls --root "$work/none"
echo PASS
