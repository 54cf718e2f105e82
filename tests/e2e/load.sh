#!/bin/bash
# Promise: much at once is slower and never wrong. An image of 400 layers is one chain and runs; 100 containers of ten images start at
# once while all ten are fetched over a slow link; a layer of a million names is mounted and listed. Every file that a container reads
# has its digest, no read fails, the server that began answers to the end, and it stays below 96 MiB, or
# 576 MiB with the layer of a million names, of which the table of contents alone is a quarter.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
bin=$("$here/tools.sh")
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

images=10 containers_of_each=10 layers=400 names=1000000

for shape in "apps $images" "deep $layers" "wide $names"; do
  # shellcheck disable=SC2086 # two words
  python3 "$here/load_images.py" "$work/oci" $shape
done
start_registry "$work"
for tag in $(seq -f 'app%.0f' 0 $((images - 1))) deep wide; do
  starling convert "oci:$work/oci:$tag" "docker://$REGISTRY/t/$tag:1" >/dev/null 2>"$work/convert.log"
done
rm -rf "$work/oci"
go=$("$here/../../packaging/go.sh")
(cd "$here/../../bench/netproxy" && GOTOOLCHAIN=local "$go" build -o "$work/netproxy" .)
LINK=127.0.0.1:$(free_port)
start_process "$work/netproxy.log" "$work/netproxy" -listen "$LINK" -target "$REGISTRY" -rtt 20ms -mbit 400
wait_until 20 "the link to the registry" curl -fs "http://$LINK/v2/"

start_starlingd "$work"
wait_until 20 "the start of starlingd" grep -q '"starlingd serves"' "$work/starlingd.log"
server=$(pgrep -P "$STARLINGD_PID")
start_containerd "$work" "$bin"
PATH=$bin:$PATH
mkdir "$work/out"

pull() {
  starling pull --json --address "$CONTAINERD_ADDRESS" "$LINK/t/$1:1" >"$work/out/pull-$1"
}
# run TAG NAME SCRIPT: what it prints is in $work/out/NAME; ctr may end before it has printed all.
run() {
  ctr -a "$CONTAINERD_ADDRESS" run --rm --snapshotter stargz --mount "type=bind,src=$work/out,dst=/out,options=rbind:rw" \
    "$LINK/t/$1:1" "$2" /bin/sh -c "{ $3; } >/out/$2 2>&1; echo \$? >/out/$2.code" >/dev/null 2>"$work/out/$2.ctr"
}
# every_file_right NAME COUNT: the container NAME has found COUNT files to be what they should be, and nothing else.
every_file_right() {
  [ "$(cat "$work/out/$1.code" 2>/dev/null)" = 0 ] && [ "$(grep -c ': OK$' "$work/out/$1")" = "$2" ] ||
    fail "container $1: $(grep -v ': OK$' "$work/out/$1" | head -3) $(head -3 "$work/out/$1.ctr")"
}
peak_kib() {
  awk '$1 == "VmHWM:" { print $2 }' "/proc/$server/status"
}
# below MIB WHAT: the server has never taken more until after WHAT.
below() {
  local kib
  kib=$(peak_kib)
  [ "$kib" -le $(($1 << 10)) ] || fail "after $2 the server took $kib KiB, of $1 MiB"
  echo "ok: the server took $((kib >> 10)) MiB at most until after $2"
}

all_at_once() {
  local image number
  for image in $(seq 0 $((images - 1))); do
    {
      pull "app$image"
      for number in $(seq "$containers_of_each"); do
        run "app$image" "app$image-$number" 'sha256sum -c /sums' &
      done
      wait
    } &
    waits_for+=("$!")
  done
  wait "${waits_for[@]}"
}
waits_for=()
seconds at_once all_at_once
for image in $(seq 0 $((images - 1))); do
  for number in $(seq "$containers_of_each"); do
    every_file_right "app$image-$number" 40
  done
done
echo "ok: $((images * containers_of_each)) containers of $images images at once, in $at_once_seconds s"
below 96 "containers at once"

seconds pull_deep pull deep
expect "lazy layers of the deep image, but for busybox" "$(jq .lazyLayers "$work/out/pull-deep")" $((layers - 1))
seconds run_deep run deep deep 'sha256sum -c /sums'
every_file_right deep $((layers - 2))
echo "ok: an image of $layers layers, pulled in $pull_deep_seconds s, run in $run_deep_seconds s"
below 96 "$layers layers"

seconds pull_wide pull wide
seconds run_wide run wide wide 'find /wide | wc -l >/out/names; sha256sum -c /sums'
every_file_right wide $((names / 10000))
expect "names in the wide layer" "$(tr -d ' ' <"$work/out/names")" "$((names + 1))"
echo "ok: a layer of $names names, pulled in $pull_wide_seconds s, listed and read in $run_wide_seconds s"
below 576 "$names names"

expect "reads that failed" "$(grep -c '"level":"error"' "$work/starlingd.log" || true)" 0
expect "the server that began" "$(pgrep -P "$STARLINGD_PID")" "$server"
echo PASS
