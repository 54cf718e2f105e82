#!/bin/bash
# Promise: images in the lazy formats of other projects, written by their own code, are told by name, mounted
# and pulled lazily, and every file equals the full unpacking of the image that they were made of.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
peers=$("$here/go_program.sh" peers) || exit 77
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
before_release() {
  for directory in "$work"/at*; do starling umount "$directory" 2>/dev/null || true; done
}
trap 'release_all "$work"' EXIT

# Besides the odd files: Debian's own, and some with holes large and small. Times of whole seconds, because
# stargz-snapshotter rounds them up and others down.
export TAR_OPTIONS='--format=posix --pax-option=delete=mtime,delete=atime,delete=ctime'
make_image "$work"
mkdir -p "$work/layer4/holes" "$work/layer4/usr/share"
cp -a /usr/share/perl5 /usr/share/python3 "$work/layer4/usr/share/"
cp -a "$(realpath /usr/bin/perl)" "$(realpath /usr/bin/python3)" "$work/layer4/"
{
  head -c 300000 /dev/urandom
  head -c 5000000 /dev/zero
  head -c 100 /dev/urandom
  head -c 2000 /dev/zero
  head -c 70000 /dev/urandom
} >"$work/layer4/holes/inside"
head -c 3000000 /dev/zero >"$work/layer4/holes/all"
{ head -c 100000 /dev/zero; echo end; } >"$work/layer4/holes/first"
{ echo begin; head -c 100000 /dev/zero; } >"$work/layer4/holes/last"
tar -C "$work/layer4" --sort=name -cf "$work/layer4.tar" .
umoci raw add-layer --image "$work/oci:plain" "$work/layer4.tar"
unset TAR_OPTIONS
rm -rf "$work/layer4"

umoci unpack --image "$work/oci:plain" "$work/bundle" >/dev/null 2>&1
python3 "$here/tree.py" "$work/bundle/rootfs" | grep -v '^/ ' >"$work/wanted.txt"

# skopeo of Debian 12 writes the first dialect of containers/storage.
skopeo copy -q --dest-compress-format zstd:chunked "oci:$work/oci:plain" "oci:$work/skopeo:image"
for format in stargz-zstd stargz-external containers-zstd; do
  "$peers" "$work/oci" plain "$format" "$format"
done
start_registry "$work"
for tag in stargz-zstd stargz-external stargz-external-esgztoc containers-zstd; do
  skopeo copy -q --dest-tls-verify=false "oci:$work/oci:$tag" "docker://$REGISTRY/t/image:$tag"
done
skopeo copy -q --dest-tls-verify=false "oci:$work/skopeo:image" "docker://$REGISTRY/t/image:skopeo"

expect_match "the footer that skopeo wrote" "$(skopeo inspect --raw "oci:$work/skopeo:image")" \
  'io.containers.zstd-chunked.manifest-checksum'
expect_match "a hole in the TOC of containers/storage" "$(
  position=$(skopeo inspect --raw "oci:$work/oci:containers-zstd" |
    jq -r '.layers[3] | .digest + ":" + .annotations["io.github.containers.zstd-chunked.manifest-position"]')
  IFS=: read -r _ digest offset size _ <<<"$position"
  tail -c "+$((offset + 1))" "$work/oci/blobs/sha256/$digest" | head -c "$size" | zstd -dc |
    jq -c '[.entries[] | select(.chunkType == "zeros")] | length'
)" '^[1-9]'

number=0
# shown IMAGE FORMAT
shown() {
  local image=$1 format=$2 at seen
  number=$((number + 1))
  at=$work/at$number
  starling inspect --json "$image" >"$work/inspect.json"
  expect "formats in $image" "$(jq -r '[.layers[].format] | unique | join(",")' "$work/inspect.json")" "$format"
  expect "lazy layers of $image" "$(jq -c '[.layers[].lazy]' "$work/inspect.json")" "[true,true,true,true]"
  mkdir "$at"
  starling mount --root "$work/root$number" "$image" "$at"
  python3 "$here/tree.py" "$at" | grep -v '^/ ' >"$work/seen.txt"
  diff "$work/wanted.txt" "$work/seen.txt" | head -n 10 || true
  cmp "$work/wanted.txt" "$work/seen.txt" || fail "$image differs from its unpacking"
  echo "ok: $(wc -l <"$work/seen.txt") files of $image"
  starling umount "$at"
}
containers="zstd:chunked of containers/storage"
external="eStargz with its TOC in another image"
shown "oci:$work/skopeo:image" "$containers"
shown "oci:$work/oci:containers-zstd" "$containers"
shown "oci:$work/oci:stargz-zstd" "zstd:chunked"
shown "oci:$work/oci:stargz-external" "$external"
shown "$REGISTRY/t/image:skopeo" "$containers"
shown "$REGISTRY/t/image:containers-zstd" "$containers"
shown "$REGISTRY/t/image:stargz-zstd" "zstd:chunked"
shown "$REGISTRY/t/image:stargz-external" "$external"

# Through containerd and the daemon: what a client of containerd's own would not pass on, ours does.
start_starlingd "$work"
start_containerd "$work"
for tag in skopeo containers-zstd stargz-zstd stargz-external; do
  expect "layers of $tag that were pulled lazily" \
    "$(starling pull --address "$CONTAINERD_ADDRESS" --json "$REGISTRY/t/image:$tag" | jq .lazyLayers)" 4
  expect "a container of $tag" "$(ctr run --rm --snapshotter stargz "$REGISTRY/t/image:$tag" "c-$tag" \
    /bin/sh -c 'cat /data/kept; tail -c 4 /holes/first; cat /holes/all | wc -c')" $'changed\nend\n3000000'
  # Images of the same layers have the same chain IDs: each must be pulled for itself.
  ctr images rm --sync "$REGISTRY/t/image:$tag" >/dev/null
  expect "snapshots after $tag is gone" "$(ctr snapshots --snapshotter stargz ls | tail -n +2)" ""
done
stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
expect "mounts at the end" "$(mounts_below "$work")" ""

# An image of external TOCs that is not there, or that is another one's.
refused() {
  local what=$1 image=$2 regex=$3 status=0
  mkdir -p "$work/at-bad"
  starling mount --root "$work/root-bad" "$image" "$work/at-bad" 2>"$work/error" || status=$?
  expect "$what: exit code" "$status" 1
  expect_match "$what: error" "$(cat "$work/error")" "$regex"
  rm -rf "$work/root-bad"
}
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:stargz-external" "docker://$REGISTRY/t/alone:1"
refused "no image of TOCs" "$REGISTRY/t/alone:1" 'TOC.*(404|not found|unknown)'
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:stargz-zstd" "docker://$REGISTRY/t/alone:1-esgztoc"
refused "an image of TOCs without them" "$REGISTRY/t/alone:1" 'has no TOC for the layer'
echo PASS
