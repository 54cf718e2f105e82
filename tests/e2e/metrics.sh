#!/bin/bash
# Promise: starlingd's metrics are Prometheus' text format, as its own parser reads it; what they count agrees within 1 %
# with what the registry's log says that it was asked for and sent; retries, wrong bytes and evictions are counted; they are served over TCP and on a unix socket, also by
# the next server after a crash and an upgrade; an address that somebody else has costs nothing but them; every example of
# docs/metrics.md works, and every metric is in there.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT
# Debian's, which has Prometheus' library.
python=/usr/bin/python3
"$python" -c 'import prometheus_client' 2>/dev/null || { echo "SKIP: no python3-prometheus-client" >&2 && exit 77; }

mebibyte=$((1 << 20))
make_image "$work"
add_large_layers "$work"
start_registry "$work"
image=$REGISTRY/t/image:1-esgz
starling convert "oci:$work/oci:plain" "docker://$image" >/dev/null
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:plain" "docker://$REGISTRY/t/plain:1"

# What nobody waits for would come at any time.
quiet=$'[fetch]\nbackground = false\nrecord_profiles = false'
starlingd_settings="$quiet"$'\n[metrics]\naddress = "127.0.0.1:0"'
start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS
served_at() {
  served_address "$work" "metrics are served"
}
wait_until 20 "the address of the metrics" grep -q 'metrics are served' "$work/starlingd.log"
scrape() {
  curl -sf "http://$(served_at)/metrics"
}
# metric FILE NAME [LABEL=VALUE]...: the sum of the samples that have these labels, read by Prometheus' own parser.
metric() {
  "$python" - "$@" <<'P'
import sys
from prometheus_client.parser import text_string_to_metric_families
file, name, *labels = sys.argv[1:]
wanted = dict(label.split("=") for label in labels)
found = [sample.value for family in text_string_to_metric_families(open(file).read()) for sample in family.samples
         if sample.name == name and wanted.items() <= sample.labels.items()]
assert found, f"no {name} {wanted}"
print(int(sum(found)))
P
}
# layer_traffic MARK IMAGE: "REQUESTS BYTES" that the registry's log has since then for the image's layers.
layer_traffic() {
  local digests
  digests=$(skopeo inspect --raw --tls-verify=false "docker://$2" | jq -r '.layers[].digest' | paste -sd '|')
  registry_requests "$work" "$1" | grep -E "$digests" | awk '{ requests++; bytes += $4 } END { print requests + 0, bytes + 0 }'
}

scrape >"$work/none"
expect "bytes before anything" "$(metric "$work/none" starling_fetch_bytes_total)" 0
mark=$(registry_mark "$work")
starling pull --json "$image" >"$work/pull.json"
expect "lazy layers" "$(jq .lazyLayers "$work/pull.json")" 5
ctr run --rm --snapshotter stargz "$image" c1 /bin/sh -c 'cat /big1/* /big2/1 /odd/large | wc -c' >/dev/null
scrape >"$work/read"
read -r requests bytes <<<"$(layer_traffic "$mark" "$image")"
[ "$bytes" -gt $((20 * mebibyte)) ] || fail "the registry sent $bytes bytes only"
expect_near "bytes of layers, and what the registry sent" "$(metric "$work/read" starling_fetch_bytes_total)" "$bytes"
expect "requests for layers, and what the registry was asked" "$(metric "$work/read" starling_fetch_requests_total)" "$requests"
[ "$(metric "$work/read" starling_fetch_bytes_total purpose=demand)" -gt 0 ] || fail "nobody waited"
expect "bytes in the background" "$(metric "$work/read" starling_fetch_bytes_total purpose=background)" 0
expect "shown layers" "$(metric "$work/read" starling_layers state=shown)" 5
expect "mounts" "$(metric "$work/read" starling_mounts)" 5
expect "images" "$(metric "$work/read" starling_images)" 1
expect "layers that were prepared" "$(metric "$work/read" starling_prepare_duration_seconds_count result=lazy)" 5
[ "$(metric "$work/read" starling_read_duration_seconds_count source=waited)" -gt 0 ] || fail "no read waited"
[ "$(metric "$work/read" starling_decode_duration_seconds_count)" -gt 10 ] || fail "nothing was decoded"
expect "requests in flight afterwards" "$(metric "$work/read" starling_fetch_requests_in_flight)" 0
expect "reads that wait afterwards" "$(metric "$work/read" starling_reads_waiting)" 0
held=$(starling cache ls --address "$work/starling.sock" --json 2>/dev/null | jq '[.layers[].heldSize] | add')
expect "held bytes, and what the cache says" "$(metric "$work/read" starling_held_bytes)" "$held"

# All that starlingd receives, while nobody else asks the registry.
mark=$(registry_mark "$work")
ctr run --rm --snapshotter stargz "$image" c2 /bin/sh -c 'cat /big2/* | wc -c' >/dev/null
scrape >"$work/more"
read -r requests bytes <<<"$(registry_cost "$work" "$mark")"
difference() {
  echo $(($(metric "$work/more" "$@") - $(metric "$work/read" "$@")))
}
expect_near "all bytes of a while, and what the registry sent" "$(difference starling_registry_received_bytes_total)" "$bytes"
expect "all requests of a while" "$(difference starling_registry_requests_total)" "$requests"
expect "retries" "$(metric "$work/more" starling_registry_retries_total)" 0

# Layers that cannot be lazy.
mark=$(registry_mark "$work")
before=$(metric "$work/more" starling_fetch_bytes_total purpose=whole)
starling pull "$REGISTRY/t/plain:1" >/dev/null
scrape >"$work/plain"
read -r requests bytes <<<"$(layer_traffic "$mark" "$REGISTRY/t/plain:1")"
expect_near "bytes of plain layers" "$(($(metric "$work/plain" starling_fetch_bytes_total purpose=whole) - before))" "$bytes"
expect "plain layers" "$(metric "$work/plain" starling_prepare_duration_seconds_count result=whole)" 5

# A layer that cannot be shown is left to containerd, and counted by its reason. The registry has lost its blob.
expect "fallbacks before one" "$(metric "$work/plain" starling_fallbacks_total)" 0
mkdir "$work/small" && echo lost >"$work/small/lost"
tar -C "$work/small" -cf "$work/small.tar" .
umoci raw add-layer --image "$work/oci:plain" "$work/small.tar"
starling convert "oci:$work/oci:plain" "docker://$REGISTRY/t/lost:1" >/dev/null
lost=$(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/t/lost:1" | jq -r '.layers[-1].digest')
rm -rf "$work/registry/docker/registry/v2/blobs/sha256/${lost:7:2}/${lost:7}" \
  "$work/registry/docker/registry/v2/repositories/t/lost/_layers/sha256/${lost:7}"
starling pull "$REGISTRY/t/lost:1" >/dev/null 2>&1 && fail "a layer that nobody has was pulled"
scrape >"$work/lost"
[ "$(metric "$work/lost" starling_fallbacks_total code=NOT_FOUND)" -gt 0 ] || fail "the fallback is not counted"
[ "$(metric "$work/lost" starling_registry_requests_total result=4xx)" -gt 0 ] || fail "no 404 is counted"

# What is given up for room.
scrape >"$work/before"
evicted=$(starling cache evict --to 0 --address "$work/starling.sock" --json | jq .evictedSize) || true
[ "$evicted" -gt $mebibyte ] || fail "$evicted bytes were evicted"
scrape >"$work/after"
expect "evicted bytes, and what the cache says" \
  "$(($(metric "$work/after" starling_evicted_bytes_total) - $(metric "$work/before" starling_evicted_bytes_total)))" "$evicted"
# After what has to be evicted before the kernel reads it alone.
expect "the fallback in the status" "$(starling status "$REGISTRY/t/lost:1" --address "$work/starling.sock" --json | jq -r '.fallbacks[-1] | .layer + (.reason | .[:11])')" \
  "${lost}not found: "
expect_match "the same for people" "$(starling status --address "$work/starling.sock" 2>/dev/null)" "left to the client: $lost of $REGISTRY/t/lost:1: not found: "

# The page as a whole.
"$python" - "$work/lost" "$here/../../docs/metrics.md" <<'P'
import re, sys
from prometheus_client.parser import text_string_to_metric_families
page, docs = open(sys.argv[1]).read(), open(sys.argv[2]).read()
families = list(text_string_to_metric_families(page))
series = [(sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples]
assert len(series) == len(set(series)), "a series twice"
assert len(series) < 300, len(series)
told = set(re.findall(r"starling_[a-z_]+", docs))
for family in families:
    assert family.documentation and family.type != "unknown", family
    name = family.name + ("_total" if family.type == "counter" else "")
    assert name in told, f"{name} is not in docs/metrics.md"
known = {family.name + ("_total" if family.type == "counter" else "") for family in families}
for name in told:
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    assert base in known or base + "_" in told, f"docs/metrics.md has {name}, which is not served"
print(f"ok: {len(families)} metrics, {len(series)} series")
P

# No page but this, no harm by nonsense.
expect "another page" "$(curl -s -o /dev/null -w '%{http_code}' "http://$(served_at)/")" 404
expect "another method" "$(curl -s -o /dev/null -w '%{http_code}' -d x "http://$(served_at)/metrics")" 405
head -c 100000 /dev/urandom | curl -s --max-time 5 "telnet://$(served_at)" >/dev/null 2>&1 || true
scrape >/dev/null

# The next server, after a crash and after an upgrade. A fixed address, as everybody has it.
stop_process "$STARLINGD_PID"
port=$(free_port)
starlingd_settings="$quiet"$'\n[metrics]\naddress = "127.0.0.1:'$port$'"'
start_starlingd "$work"
wait_until 20 "the metrics" scrape
expect "the address" "$(served_at)" "127.0.0.1:$port"
served() {
  grep -c 'metrics are served' "$work/starlingd.log"
}
kill -KILL "$(pgrep -P "$STARLINGD_PID")"
wait_until 20 "the next server's metrics" bash -c "[ \$(grep -c 'metrics are served' '$work/starlingd.log') = 2 ]"
scrape >/dev/null
starling upgrade --root "$work/starling"
wait_until 20 "the upgraded server's metrics" bash -c "[ \$(grep -c 'metrics are served' '$work/starlingd.log') = 3 ]"
scrape >/dev/null
expect "servers that served them" "$(served)" 3

# A connection that breaks, and bytes that are not what the image promises. By servers that know no other place for them,
# and with nothing left that has the same content.
# collected: containerd has let go of all layers. It collects once for each change: when its call went to a server that was
# just replaced, there must be another one.
collected() {
  ctr snapshots --snapshotter stargz prepare collect >/dev/null
  ctr snapshots --snapshotter stargz rm collect
  ctr leases delete --sync "$(ctr leases create)"
  [ "$(starling cache ls --address "$work/starling.sock" --json | jq '.layers | length')" = 0 ]
}
remove() {
  ctr images rm --sync "$@" >/dev/null
  wait_until 20 "the removal of all layers" collected
}
remove "$image" "$REGISTRY/t/plain:1"
start_process "$work/breaking.log" python3 "$here/breaking_proxy.py" "$REGISTRY" $mebibyte
wait_until 20 "the breaking proxy" test -s "$work/breaking.log"
broken=$(head -n 1 "$work/breaking.log")/t/image:1-esgz
starling pull "$broken" >/dev/null
ctr run --rm --snapshotter stargz "$broken" c3 /bin/sh -c 'cat /big1/* | wc -c' >/dev/null
expect "connections that broke" "$(grep -c broken "$work/breaking.log")" 1
scrape >"$work/broken"
expect "retries after one" "$(metric "$work/broken" starling_registry_retries_total)" 1
expect "wrong bytes" "$(metric "$work/broken" starling_wrong_members_total)" 0
remove "$broken"
starling upgrade --root "$work/starling"
wait_until 20 "the upgraded server's metrics" bash -c "[ \$(grep -c 'metrics are served' '$work/starlingd.log') = 4 ]"
starling convert "oci:$work/oci:plain" "oci:$work/lazy:esgz" >/dev/null
start_process "$work/bad.log" python3 "$here/bad_registry.py" "$work/lazy" esgz
wait_until 20 "the bad registry" test -s "$work/bad.log"
wrong=$(head -n 1 "$work/bad.log")/wrong-chunk/image:esgz
starling pull "$wrong" >/dev/null
ctr run --rm --snapshotter stargz "$wrong" c4 /bin/sh -c 'cat /big1/* /big2/* >/dev/null' >/dev/null 2>&1 &&
  fail "wrong bytes were read"
scrape >"$work/wrong"
for name in starling_wrong_members_total starling_read_failures_total; do
  [ "$(metric "$work/wrong" $name)" -gt 0 ] || fail "$name does not count wrong bytes"
done

# An address that somebody has: everything else goes on.
stop_process "$STARLINGD_PID"
start_process "$work/other.log" "$python" -c 'import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); print("here", flush=True); s.accept()' "$port"
wait_until 20 "the other process" grep -q here "$work/other.log"
start_starlingd "$work"
await_snapshotter
expect_match "what the log says" "$(grep 'metrics are not served' "$work/starlingd.log")" 'another process listens there'
stop_process "$STARLINGD_PID"

# On a unix socket; and every example of the documentation.
starlingd_settings="$quiet"$'\n[metrics]\naddress = "unix:'$work$'/metrics.sock"'
start_starlingd "$work"
wait_until 20 "the socket of the metrics" test -S "$work/metrics.sock"
expect "who may connect" "$(stat -c %a "$work/metrics.sock")" 600
expect "an example of the configuration" "$(sed -n '/```toml/,/```/p' "$here/../../docs/metrics.md" | grep -c '^address = "127.0.0.1:9100"')" 1
examples=$(sed -n '/```sh/,/```/p' "$here/../../docs/metrics.md" | grep '^curl ')
[ -n "$examples" ] || fail "docs/metrics.md has no examples"
stop_process "$STARLINGD_PID"
expect "the socket of a stopped starlingd" "$(ls "$work/metrics.sock" 2>/dev/null || true)" ""
while read -r example; do
  case $example in
    *unix-socket*) starlingd_settings="$quiet"$'\n[metrics]\naddress = "unix:'$work$'/metrics.sock"' ;;
    *) starlingd_settings="$quiet"$'\n[metrics]\naddress = "127.0.0.1:0"' ;;
  esac
  start_starlingd "$work"
  wait_until 20 "the address of the metrics" grep -q 'metrics are served' "$work/starlingd.log"
  command=${example//\/run\/starling\/metrics.sock/$work/metrics.sock}
  command=${command//127.0.0.1:9100/$(served_at)}
  bash -c "$command" >"$work/output" || fail "$example"
  grep -q '^starling_info{' "$work/output" || fail "$example: no metrics"
  echo "ok: $example"
  stop_process "$STARLINGD_PID"
done <<<"$examples"
echo PASS
