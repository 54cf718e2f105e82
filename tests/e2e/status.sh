#!/bin/bash
# Promise: `starling status` and `starling trace` say what became of an image's bytes and what its reads waited for: bytes
# and requests agree within 1 % with what the registry's log says and with the metrics, what was read is told exactly, the
# worst reads have the names of their files; they work for a `starling mount`, too; every example of docs/status.md works.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

mebibyte=$((1 << 20))
make_image "$work"
add_large_layers "$work"
start_registry "$work"
image=$REGISTRY/t/image:1-esgz
starling convert "oci:$work/oci:plain" "docker://$image" >/dev/null

export STARLING_ADDRESS=$work/starling.sock
expect_refusal "no daemon" "starling status: .*nobody answers at $work/starling.sock: is starlingd running" starling status
# What nobody waits for would come at any time.
starlingd_settings=$'[fetch]\nbackground = false\nrecord_profiles = false\npolicy = "lazy"\n[metrics]\naddress = "127.0.0.1:0"'
start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS
expect "nothing is shown" "$(starling status)" "no layers are shown"
expect "nothing was slow" "$(starling trace --json | jq -c .)" '{"forgotten":0,"reads":[],"containers":[],"fallbacks":[]}'

mark=$(registry_mark "$work")
starling pull "$image" >/dev/null
ctr run --rm --snapshotter stargz "$image" c1 /bin/sh -c 'cat /big1/3 /big1/4 /big2/7 /odd/large | wc -c' >/dev/null
starling status "$image" --json >"$work/status.json"
value() {
  jq "$@" "$work/status.json"
}
expect "the image" "$(value '.images | map(.name) | join(" ")')" "\"$image\""
expect "a registry that asks for no credentials" "$(value '.images[0].credentials')" null
expect "its layers" "$(value '.images[0].layerCount')" 5
digests=$(skopeo inspect --raw --tls-verify=false "docker://$image" | jq -r '.layers[].digest')
expect "their digests, lowest first" "$(value '.images[0].layers[].digest' | tr -d '"')" "$digests"
read -r requests bytes <<<"$(registry_requests "$work" "$mark" | grep -E "$(paste -sd '|' <<<"$digests")" |
  awk '{ requests++; bytes += $4 } END { print requests + 0, bytes + 0 }')"
expect_near "bytes that came, and what the registry sent" "$(value '.images[0].fetchedSize')" "$bytes"
expect "requests, and what the registry was asked" "$(value '[.images[0].fetched[].requests] | add')" "$requests"
for digest in $digests; do
  sent=$(registry_requests "$work" "$mark" | grep "$digest" | awk '{ bytes += $4 } END { print bytes + 0 }')
  expect_near "bytes of ${digest:0:14}" "$(value ".images[0].layers[] | select(.digest == \"$digest\").fetchedSize")" "$sent"
done
address=$(served_address "$work" "metrics are served")
counted=$(curl -sf "http://$address/metrics" | awk '/^starling_fetch_bytes_total/ { sum += $2 } END { print sum }')
expect "bytes that came, and the metrics" "$(value '.images[0].fetchedSize')" "$counted"
blobs=$(skopeo inspect --raw --tls-verify=false "docker://$image" | jq '[.layers[].size] | add')
expect "what a full pull fetches" "$(value '.images[0].blobSize')" "$blobs"
expect "savings against it" "$(value '.images[0].savedSize')" "$((blobs - $(value '.images[0].fetchedSize')))"
[ "$(value '.images[0].savedSize')" -gt $((20 * mebibyte)) ] || fail "little was saved"

# What was read: three files of 2 MiB, one of 9 MB, and some of the small ones. The kernel reads whole files here.
needed=$(value '.images[0].neededSize')
least=$((3 * 2 * mebibyte + 9000000))
[ "$needed" -ge "$least" ] && [ "$needed" -le $((least + 8 * mebibyte)) ] || fail "$needed bytes are needed, of $least that were read"
expect "held, needed or wasted" "$(value '.images[0] | .heldSize == .neededSize + .wastedSize')" true
expect "came, by purpose" "$(value '.images[0] | ([.came[].size] | add) == .heldSize')" true
expect "modes" "$(value '[.images[0].layers[].mode] | unique | join(" ")')" '"lazy"'
expect "reasons" "$(value '[.images[0].layers[].reason | length > 0] | all')" true
expect "where the layers come from" "$(value '[.images[0].layers[].places[].host] | unique | join(" ")')" "\"$REGISTRY\""
expect "reads that waited have parts that add up" \
  "$(value '.images[0].stalls | (.totalSeconds - .networkSeconds - .decodeSeconds - .diskSeconds - .queueSeconds) | fabs < 0.001')" true
[ "$(value '.images[0].stalls.reads')" -gt 0 ] || fail "no read waited"
expect "failed reads" "$(value '.images[0].stalls.failed')" 0
expect "files of the worst reads" \
  "$(value '[.images[0].worstReads[].file] | map(select(test("^/(big[12]/[0-9]+|odd/large|bin/busybox)$") | not)) | length')" 0

# A registry that is away for a second: what waits for it is told by its file, its time and its cause.
kill -STOP "$REGISTRY_PID"
ctr run --rm --snapshotter stargz "$image" c2 /bin/cat /big2/11 >"$work/read" &
reader=$!
waiting() {
  [ "$(curl -sf "http://$address/metrics" | sed -n 's/^starling_reads_waiting //p')" -gt 0 ]
}
wait_until 20 "a read that waits" waiting
begun=$(date +%s%N)
passed() {
  [ $(($(date +%s%N) - begun)) -gt 1000000000 ]
}
wait_until 20 "a second" passed
kill -CONT "$REGISTRY_PID"
wait "$reader" || fail "a read failed"
starling trace --json >"$work/trace.json"
expect "the longest read" "$(jq -c '.reads | max_by(.totalSeconds) | [.file, .cause, .failed, .totalSeconds >= 1]' "$work/trace.json")" \
  '["/big2/11","network",false,true]'
expect "its container" "$(jq -r '.reads | max_by(.totalSeconds).container' "$work/trace.json")" c2
expect "reads of that container" "$(starling trace --container c2 --json | jq -c '[.reads[].container] | unique')" '["c2"]'
expect_match "the same for people" "$(starling trace --container c2)" $'  /big2/11  \\(.*\\)  in c2(\n|$)'
expect "the longest read of the image" "$(starling status "$image" --json | jq -c '.images[0].worstReads[0].file')" '"/big2/11"'
expect_match "the same for people" "$(starling trace --cause network | grep /big2/11 | sort -k 2 | tail -n 1)" 'network +/big2/11'
expect_match "and in the status" "$(starling status "$image")" $'stalls +[0-9]+ reads waited [0-9.]+ s.*\n +[0-9.]+ s +network +/big2/11\n'
expect "reads of another cause" "$(starling trace --cause queue --json | jq '[.reads[].cause] | unique | map(select(. != "queue")) | length')" 0
expect "a cause that there is not" "$(starling trace --cause weather >/dev/null 2>&1; echo $?)" 2
expect_refusal "another image" "no layer of none/such:1 is shown" starling status none/such:1

# An image that starlingd was told nothing of, because all of its layers were here.
ctr images tag "$image" "$REGISTRY/t/again:1" >/dev/null
expect "an image whose layers were all here" "$(starling status "$REGISTRY/t/again:1" --json | jq '.images[0].layerCount')" 5
ctr images rm "$REGISTRY/t/again:1" >/dev/null

# What is read again without having been fetched again is a saving; after a restart what is held counts as fetched.
held=$(starling status "$image" --json | jq '.images[0].heldSize')
stop_process "$STARLINGD_PID"
start_starlingd "$work"
await_snapshotter
starling status "$image" --json >"$work/status.json"
expect "held after a restart" "$(value '.images[0].heldSize')" "$held"
expect "fetched since the restart" "$(value '.images[0].fetchedSize')" 0
[ "$(value '.images[0].savedSize')" -gt $((15 * mebibyte)) ] && [ "$(value '.images[0].savedSize')" -lt "$blobs" ] ||
  fail "after a restart $(value '.images[0].savedSize') of $blobs are saved"
expect "modes after a restart" "$(value '[.images[0].layers[].mode] | unique | join(" ")')" '"lazy"'

# A layer that cannot be lazy.
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:plain" "docker://$REGISTRY/t/plain:1"
starling pull "$REGISTRY/t/plain:1" >/dev/null
starling status "$REGISTRY/t/plain:1" --json >"$work/status.json"
expect "its mode and reason" "$(value -c '[.images[0].layers[] | [.mode, .reason, .whole, .complete]] | unique')" \
  '[["eager","it can only be read as a whole",true,true]]'
expect "savings of what was fetched as a whole" "$(value '.images[0].savedSize')" 0
expect "what came of it" "$(value '.images[0] | .fetchedSize == .blobSize')" true
ctr images rm --sync "$REGISTRY/t/plain:1" >/dev/null

# A mirror that is away: the registry is asked instead, and both are told.
stop_process "$STARLINGD_PID"
dead=127.0.0.1:$(free_port)
mkdir -p "$work/certs.d/${REGISTRY/:/_}_"
printf 'server = "http://%s"\n[host."http://%s"]\ncapabilities = ["pull", "resolve"]\n' "$REGISTRY" "$dead" \
  >"$work/certs.d/${REGISTRY/:/_}_/hosts.toml"
starlingd_settings+=$'\n[registry]\nconfig_path = "'$work$'/certs.d"'
start_starlingd "$work"
await_snapshotter
ctr run --rm --snapshotter stargz "$image" c3 /bin/cat /big1/12 >/dev/null
starling status "$image" --json >"$work/status.json"
expect "the places of the layer that was read" \
  "$(value -c '[.images[0].layers[] | select(.fetchedSize > 0).places[] | [.preferred, .secondsSinceFailure != null, .wrongBytes]]')" \
  '[[false,true,false],[true,false,false]]'
expect_match "the same for people" "$(starling status "$image")" $'asked next, failed [0-9]+ s ago\n'

# Every example of the documentation, with names that exist here; and a mount.
mkdir "$work/mnt"
starling mount --root "$work/mount-root" "$image" "$work/mnt"
cat "$work/mnt/big1/9" >/dev/null
expect "a mount's layers" "$(starling status --root "$work/mount-root" --json | jq '.images[0].layerCount')" 5
[ "$(starling status --root "$work/mount-root" --json | jq '.images[0].neededSize')" -ge $((2 * mebibyte)) ] || fail "the mount was not read"
examples=$(sed -n 's/^starling \(status\|trace\)/&/p' "$here/../../docs/status.md")
[ "$(wc -l <<<"$examples")" -ge 9 ] || fail "docs/status.md has few examples"
while read -r example; do
  example=${example//ghcr.io\/me\/app:1-esgz/$image}
  example=${example//--mount \/mnt\/app/--root $work/mount-root}
  bash -c "$example" >"$work/output" 2>"$work/error" </dev/null || fail "$example: $(cat "$work/error")"
  echo "ok: $example"
done <<<"$examples"
for command in status trace; do
  starling $command --help | grep -q "Example: starling $command" || fail "$command --help has no example"
done
starling umount "$work/mnt"
echo PASS
