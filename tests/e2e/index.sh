#!/bin/bash
# Promise: `starling index` makes an image of plain gzip layers readable in parts: what it shows equals the image's
# unpacking, a read costs a part of a layer, and another machine that pulls the indexes never reads
# a layer whole; starlingd takes attached ones where it is told to, and nowhere else; nothing stays mounted or running.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
before_release() {
  for directory in "$work"/at*; do starling umount "$directory" 2>/dev/null; done
}
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
image=$REGISTRY/t/image:plain
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:plain" "docker://$image"
umoci unpack --image "$work/oci:plain" "$work/bundle" >/dev/null 2>&1
python3 "$here/tree.py" "$work/bundle/rootfs" | grep -v '^/ ' >"$work/wanted.txt"
node=$work/node
mkdir "$work/at1" "$work/at2"

# mount_with NODE DIRECTORY
mount_with() {
  starling mount --root "$1/mount" --gzip-indexes "$1/gzip-indexes" "$image" "$2"
}

expect_refusal "nothing kept" 'no gzip index' starling index show --root "$node" "$image"
expect_refusal "nothing attached" 'none is of type' starling index pull --root "$node" "$image"
expect_refusal "nothing to push" 'no gzip index' starling index push --root "$node" "$image"

starling index create --root "$node" "$image" >"$work/created.txt"
expect "layers indexed" "$(grep -c '^sha256:' "$work/created.txt")" 3
expect "kept" "$(starling index show --root "$node" "$image")" "$(cat "$work/created.txt")"
mark=$(registry_mark "$work")
starling index create --root "$node" "$image" >/dev/null
expect "blobs read by a second create" \
  "$(registry_requests "$work" "$mark" | grep -c 'GET .*blobs/' || true)" 0

mark=$(registry_mark "$work")
mount_with "$node" "$work/at1"
expect "blobs read by mounting" "$(registry_requests "$work" "$mark" | grep -c 'GET .*blobs/' || true)" 0
expect "a small file" "$(cat "$work/at1/odd/owned")" owned
read -r _ bytes <<<"$(registry_cost "$work" "$mark")"
[ "$bytes" -lt 7000000 ] || fail "$bytes bytes for a small file"
echo "ok: $bytes bytes for a small file"
python3 "$here/tree.py" "$work/at1" | grep -v '^/ ' >"$work/seen.txt"
cmp "$work/wanted.txt" "$work/seen.txt" || fail "the mount differs from the image's unpacking"
echo "ok: $(wc -l <"$work/seen.txt") files"
starling umount "$work/at1"

# To another machine.
artifact=$(starling index push --root "$node" "$image")
expect_match "what is attached" "$artifact" '^sha256:[0-9a-f]{64}$'
other=$work/other
mark=$(registry_mark "$work")
starling index pull --root "$other" "$image" >"$work/pulled.txt"
expect "what was pulled" "$(cat "$work/pulled.txt")" "$(cat "$work/created.txt")"
read -r _ bytes <<<"$(registry_cost "$work" "$mark")"
[ "$bytes" -lt 500000 ] || fail "$bytes bytes for the indexes"
mount_with "$other" "$work/at2"
python3 "$here/tree.py" "$work/at2" | grep -v '^/ ' >"$work/seen.txt"
cmp "$work/wanted.txt" "$work/seen.txt" || fail "the other machine's mount differs"
starling umount "$work/at2"

# A daemon takes attached indexes where it is told whom to trust, and asks nobody else.
# found_by DIR FROM: pulls twice by a daemon that keeps none of its own; sets LAZY, how many layers the second pull has
# lazily, and QUESTIONS, the requests for what is attached.
found_by() {
  mkdir "$1"
  starlingd_settings=$'[fetch]\nbackground = false\nkeep_gzip_indexes = false\ngzip_indexes_from = '"$2"$'\n'
  start_starlingd "$1"
  starlingd_settings=
  start_containerd "$1"
  local mark before lazy='"msg":"prepared a lazy layer"'
  mark=$(registry_mark "$work")
  starling pull --address "$CONTAINERD_ADDRESS" "$image" >/dev/null
  # Nobody waits for the answer, so the first pull may have been faster.
  [ "$2" = "[]" ] || wait_until 20 "the keeping of three indexes" has_indexes "$1" 3
  ctr images rm --sync "$image" >/dev/null
  before=$(grep -c "$lazy" "$1/starlingd.log" || true)
  starling pull --address "$CONTAINERD_ADDRESS" "$image" >/dev/null
  LAZY=$(($(grep -c "$lazy" "$1/starlingd.log" || true) - before))
  QUESTIONS=$(registry_requests "$work" "$mark" | grep -c -E 'GET .*/manifests/sha256-' || true)
  expect "a file by a daemon with $2" "$(ctr run --rm --snapshotter stargz "$image" c1 /bin/cat /data/kept)" changed
  ctr images rm --sync "$image" >/dev/null
  stop_process "$CONTAINERD_PID" || fail "containerd did not stop"
  stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
}
has_indexes() { [ "$(find "$1/starling/gzip-indexes" -name '*.gzidx' | wc -l)" = "$2" ]; }
found_by "$work/trusting" "[\"$REGISTRY\"]"
expect "layers that are lazy by attached indexes" "$LAZY" 3
expect "questions about attached indexes, for the index under the tag" "$QUESTIONS" 1
found_by "$work/cautious" '[]'
expect "layers that are lazy without trust" "$LAZY" 0
expect "questions without trust" "$QUESTIONS" 0

starling convert "docker://$image" "docker://$REGISTRY/t/image:esgz" >/dev/null 2>&1
expect_refusal "an image that is lazy by itself" 'has a table of contents' \
  starling index create --root "$node" "$REGISTRY/t/image:esgz"
expect_refusal "an image in files" 'not in a registry' starling index push --root "$node" "oci:$work/oci:plain"

expect "mounts after all" "$(mounts_below "$work")" ""
echo PASS
