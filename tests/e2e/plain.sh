#!/bin/bash
# Promise: an ordinary gzip image is pulled by nerdctl (containerd 2.3) and by `starling pull` (containerd 1.6)
# without containerd downloading or unpacking a layer: starlingd fetches each blob once, in ranges; the files
# equal their unpacking, and a restart shows them without the registry. With an index kept by the node they are lazy;
# and the node keeps one of each layer that it fetched: of the removed image a second pull is lazy.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
bin=$("$here/tools.sh")
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
plain=$REGISTRY/t/image:plain
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:plain" "docker://$plain"
mapfile -t layers < <(layer_digests "$work/oci:plain")
expect "layers of the image" "${#layers[@]}" 3
umoci unpack --image "$work/oci:plain" "$work/bundle" >/dev/null 2>&1
python3 "$here/tree.py" "$work/bundle/rootfs" | grep -v '^/ ' >"$work/unpacked.txt"

# fetched_once MARK: what the registry was asked for since then are ranges that cover each blob exactly.
fetched_once() {
  local requests layer size
  requests=$(registry_requests "$work" "$1")
  ! grep -E "GET .*blobs/($(IFS='|' && echo "${layers[*]}")) 200" <<<"$requests" ||
    fail "a layer was downloaded"
  for layer in "${layers[@]}"; do
    size=$(skopeo inspect --raw "oci:$work/oci:plain" | jq ".layers[] | select(.digest == \"$layer\") | .size")
    expect "bytes of ${layer:0:15} that were asked for" \
      "$(awk -v uri="/blobs/$layer" 'index($2, uri) { bytes += $4 } END { print bytes + 0 }' <<<"$requests")" "$size"
  done
}

# equals_unpacking DIR
equals_unpacking() {
  python3 "$here/tree.py" "$1" | grep -v '^/ ' >"$work/shown.txt"
  diff "$work/unpacked.txt" "$work/shown.txt" | head -n 20
  cmp "$work/unpacked.txt" "$work/shown.txt" || fail "$1 differs from the unpacking"
  echo "ok: $(wc -l <"$work/shown.txt") files equal their unpacking"
}

# Without containerd first.
mark=$(registry_mark "$work")
mkdir "$work/mounted"
starling mount --root "$work/root" "docker://$plain" "$work/mounted" 2>"$work/mount.log"
fetched_once "$mark"
equals_unpacking "$work/mounted"
starling umount "$work/mounted"

# nerdctl, which asks containerd's own pull. Nothing in the background, so that the registry's bytes are those of need.
starlingd_settings=$'[fetch]\nbackground = false\n'
start_starlingd "$work"
starlingd_settings=
start_containerd "$work" "$bin"
mkdir -p "$work/nerdctl"
cat >"$work/nerdctl.toml" <<T
address = "$CONTAINERD_ADDRESS"
data_root = "$work/nerdctl"
cgroup_manager = "cgroupfs"
insecure_registry = true
snapshotter = "stargz"
namespace = "k8s"
T
export NERDCTL_TOML=$work/nerdctl.toml
mark=$(registry_mark "$work")
PATH=$bin:$PATH nerdctl pull -q "$plain"
fetched_once "$mark"
expect "layers that were prepared" "$(grep -c '"remote-snapshot-prepared":"true"' "$work/starlingd.log")" 3
expect "layers that the log says were fetched as a whole" \
  "$(grep -c '"msg":"a plain layer was fetched as a whole"' "$work/starlingd.log")" 3
expect "layer blobs in containerd's content store" \
  "$(ctr -a "$CONTAINERD_ADDRESS" -n k8s content ls -q | grep -c -F -f <(printf '%s\n' "${layers[@]}") || true)" 0
mark=$(registry_mark "$work")
expect "nerdctl run" \
  "$(PATH=$bin:$PATH nerdctl_run "$plain" sh -c 'cat /data/kept; test -e /data/removed || echo gone')" \
  $'changed\ngone'
expect "requests of a run" "$(registry_requests "$work" "$mark" | grep -c blobs || true)" 0
PATH=$bin:$PATH nerdctl rmi -f "$plain" >/dev/null
ctr -a "$CONTAINERD_ADDRESS" -n k8s leases create --id collect >/dev/null
ctr -a "$CONTAINERD_ADDRESS" -n k8s leases delete --sync collect >/dev/null
expect "layers shown once the image is gone" "$(ls "$work/starling"/[elx] | grep -c '^[0-9]' || true)" 0
expect "layers stored once the image is gone" "$(ls -A "$work/starling/store" | sort | xargs)" "lock version"

# Their indexes stay, as if made by hand; so the same image is lazy now.
has_indexes() { [ "$(find "$work/starling/gzip-indexes" -name '*.gzidx' | wc -l)" = "$1" ]; }
wait_until 20 "the keeping of three indexes" has_indexes 3
starling index create --root "$work/by-hand" "$plain" >/dev/null
diff -r "$work/by-hand/gzip-indexes" "$work/starling/gzip-indexes" || fail "indexes differ from those made by hand"
echo "ok: indexes equal those made by hand"
whole_before=$(grep -c '"msg":"a plain layer was fetched as a whole"' "$work/starlingd.log")
lazy_before=$(grep -c '"msg":"prepared a lazy layer"' "$work/starlingd.log" || true)
mark=$(registry_mark "$work")
PATH=$bin:$PATH nerdctl pull -q "$plain"
expect "layers that are lazy by the kept indexes" \
  "$(($(grep -c '"msg":"prepared a lazy layer"' "$work/starlingd.log") - lazy_before))" 3
expect "layers fetched as a whole again" \
  "$(grep -c '"msg":"a plain layer was fetched as a whole"' "$work/starlingd.log")" "$whole_before"
expect "requests for layers by the pull" \
  "$(registry_requests "$work" "$mark" | grep -c -F -f <(printf 'blobs/%s\n' "${layers[@]}") || true)" 0
expect "nerdctl run by the kept indexes" \
  "$(PATH=$bin:$PATH nerdctl_run "$plain" cat /data/kept)" changed
read -r _ bytes <<<"$(registry_cost "$work" "$mark")"
sizes=$(skopeo inspect --raw "oci:$work/oci:plain" | jq '[.layers[].size] | add')
[ "$bytes" -lt $((sizes / 2)) ] || fail "$bytes bytes of $sizes for a file"
echo "ok: $bytes bytes of $sizes for a pull and a run"
PATH=$bin:$PATH nerdctl rmi -f "$plain" >/dev/null
stop_process "$CONTAINERD_PID" || fail "containerd did not stop"
stop_process "$STARLINGD_PID" || fail "starlingd did not stop"

# containerd 1.6, whose own pull does not announce layers.
mkdir "$work/old"
start_starlingd "$work/old"
start_containerd "$work/old"
mark=$(registry_mark "$work")
report=$(starling pull --json --address "$CONTAINERD_ADDRESS" "$plain")
fetched_once "$mark"
expect "layers that the pull reports" "$(jq -c '[.lazyLayers, .wholeLayers, .downloadedLayers]' <<<"$report")" "[0,3,0]"
expect "output of a container" \
  "$(ctr run --rm --snapshotter stargz "$plain" c1 /bin/sh -c 'cat /data/kept /data/many/file-7')" $'changed\n7'
stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
mark=$(registry_mark "$work")
start_starlingd "$work/old"
await_snapshotter
expect "a container after the restart" \
  "$(ctr run --rm --snapshotter stargz "$plain" c2 /bin/cat /data/kept)" changed
expect "requests after the restart" "$(registry_cost "$work" "$mark")" "0 0"
ctr images rm --sync "$plain" >/dev/null

# By an index that the node keeps the same layers are read in parts.
starling index create --root "$work/old/starling" "$plain" >/dev/null
lazy_before=$(grep -c '"msg":"prepared a lazy layer"' "$work/old/starlingd.log" || true)
starling pull --address "$CONTAINERD_ADDRESS" "$plain" >/dev/null
expect "layers that were prepared lazily" \
  "$(($(grep -c '"msg":"prepared a lazy layer"' "$work/old/starlingd.log") - lazy_before))" 3
expect "output of a container by its indexes" \
  "$(ctr run --rm --snapshotter stargz "$plain" c3 /bin/sh -c 'cat /data/kept /data/many/file-7')" $'changed\n7'
ctr images rm --sync "$plain" >/dev/null
stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
expect "layers stored in the end" "$(ls -A "$work/old/starling/store" | sort | xargs)" "lock version"
expect "mounts at the end" "$(mounts_below "$work")" ""
echo PASS
