#!/bin/bash
# Promise: with containerd 2.3, once a lazy layer is there as a whole, its tar is held against what the image's
# configuration says, for a fraction of its bytes; a difference is told once, and containers go on.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
bin=$("$here/tools.sh")
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
for format in estargz zstdchunked; do
  starling convert --format "$format" --chunk-size 65536 "oci:$work/oci:plain" "oci:$work/oci:$format" >/dev/null 2>&1
  skopeo copy -q --dest-tls-verify=false "oci:$work/oci:$format" "docker://$REGISTRY/t/image:$format"
done
# The same layers under a configuration that says something else of the second one.
python3 - "$work/oci" estargz lie <<'P'
import hashlib, json, os, sys
layout, tag, new_tag = sys.argv[1:]
def path(digest): return os.path.join(layout, "blobs", *digest.split(":"))
def put(descriptor, value):
    data = json.dumps(value).encode()
    descriptor["digest"] = "sha256:" + hashlib.sha256(data).hexdigest()
    descriptor["size"] = len(data)
    open(path(descriptor["digest"]), "wb").write(data)
index = json.load(open(layout + "/index.json"))
name = "org.opencontainers.image.ref.name"
top = dict(next(m for m in index["manifests"] if m.get("annotations", {}).get(name) == tag))
manifest = json.load(open(path(top["digest"])))
config = json.load(open(path(manifest["config"]["digest"])))
config["rootfs"]["diff_ids"][1] = "sha256:" + "e" * 64
put(manifest["config"], config)
put(top, manifest)
top["annotations"] = {name: new_tag}
index["manifests"].append(top)
json.dump(index, open(layout + "/index.json", "w"))
P
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:lie" "docker://$REGISTRY/t/image:lie"

start_starlingd "$work"
start_containerd "$work" "$bin"
export PATH=$bin:$PATH
ctr() { "$bin/ctr" -a "$CONTAINERD_ADDRESS" "$@"; }
pull() { ctr images pull --snapshotter stargz --plain-http "$REGISTRY/t/image:$1" >"$work/pull.log" 2>&1 || fail "pull: $(tail -n 1 "$work/pull.log")"; }
known() { awk 1 "$work"/starling/store/*/diffid 2>/dev/null | sort; }
promised() { skopeo inspect --tls-verify=false --config "docker://$REGISTRY/t/image:$1" | jq -r '.rootfs.diff_ids[]' | sort; }
all_known() { [ "$(known | wc -l)" = 3 ]; }
told() { grep -c '"level":"error"' "$work/starlingd.log" || true; }

for tag in estargz zstdchunked; do
  mark=$(registry_mark "$work")
  pull "$tag"
  wait_until 60 "the diffIDs of $tag" all_known
  expect "diffIDs of $tag" "$(known)" "$(promised "$tag")"
  expect "errors about $tag" "$(told)" 0
  expect "gaps that are left of $tag" "$(find "$work/starling/store" -name gaps | wc -l)" 0
  read -r _ bytes <<<"$(registry_requests "$work" "$mark" | grep ' /v2/t/image/blobs/' | awk '{ requests++; bytes += $4 } END { print requests + 0, bytes + 0 }')"
  layers=$(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/t/image:$tag" | jq '[.layers[].size] | add')
  [ "$bytes" -lt $((layers * 115 / 100)) ] || fail "$bytes bytes for layers of $layers"
  echo "ok: $bytes bytes were fetched of layers of $layers"
  expect "a container of $tag" "$(ctr run --rm --snapshotter stargz "$REGISTRY/t/image:$tag" "c-$tag" cat /data/kept)" changed
  ctr images rm --sync "$REGISTRY/t/image:$tag" >/dev/null
done

pull lie
wait_until 60 "the diffIDs of the image that lies" all_known
# The layer above is asked for under a chain ID that was made of the wrong one, but is itself right.
told_one() { [ "$(told)" = 1 ]; }
wait_until 30 "an error about the image that lies" told_one
line=$(grep '"level":"error"' "$work/starlingd.log")
expect "the image in it" "$(jq -r .image <<<"$line")" "$REGISTRY/t/image:lie"
expect "the layer in it" "$(jq -r .layer <<<"$line")" "$(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/t/image:lie" | jq -r '.layers[1].digest')"
expect "what the image promised" "$(jq -r .expected <<<"$line")" "sha256:$(printf 'e%.0s' $(seq 64))"
expect "what the layer is" "$(jq -r '."computed-diff-id"' <<<"$line")" \
  "$(skopeo inspect --tls-verify=false --config "docker://$REGISTRY/t/image:estargz" | jq -r '.rootfs.diff_ids[1]')"
expect "a container of it" "$(ctr run --rm --snapshotter stargz "$REGISTRY/t/image:lie" lie cat /data/kept /odd/owned)" $'changed\nowned'

# After a restart it is still known, and nothing is computed or fetched again.
mark=$(registry_mark "$work")
stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
start_starlingd "$work"
wait_until 30 "the error after a restart" told_one
await_snapshotter
expect "blob requests after a restart, but for the configuration" \
  "$(registry_requests "$work" "$mark" | grep -c "blobs/" || true)" 0
expect "a container after a restart" "$(ctr run --rm --snapshotter stargz "$REGISTRY/t/image:lie" again cat /data/kept)" changed
ctr images rm --sync "$REGISTRY/t/image:lie" >/dev/null
stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
expect "mounts at the end" "$(mounts_below "$work/starling")" ""
echo PASS
