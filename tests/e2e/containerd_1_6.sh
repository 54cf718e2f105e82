#!/bin/bash
# Promise: on Debian's containerd 1.6 an image is pulled by `starling pull` with a handful of requests, runs
# from lazily mounted layers that equal their overlayfs unpacking, and goes without a trace.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

# view_top SNAPSHOTTER DIR: mounts a view on its only snapshot that is nobody's parent.
view_top() {
  local top
  top=$(ctr snapshots --snapshotter "$1" ls | awk '/Committed/ { name[$1]; if (NF == 3) parent[$2] }
    END { for (n in name) if (!(n in parent)) print n }')
  # Nothing refers to the view, so containerd's collector may take it away before its mounts are asked for.
  local mounts tries=0
  until ctr snapshots --snapshotter "$1" view view "$top" && mounts=$(ctr snapshots --snapshotter "$1" mounts "$2" view); do
    [ $((++tries)) -lt 5 ] || fail "no view of $1 stays long enough to be mounted"
  done 2>/dev/null
  sh <<<"$mounts"
}

make_image "$work"
start_registry "$work"
plain=$REGISTRY/t/image:plain lazy=$REGISTRY/t/image:esgz
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:plain" "docker://$plain"
starling convert "oci:$work/oci:plain" "oci:$work/oci:esgz" >/dev/null
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:esgz" "docker://$lazy"
mapfile -t layers < <(layer_digests "$work/oci:esgz")
expect "layers of the image" "${#layers[@]}" 3

# What a pull and a run ask for by themselves is counted below.
starlingd_settings=$'[fetch]\nbackground = false\nplain_layers = "containerd"'
start_starlingd "$work"
start_containerd "$work"

# A pull reads manifest, configuration and TOCs only.
mark=$(registry_mark "$work")
report=$(starling pull --json --address "$CONTAINERD_ADDRESS" "$lazy")
expect "lazy layers that the pull reports" "$(jq .lazyLayers <<<"$report")" 3
requests=$(registry_requests "$work" "$mark")
echo "$requests"
for layer in "${layers[@]}"; do
  count=$(grep -c "blobs/$layer 206" <<<"$requests" || true)
  [ "$count" -ge 1 ] && [ "$count" -le 2 ] || fail "layer $layer was opened with $count range requests"
  ! grep -q "blobs/$layer 200" <<<"$requests" || fail "layer $layer was downloaded"
done
echo "ok: each layer opens with at most two range requests"
# By the client, who tells the daemon which layers there are.
expect "requests for the manifest" "$(grep -c "GET /v2/t/image/manifests/" <<<"$requests")" 1
expect "log lines of lazily prepared layers" \
  "$(grep -c '"remote-snapshot-prepared":"true"' "$work/starlingd.log")" 3
expect "layer blobs in containerd's content store" \
  "$(ctr content ls -q | grep -c -F -f <(printf '%s\n' "${layers[@]}") || true)" 0

# The second pull of an image that is there asks what its name stands for, and nothing else.
mark=$(registry_mark "$work")
starling pull --address "$CONTAINERD_ADDRESS" "$lazy" >/dev/null
expect "requests of a second pull" \
  "$(registry_requests "$work" "$mark" | cut -d ' ' -f 1-3)" "GET /v2/t/image/manifests/esgz 200"

# It runs, and a run costs what it reads: /bin/busybox and three small files of a 10 MB image.
mark=$(registry_mark "$work")
expect "output of a container" \
  "$(ctr run --rm --snapshotter stargz "$lazy" c1 /bin/sh -c 'cat /data/kept /data/many/file-7 /deep/a/b/c/d/e/f/g/h/file')" \
  $'changed\n7\ndeepest'
read -r run_requests run_bytes <<<"$(registry_cost "$work" "$mark")"
echo "the run cost $run_requests requests, $run_bytes bytes"
[ "$run_requests" -le 8 ] || fail "the first run made $run_requests requests"
# Each miss brings what an ordinary link moves in a round trip: 1 MB onwards, half of that before.
[ "$run_bytes" -le $((run_requests * 1500000)) ] || fail "the first run moved $run_bytes bytes"
mark=$(registry_mark "$work")
expect "output of the same again" \
  "$(ctr run --rm --snapshotter stargz "$lazy" c1 /bin/sh -c 'cat /data/kept /data/many/file-7 /deep/a/b/c/d/e/f/g/h/file')" \
  $'changed\n7\ndeepest'
expect "requests of the same again" "$(registry_cost "$work" "$mark")" "0 0"
expect "whiteouts and opaque directories" \
  "$(ctr run --rm --snapshotter stargz "$lazy" c2 /bin/sh -c 'echo /data/* /data/old/* /data/covered/*')" \
  "/data/covered /data/kept /data/many /data/old /data/old/* /data/covered/second"
expect "writes over lazy layers" \
  "$(ctr run --rm --snapshotter stargz "$lazy" c3 /bin/sh -c 'echo more >>/data/kept; mv /odd/hard /odd/moved; rm /odd/empty; rm -r /data/many; mkdir /data/many; cat /data/kept /odd/moved; ls /data/many | wc -l; test -e /odd/empty || echo gone')" \
  $'changed\nmore\ncontent\n0\ngone'
status=0
ctr run --rm --snapshotter stargz "$lazy" c4 /bin/false || status=$?
expect "exit code of a failing program" "$status" 1

# Every file equals the unpacking of the same layers by overlayfs.
ctr images pull --plain-http "$plain" >/dev/null
mkdir -p "$work/lazy" "$work/eager"
view_top stargz "$work/lazy"
view_top overlayfs "$work/eager"
# The root itself is no entry of the image: containerd gives it the time of unpacking.
python3 "$here/tree.py" "$work/eager" | grep -v '^/ ' >"$work/eager.txt"
python3 "$here/tree.py" "$work/lazy" | grep -v '^/ ' >"$work/lazy.txt"
diff "$work/eager.txt" "$work/lazy.txt" | head -n 20
cmp "$work/eager.txt" "$work/lazy.txt" || fail "the lazily mounted image differs from its unpacking"
echo "ok: $(wc -l <"$work/lazy.txt") files equal their overlayfs unpacking"
mark=$(registry_mark "$work")
python3 "$here/tree.py" "$work/lazy" >/dev/null
expect "requests when everything is held" "$(registry_cost "$work" "$mark")" "0 0"
umount "$work/lazy" "$work/eager"
# Nothing refers to the views, so containerd's collector may have been faster.
ctr snapshots --snapshotter stargz rm view 2>/dev/null || true
ctr snapshots --snapshotter overlayfs rm view 2>/dev/null || true

# A daemon that starts again serves what it holds without asking.
stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
expect "mounts of a stopped starlingd" "$(mounts_below "$work/starling")" ""
mark=$(registry_mark "$work")
start_starlingd "$work"
await_snapshotter
expect "a container after the restart" \
  "$(ctr run --rm --snapshotter stargz "$lazy" c5 /bin/cat /data/kept)" changed
expect "requests after the restart" "$(registry_cost "$work" "$mark")" "0 0"

# An image that is not lazy falls back to an ordinary pull, and says why.
starling pull --address "$CONTAINERD_ADDRESS" "$plain" >"$work/plain.log"
expect "a container of an ordinary image" \
  "$(ctr run --rm --snapshotter stargz "$plain" c6 /bin/cat /data/kept)" changed
expect_match "the reason of the fallback" \
  "$(grep '"remote-snapshot-prepared":"false"' "$work/starlingd.log" | head -n 1)" 'toc.digest|TOC digest'

# Garbage collection takes all of it.
ctr images rm --sync "$lazy" "$plain" >/dev/null
expect "snapshots after the images are gone" "$(ctr snapshots --snapshotter stargz ls | tail -n +2)" ""
expect "layers shown after that" "$(ls "$work/starling"/[elx] | grep -c '^[0-9]' || true)" 0

stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
expect "mounts at the end" "$(mounts_below "$work/starling")" ""
echo PASS
