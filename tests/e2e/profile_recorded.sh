#!/bin/bash
# Promise: with containerd 2.3 the daemon notes what an image's first run reads, and when the image is gone and
# pulled again it fetches just that before anybody reads; a profile that is broken is refused and harms nothing.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
bin=$("$here/tools.sh")
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
image=$REGISTRY/t/image:esgz
starling convert --chunk-size 65536 "oci:$work/oci:plain" "docker://$image" >/dev/null 2>&1
inspected=$(starling inspect --json "$image")
digest=$(jq -r .manifest <<<"$inspected")
large=$(jq -r '.layers[1].digest' <<<"$inspected")
profile=$work/starling/profiles/${digest#sha256:}.json

# Without background work every byte is there because of a read or of a profile.
starlingd_settings='[fetch]
background = false'
start_starlingd "$work"
start_containerd "$work" "$bin"
export PATH=$bin:$PATH
ctr() { "$bin/ctr" -a "$CONTAINERD_ADDRESS" "$@"; }

pull() { ctr images pull --snapshotter stargz --plain-http "$image" >"$work/pull.log" 2>&1 || fail "pull: $(tail -n 1 "$work/pull.log")"; }
run() { ctr run --rm --snapshotter stargz "$image" "$1" sh -c "$2"; }
remove() {
  ctr images rm --sync "$image" >/dev/null
  expect "layers in the store after the image went" "$(find "$work/starling/store" -name data | wc -l)" 0
}
# bytes_of LAYER MARK: what the registry sent of its blob since then.
bytes_of() { registry_requests "$work" "$2" | awk -v layer="$1" 'index($2, layer) && $1 == "GET" { bytes += $4 } END { print bytes + 0 }'; }
logged() { grep -c "$1" "$work/starlingd.log" || true; }

# Two megabytes from the middle of a file of nine.
read_some='dd if=/odd/large of=/dev/null bs=65536 skip=64 count=32 2>/dev/null; cat /data/kept /odd/owned'
pull
expect "a profile before the first run" "$(ls "$work/starling/profiles" 2>/dev/null || true)" ""
expect "output of the first run" "$(run first "$read_some")" $'changed\nowned'
remove
expect "runs that the node knows" "$(jq .runs "$profile")" 1
needed=$(jq --arg layer "$large" '[.layers[] | select(.layer == $layer) | .ranges[][1]] | add' "$profile")
[ "$needed" -ge 2097152 ] && [ "$needed" -lt 4000000 ] || fail "$needed bytes of the layer were noted"
echo "ok: $needed bytes of the layer with the large file were noted"

mark=$(registry_mark "$work")
pull
expect "prefetches by the node's profile" "$(logged "prefetched by the node's profile")" 1
enough() { [ "$(bytes_of "$large" "$mark")" -ge 2097152 ]; }
wait_until 30 "prefetch of what the first run read" enough
prefetched=$(bytes_of "$large" "$mark")
[ "$prefetched" -lt 5000000 ] || fail "$prefetched bytes of the layer were prefetched"
echo "ok: $prefetched bytes of the layer came before anybody read"
quiet() { local before; before=$(registry_mark "$work"); sleep 0.2; [ "$(registry_mark "$work")" = "$before" ]; }
wait_until 30 "the end of the prefetch" quiet
mark=$(registry_mark "$work")
expect "output of the second run" "$(run second "$read_some")" $'changed\nowned'
expect "bytes of the layer that the second run waited for" "$(bytes_of "$large" "$mark")" 0
remove
expect "runs after two" "$(jq .runs "$profile")" 2

# Hostile and broken profiles: not used, removed, told of once.
number=2
for content in '{"version":1}' "$(jq -c '.image = "sha256:" + ("0" * 64)' "$profile")" \
  "$(jq -c '.layers[0].ranges = [[0, 18446744073709551615, 0, 1]]' "$profile")" ''; do
  printf '%s' "$content" >"$profile"
  told=$(logged 'access profile is damaged and was removed')
  pull
  expect "output beside a broken profile" "$(run "third-$number" "$read_some")" $'changed\nowned'
  expect "a broken profile is told of" "$(logged 'access profile is damaged and was removed')" $((told + 1))
  remove
  expect "the profile begins anew" "$(jq .runs "$profile")" 1
  number=$((number + 1))
done
# One that names what the image does not have costs nothing.
jq -c '.layers |= map(.ranges = [[17592186040320, 4096, 0, 1]])' "$profile" >"$work/odd.json"
cp "$work/odd.json" "$profile"
pull
expect "output beside a profile of nothing" "$(run odd "$read_some")" $'changed\nowned'
remove

# Switched off, nothing is noted.
rm -r "$work/starling/profiles"
stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
starlingd_settings='[fetch]
background = false
record_profiles = false'
start_starlingd "$work"
await_snapshotter
pull
expect "output without recording" "$(run off "$read_some")" $'changed\nowned'
remove
expect "profiles without recording" "$(ls "$work/starling/profiles" 2>/dev/null || true)" ""

stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
expect "mounts at the end" "$(mounts_below "$work/starling")" ""
echo PASS
