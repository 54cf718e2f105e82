#!/bin/bash
# Promise: while the registry is away, what is held works, a read of what is not waits and goes on by itself when the
# registry is back, with tokens and links that have expired and a password that has changed meanwhile; who waits can be
# killed; the log says once that the registry is away and once that it is back, and never a secret. Bytes that are wrong
# are one report and some errors, not a request for each read. STARLING_OUTAGE_SECONDS: how long it is away at least, 0 by itself.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
starling convert "oci:$work/oci:plain" "oci:$work/oci:esgz" >/dev/null

old_password=recognisable-old-password
new_password=recognisable-new-password
# log_in PASSWORD: as `docker login` would.
log_in() {
  mkdir -p "$work/docker"
  jq -n --arg host "$registry" --arg auth "$(printf 'reader:%s' "$1" | base64)" \
    '{auths: {($host): {auth: $auth}}}' >"$work/docker/config.json.new"
  mv "$work/docker/config.json.new" "$work/docker/config.json"
}
# start_guarded NUMBER [PORT STORAGE_PORT]
start_guarded() {
  start_process "$work/guarded-$1.log" python3 "$here/guarded_registry.py" "$work/oci" esgz "$work/password" "${@:2}"
  guarded=$LAST_PID
  wait_until 20 "the registry's start" test -s "$work/guarded-$1.log"
}
echo "$old_password" >"$work/password"
start_guarded 1
read -r registry storage <"$work/guarded-1.log"
export DOCKER_CONFIG=$work/docker
log_in "$old_password"
starlingd_settings=$'[fetch]\nprefetch = false\nbackground = false'
start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS
pull() {
  starling pull --json "$1" | jq -c '[.lazyLayers, .presentLayers, .downloadedLayers]'
}
run() {
  local name=$1
  shift
  ctr run --rm --snapshotter stargz "$image" "$name" "$@"
}
told() {
  grep -c "$1" "$work/starlingd.log" || true
}
away='does not give what is asked for'

mkdir "$work/other"
make_image "$work/other"
starling convert "oci:$work/other/oci:plain" "oci:$work/other/oci:esgz" >/dev/null
start_process "$work/bad-registry.log" python3 "$here/bad_registry.py" "$work/other/oci" esgz
wait_until 20 "the bad registry's start" test -s "$work/bad-registry.log"
image=$(head -n 1 "$work/bad-registry.log")/wrong-chunk/image:esgz
expect "layers of the image with wrong bytes" "$(pull "$image")" "[3,0,0]"
expect_match "reads of wrong bytes" "$(run c0 /bin/sh -c 'for i in 1 2 3 4 5 6 7 8; do cat /odd/large; done >/dev/null' 2>&1 || true)" \
  'I/O error|Input/output error'
expect "reports of wrong bytes" "$(told 'wrong bytes came')" 1
expect_match "what they say" "$(grep 'wrong bytes came' "$work/starlingd.log")" \
  'wrong-chunk/image.*127.0.0.1.*sha256:.*blob-range.*sha256:'
failed_before=$(told 'read failed')
[ "$failed_before" -le 2 ] || fail "$failed_before lines of log for reads of wrong bytes"
image=$registry/t/image:esgz

expect "layers of the pull" "$(pull "$image")" "[3,0,0]"
expect "a container" "$(run c1 /bin/sh -c 'cat /data/kept')" changed

stop_process "$guarded"
away_since=$SECONDS
expect "the same container without the registry" "$(run c2 /bin/sh -c 'cat /data/kept')" changed
run c3 /bin/sha256sum /odd/large >"$work/sum" 2>"$work/sum.error" &
half=$!
run c4 /bin/cat /odd/large >/dev/null 2>&1 &
killed=$!
task_of() {
  ctr task ls | awk -v name="$1" '$1 == name { print $2 }'
}
wait_until 20 "the report of the outage" grep -q "$away" "$work/starlingd.log"
wait_until 20 "the containers' tasks" test -n "$(task_of c3)" -a -n "$(task_of c4)"
kill -0 "$half" || fail "a read did not wait: $(cat "$work/sum.error")"
expect "what is held meanwhile" "$(run c5 /bin/sh -c 'cat /data/kept')" changed
reader=$(task_of c4)
wait_until 20 "a reader that waits" bash -c "readlink /proc/$reader/exe | grep -q busybox"
kill -KILL "$reader"
wait_until 5 "the end of a reader that was killed" bash -c "! kill -0 $reader"
wait "$killed" || true
echo "ok: a reader that waits for the registry can be killed"

while [ $((SECONDS - away_since)) -lt "${STARLING_OUTAGE_SECONDS:-0}" ]; do sleep 0.2; done
kill -0 "$half" || fail "a read did not wait to the end: $(cat "$work/sum.error")"
echo "ok: the registry was away for $((SECONDS - away_since)) s"
echo "$new_password" >"$work/password"
log_in "$new_password"
start_guarded 2 "${registry#*:}" "${storage#*:}"
wait "$half" || fail "a read that had waited failed: $(cat "$work/sum.error")"
expect "what the read that waited has got" "$(cut -d ' ' -f 1 <"$work/sum")" \
  "$(tar -xOf "$work/layer2.tar" ./odd/large | sha256sum | cut -d ' ' -f 1)"
expect "reports that storage was away, and back" "$(told "$away.*http://$storage\"") $(told "answers again.*http://$storage\"")" "1 1"
expect "reports that the registry was" "$(told "$away.*http://$registry\"")" "$(told "answers again.*http://$registry\"")"
expect "errors of reads since then" "$(told 'read failed')" "$failed_before"

expect "secrets in logs, arguments and environment" "$(cat "$work/starlingd.log" "$work/containerd.log" \
  "/proc/$STARLINGD_PID/cmdline" "/proc/$STARLINGD_PID/environ" |
  grep -ac -e recognisable -e 'token-[0-9a-f]\{8\}' -e 'signature-[0-9a-f]\{8\}' \
    -e "$(printf 'reader:%s' "$old_password" | base64)" -e "$(printf 'reader:%s' "$new_password" | base64)" || true)" 0
expect_match "core files of starlingd" "$(cat "/proc/$STARLINGD_PID/limits")" 'Max core file size +0 +0'

echo PASS
