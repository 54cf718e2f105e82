#!/bin/bash
# Promise: `starling top` says what images fetch and what their reads wait for, with names of files, while they still wait; its
# numbers are those of `starling status` and of the registry's log; a terminal is as before, however the page ends; it goes on
# when starlingd is replaced; every example of docs/status.md works.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
before_release() {
  kill -CONT "$REGISTRY_PID" 2>/dev/null
}
trap 'release_all "$work"' EXIT

mebibyte=$((1 << 20))
make_image "$work"
add_large_layers "$work"
start_registry "$work"
image=$REGISTRY/t/image:1-esgz
starling convert "oci:$work/oci:plain" "docker://$image" >/dev/null 2>&1

export STARLING_ADDRESS=$work/starling.sock
expect_refusal "no daemon" "starling top: .*nobody answers at $work/starling.sock" starling top --count 1
# What nobody waits for would come at any time.
starlingd_settings=$'[fetch]\nbackground = false\nrecord_profiles = false\npolicy = "lazy"'
start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS
expect_match "nothing is shown" "$(starling top --count 1 --interval 0.05)" 'Z  no layers are shown$'

# looks NAME: starts a top that writes a line for each look to $work/NAME; its id in TOP.
looks() {
  start_process "$work/$1" starling top --json --interval 0.1
  TOP=$LAST_PID
  wait_until 20 "the first look" test -s "$work/$1"
}
# sum FILE FIELD: over all looks at the image.
sum() {
  jq -s --arg image "$image" "[.[].images[] | select(.name == \$image).$2] | add" "$work/$1"
}

# What came and what waited, in all looks together, is what the registry and the status say.
starling pull "$image" >/dev/null
looks looks.json
last_look() { [ "$(tail -n 1 "$work/$1" | jq "$2" 2>/dev/null)" = true ]; }
before=$(starling status "$image" --json | jq '.images[0].fetchedSize')
mark=$(registry_mark "$work")
ctr run --rm --snapshotter stargz "$image" "top-1-$$" /bin/sh -c 'cat /big1/3 /big1/4 /big2/7 | wc -c' >/dev/null
held=$(starling status "$image" --json | jq '.images[0].heldSize')
wait_until 20 "a look at all that came" last_look looks.json ".images[0].heldSize == $held"
stop_process "$TOP"
starling status "$image" --json >"$work/status.json"
value() {
  jq "$@" "$work/status.json"
}
expect "bytes of all looks, and the status" "$(sum looks.json fetchedSize)" $(($(value '.images[0].fetchedSize') - before))
read -r _ bytes <<<"$(registry_requests "$work" "$mark" | grep /blobs/ | awk '{ requests++; bytes += $4 } END { print requests, bytes }')"
expect "bytes of all looks, and what the registry sent" "$(sum looks.json fetchedSize)" "$bytes"
expect "reads that waited, and the status" "$(sum looks.json stalledReads)" "$(value '.images[0].stalls.reads')"
python3 -c 'import sys; a, b = map(float, sys.argv[1:]); sys.exit(abs(a - b) > 1e-6)' "$(sum looks.json stallSeconds)" \
  "$(value '.images[0].stalls.totalSeconds')" || fail "stall time: $(sum looks.json stallSeconds)"
slow=$(starling trace --json | jq -c '[.reads[] | [.file, .ended]] | unique')
expect "slow reads, and the trace" "$(jq -s -c '[.[].images[].slowReads[] | [.file, .ended]] | unique' "$work/looks.json")" "$slow"

# A read that waits is named before it ends. The registry does not answer meanwhile.
kill -STOP "$REGISTRY_PID"
start_process "$work/reader.log" ctr run --rm --snapshotter stargz "$image" "top-2-$$" /bin/cat /big2/11
looks waiting.json
names_the_file() {
  jq -s -e --arg image "$image" '[.[].images[] | select(.name == $image and .waitingReads > 0).longestWaits[] |
    select(.file == "/big2/11" and .seconds > 0.2)] | length > 0' "$work/waiting.json"
}
wait_until 20 "the name of what waits" names_the_file
expect_match "the same as lines" "$(starling top --count 1 --interval 0.05)" $'[1-9][0-9]* reads wait.*\n +[0-9.]+ m?s  waits    /big2/11'
expect_match "and in the status" "$(starling status "$image")" $'waits    /big2/11\n'
python3 "$here/top_terminal.py" q starling top --interval 0.2 >"$work/page"
expect_match "and on a terminal" "$(cat "$work/page")" "$image.*waits    /big2/11"
kill -CONT "$REGISTRY_PID"
wait_until 20 "the end of all waits" last_look waiting.json '.images[0].waitingReads == 0'
wait_until 20 "the slow read" bash -c "jq -s -e '[.[].images[].slowReads[] | select(.file == \"/big2/11\" and .totalSeconds > 0.2)] | length > 0' '$work/waiting.json'"

# It goes on with the next server: after an upgrade, and after a crash.
starling upgrade --root "$work/starling"
for after in upgrade crash; do
  ctr run --rm --snapshotter stargz "$image" "top-$after-$$" /bin/cat "/big1/$([ $after = upgrade ] && echo 8 || echo 9)" >/dev/null
  lines=$(wc -l <"$work/waiting.json")
  more_looks() { [ "$(wc -l <"$work/waiting.json")" -gt $((lines + 3)) ] && kill -0 "$TOP"; }
  wait_until 20 "looks after the $after" more_looks
  [ $after = crash ] || kill -KILL "$(pgrep -P "$STARLINGD_PID")"
done
stop_process "$TOP"
[ "$(tail -n 1 "$work/waiting.json" | jq '.images[0].heldSize')" -gt $((10 * mebibyte)) ] || fail "the last look is empty"

# The terminal is as before, however the page ends.
for how in interrupt TERM HUP stop-q; do
  python3 "$here/top_terminal.py" "$how" starling top --interval 0.2 >"$work/page" || fail "the terminal after $how"
  echo "ok: the terminal after $how"
done
expect "a page of one look" "$(python3 "$here/on_terminal.py" starling top --count 1 --interval 0.05 </dev/null | grep -c 'q quits')" 1

# The documentation's examples, with names that exist here; and a mount.
mkdir "$work/mnt"
starling mount --root "$work/mount-root" "$image" "$work/mnt"
cat "$work/mnt/big1/9" >/dev/null
examples=$(grep '^starling top ' "$here/../../docs/status.md" | grep -v '  ')
[ "$(wc -l <<<"$examples")" -ge 3 ] || fail "docs/status.md has few examples"
while read -r example; do
  example=${example//--mount \/mnt\/app/--root $work/mount-root}
  bash -c "$example" >"$work/output" 2>"$work/error" </dev/null || fail "$example: $(cat "$work/error")"
  grep -q "$image" "$work/output" || fail "$example: no image"
  echo "ok: $example"
done <<<"$examples"
starling umount "$work/mnt"
echo PASS
