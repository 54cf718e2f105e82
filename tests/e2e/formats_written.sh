#!/bin/bash
# Promise: images that `starling convert` wrote in a lazy format are read by the code of the project that the
# format is from: it verifies all that it can, and every file equals the full unpacking of the image.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
peers=$("$here/go_program.sh" peers) || exit 77
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
before_release() {
  umount "$work"/store/graph/overlay/*/merged "$work/store/graph/overlay" 2>/dev/null || true
  for directory in "$work"/at*; do starling umount "$directory" 2>/dev/null || true; done
}
trap 'release_all "$work"' EXIT

make_image "$work"
# Times with fractions, holes, Debian's own files, and a tar in GNU's format.
mkdir -p "$work/layer4/holes" "$work/layer4/usr/share"
cp -a /usr/share/perl5 /usr/share/python3 "$work/layer4/usr/share/"
cp -a "$(realpath /usr/bin/perl)" "$work/layer4/"
{ head -c 300000 /dev/urandom; head -c 9000000 /dev/zero; head -c 100 /dev/urandom; } >"$work/layer4/holes/inside"
touch -d '2001-02-03 04:05:06.789 UTC' "$work/layer4/holes/inside"
tar -C "$work/layer4" --format=gnu --sort=name -cf "$work/layer4.tar" .
umoci raw add-layer --image "$work/oci:plain" "$work/layer4.tar"
tar -C "$work/layer4" --format=posix --sort=name -cf "$work/layer5.tar" ./holes
umoci raw add-layer --image "$work/oci:plain" "$work/layer5.tar"
rm -rf "$work/layer4"

umoci unpack --image "$work/oci:plain" "$work/bundle" >/dev/null 2>&1
python3 "$here/tree.py" "$work/bundle/rootfs" | grep -v '^/ ' >"$work/wanted.txt"
# A partial pull of containers/storage sets the times of regular files only, and makes no devices and pipes;
# the tar that it puts together again has all of them.
file_times() { sed -E -e '/ 0o(10|20|60)[0-7]{3} /d' -e '/ 0o10[0-7]{4} /!s/ mtime=[0-9]+//'; }
file_times <"$work/wanted.txt" >"$work/times.txt"

# same WHAT DIRECTORY WANTED
same() {
  python3 "$here/tree.py" "$2" | grep -v '^/ ' | { if [ "$3" = times.txt ]; then file_times; else cat; fi; } >"$work/seen.txt"
  diff "$work/$3" "$work/seen.txt" | head -n 10 || true
  cmp "$work/$3" "$work/seen.txt" || fail "$1 differs from its unpacking"
  echo "ok: $(wc -l <"$work/seen.txt") files of $1"
}

number=0
# written FORMAT NAME: converts, and lets Starling read it.
written() {
  local format=$1 name=$2 tag=${1//:/-} at
  number=$((number + 1))
  at=$work/at$number
  starling convert --format "$format" "oci:$work/oci:plain" "oci:$work/oci:$tag" >"$work/convert.txt"
  starling inspect --json "oci:$work/oci:$tag" >"$work/inspect.json"
  expect "formats in $tag" "$(jq -r '[.layers[].format] | unique | join(",")' "$work/inspect.json")" "$name"
  expect "lazy layers of $tag" "$(jq -c '[.layers[].lazy] | unique' "$work/inspect.json")" "[true]"
  mkdir "$at"
  starling mount --root "$work/root$number" "oci:$work/oci:$tag" "$at"
  same "$tag through starling" "$at" wanted.txt
  starling umount "$at"
  starling convert --json --format "$format" "oci:$work/oci:$tag" "oci:$work/again:$tag" >"$work/again.json"
  expect "layers of $tag that are taken as they are" "$(jq -c '[.layers[].reused] | unique' "$work/again.json")" "[true]"
}
written zstdchunked "zstd:chunked"
written zstd:chunked "zstd:chunked of containers/storage"

expect "diffIDs of zstd:chunked, and of the image" "$(skopeo inspect --config --raw "oci:$work/oci:zstd-chunked" | jq -c .rootfs.diff_ids)" \
  "$(skopeo inspect --config --raw "oci:$work/oci:plain" | jq -c .rootfs.diff_ids)"

# stargz-snapshotter's library verifies its TOC, and each chunk of each file.
"$peers" read "$work/oci" zstdchunked stargz >"$work/stargz.txt"
expect "layers that stargz read" "$(wc -l <"$work/stargz.txt")" 5

# containers/storage pulls partially, as podman does: it compares the TOC with the tar-split, computes the
# diffID of the files that it stored, and puts the tar together again.
mkdir "$work/store"
"$peers" read "$work/oci" zstd-chunked containers "$work/store" >"$work/containers.txt"
expect "layers that containers/storage read partially" "$(grep -c partially "$work/containers.txt")" 5
same "zstd:chunked through containers/storage" "$(sed -n 's/^mounted //p' "$work/containers.txt")" times.txt

# Whoever knows nothing of either unpacks a tar of zstd.
for tag in zstdchunked zstd-chunked; do
  skopeo copy -q "oci:$work/oci:$tag" "oci:$work/ordinary:$tag"
  expect "diffIDs of $tag by zstd alone" "$(
    skopeo inspect --raw "oci:$work/ordinary:$tag" | jq -r '.layers[].digest' | while IFS=: read -r _ digest; do
      zstd -dc <"$work/ordinary/blobs/sha256/$digest" | sha256sum | sed 's/ .*//'
    done | paste -sd ,
  )" "$(skopeo inspect --config --raw "oci:$work/ordinary:$tag" | jq -r '[.rootfs.diff_ids[] | ltrimstr("sha256:")] | join(",")')"
done

# A tar that no tar-split can describe is an ordinary layer to containers/storage.
mkdir "$work/twice" && echo first >"$work/twice/file"
tar -C "$work/twice" -cf "$work/twice.tar" ./file ./file
umoci init --layout "$work/oci2" && umoci new --image "$work/oci2:plain"
umoci raw add-layer --image "$work/oci2:plain" "$work/twice.tar"
starling convert --format zstd-chunked "oci:$work/oci2:plain" "oci:$work/oci2:twice" >"$work/convert.txt"
expect "annotations without a tar-split" "$(skopeo inspect --raw "oci:$work/oci2:twice" |
  jq -r '.layers[0].annotations | keys | map(ltrimstr("io.github.containers.zstd-chunked.")) | join(",")')" \
  "manifest-checksum,manifest-position"
mkdir "$work/store2"
expect_match "what containers/storage makes of it" \
  "$("$peers" read "$work/oci2" twice containers "$work/store2" 2>&1)" 'layer 0 in full: .*without tar-split'
umount "$work"/store2/graph/overlay/*/merged "$work/store2/graph/overlay" 2>/dev/null || true
echo PASS
