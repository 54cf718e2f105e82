#!/bin/bash
# Promise: what one machine's build leaves with --cache-to, another machine's build uses with --cache-from: no step is done
# again, cache mounts are as they were, the layers stay in the registry until somebody reads them, and the image is the same, byte for byte; by a
# registry, by files, and by the image itself. A cache that is not there, or is somebody's lie, is no reason to fail.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
bin=$("$here/tools.sh")
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
base=$REGISTRY/t/image:esgz
starling convert "oci:$work/oci:plain" "docker://$base" >/dev/null 2>&1
mkdir "$work/context"
echo content >"$work/context/file"
cat >"$work/context/Dockerfile" <<D
FROM $base AS made
RUN head -c 3000000 /dev/urandom >/random; sha256sum /random >/sum
FROM $base
COPY file /file
RUN cat /proc/sys/kernel/random/uuid >/once
COPY --from=made /sum /sum
D

starlingd_settings='
[fetch]
prefetch = false
background = false'
# machine NAME: another one, which has nothing yet.
machine() {
  mkdir "$work/$1"
  start_starlingd "$work/$1"
  start_containerd "$work/$1" "$bin"
  MACHINE=$work/$1
  export CONTAINERD_ADDRESS
}
build() {
  starling build --progress plain --state-dir "$MACHINE/build" "$@" "$work/context" >"$work/built" 2>"$work/build.log" || fail "the build: $(tail -n 5 "$work/build.log")"
}
# known: how many steps were not done again.
known() { grep -c ' CACHED' "$work/build.log" || true; }
run() {
  : >"$work/container.out"
  "$bin/ctr" -a "$CONTAINERD_ADDRESS" run --rm --log-uri "file://$work/container.out" --snapshotter stargz "$1" c1 sh -c "$2" 2>>"$work/container.err"
  cat "$work/container.out"
}

machine first
build -t "$REGISTRY/first/app:1" --push --cache-to "type=registry,ref=$REGISTRY/cache/app:1,mode=max" \
  --cache-to "type=local,dest=$work/cache" --cache-from "$REGISTRY/cache/nobody:1"
expect_match "a cache that is not there" "$(cat "$work/build.log")" "--cache-from .*nobody.* is not used"
first=$(cat "$work/built")
expect "steps that were known" "$(known)" 0
once=$(run "$REGISTRY/first/app:1" 'cat /once /sum')
expect "images in the cache" "$(curl -fs -H 'Accept: application/vnd.oci.image.index.v1+json' "http://$REGISTRY/v2/cache/app/manifests/1" | jq '.manifests | length')" 2

# Directories of cache mounts travel when they are asked for.
cat >"$work/mounts" <<D
FROM $base
ARG step
RUN --mount=type=cache,id=kept,target=/kept [ -e /kept/deep/file ] || { mkdir -m 750 /kept/deep && cat /proc/sys/kernel/random/uuid >/kept/deep/file && chown 7:8 /kept/deep/file; }; cp -a /kept/deep /copied
D
build -f "$work/mounts" -t local/mounts:1 --cache-to "type=registry,ref=$REGISTRY/cache/mounts:1,mounts=true"
kept=$(run docker.io/local/mounts:1 'cat /copied/file; stat -c "%a %u:%g" /copied /copied/file')
expect_match "what the first machine keeps" "$kept" $'\n750 0:0\n644 7:8$'
mark=$(registry_mark "$work")
build -f "$work/mounts" -t local/mounts:1 --cache-to "type=registry,ref=$REGISTRY/cache/mounts:1,mounts=true"
expect "blobs that were sent of mounts that did not change" "$(registry_requests "$work" "$mark" | awk '$1 == "PUT" && $2 ~ /blobs/ { n++ } END { print n + 0 }')" 0

machine second
build -f "$work/mounts" -t local/mounts:2 --build-arg step=2 --cache-from "$REGISTRY/cache/mounts:1"
expect "a step that was not known found the cache mount of the first machine" "$(run docker.io/local/mounts:2 'cat /copied/file; stat -c "%a %u:%g" /copied /copied/file')" "$kept"
mark=$(registry_mark "$work")
build -t "$REGISTRY/second/app:1" --push --cache-from "$REGISTRY/cache/app:1"
expect "the image is the same" "$(cat "$work/built")" "$first"
expect "steps that were known to the second machine" "$(known)" 4
expect "blobs that were sent: the configuration" "$(registry_requests "$work" "$mark" | awk '$1 == "PUT" && $2 ~ /blobs/ { n++ } END { print n + 0 }')" 1
expect "layers that are lazy" "$(grep -c '"remote-snapshot-prepared":"true"' "$work/second/starlingd.log")" 6
expect "what runs" "$(run "$REGISTRY/second/app:1" 'cat /once /sum')" "$once"
# A step that changes does not lose those before it.
echo other >"$work/context/file"
mark=$(registry_mark "$work")
build -t local/changed:1 --cache-from "$REGISTRY/cache/app:1"
[ "$(run docker.io/local/changed:1 'cat /sum')" = "$(tail -n 1 <<<"$once")" ] || fail "the other stage was built again"
[ "$(run docker.io/local/changed:1 'cat /once')" != "$(head -n 1 <<<"$once")" ] || fail "a step on another file was not done"
echo "ok: what changed was done, and nothing else"
echo content >"$work/context/file"

machine third
build -t local/files:1 --cache-from "type=local,src=$work/cache"
expect "steps that were done again with files" "$(run docker.io/local/files:1 'cat /once')" "$(head -n 1 <<<"$once")"
build -t "$REGISTRY/inline/app:1" --push --cache-to type=inline
inline=$(cat "$work/built")

machine fourth
build -t local/inline:1 --cache-to type=inline --cache-from "$REGISTRY/inline/app:1"
expect "the image with its own cache" "$(cat "$work/built")" "$inline"
expect "what it runs" "$(run docker.io/local/inline:1 'cat /once')" "$(head -n 1 <<<"$once")"
# Later without any cache: its layers are known here, and where they are.
build -t "$REGISTRY/fourth/app:1" --push
expect "the image without a cache" "$(cat "$work/built")" "$first"
# What a cache names and does not have is done again.
for digest in $(curl -fs -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$REGISTRY/v2/inline/app/manifests/1" | jq -r '.layers[-1].digest'); do
  rm -r "$work/registry/docker/registry/v2/blobs/sha256/${digest:7:2}/${digest#sha256:}"
done

machine fifth
build -t local/broken:1 --cache-from "$REGISTRY/inline/app:1"
[ "$(run docker.io/local/broken:1 'cat /file')" = content ] || fail "the build with a broken cache"
echo "ok: what is missing of a cache is done again"
echo PASS
