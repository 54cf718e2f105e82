#!/bin/bash
# Promise: the page of starlingd shows in a browser what `starling status --json` and `starling trace --start` say, and that agrees
# within 1 % with what a proxy on the way to the registry counted: images, layers, the files that a start needed and the requests that
# brought them, and reads that wait while they wait. Names of files stay text, whatever they are; whoever asks for another host, or to
# change something, is refused; it is there again after an upgrade, also on a unix socket; every example of docs/page.md works.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
command -v chromium >/dev/null || { echo "SKIP: no chromium" >&2 && exit 77; }
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
before_release() {
  kill -CONT "$REGISTRY_PID" 2>/dev/null
}
trap 'release_all "$work"' EXIT

make_image "$work"
# Its path is /<script>...</script>.txt.
hostile='<script>document.title="owned"<'
mkdir -p "$work/hostile/$hostile"
head -c 700000 /dev/urandom >"$work/hostile/$hostile/script>.txt"
tar -C "$work/hostile" -cf "$work/hostile.tar" .
umoci raw add-layer --image "$work/oci:plain" "$work/hostile.tar"
add_large_layers "$work"
start_registry "$work"
starling convert "oci:$work/oci:plain" "docker://$REGISTRY/t/image:1-esgz" >/dev/null 2>&1
go=$("$here/../../packaging/go.sh")
(cd "$here/../../bench/netproxy" && GOTOOLCHAIN=local "$go" build -o "$work/netproxy" .)
LINK=127.0.0.1:$(free_port)
start_process "$work/netproxy.log" "$work/netproxy" -listen "$LINK" -target "$REGISTRY" -rtt 20ms -mbit 400
wait_until 20 "the link to the registry" curl -fs "http://$LINK/v2/"
control=$(grep -v "$LINK" "$work/netproxy.log" | grep -Eo '127\.0\.0\.1:[0-9]+' | head -n 1)
image=$LINK/t/image:1-esgz

export STARLING_ADDRESS=$work/starling.sock
# What nobody waits for would come at any time.
quiet=$'[fetch]\nbackground = false\npolicy = "lazy"\n'
starlingd_settings="$quiet"$'[page]\naddress = "127.0.0.1:0"'
start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS
served_at() {
  served_address "$work" "the page is served"
}
wait_until 20 "the address of the page" grep -q 'the page is served' "$work/starlingd.log"
# browse NAME: what the page shows, to $work/NAME.json, with a picture in $work/NAME.png.
browse() {
  timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$work/chromium" \
    --enable-logging=stderr --hide-scrollbars --window-size=1250,2200 --virtual-time-budget=1500 --screenshot="$work/$1.png" --dump-dom \
    "http://$(served_at)/" >"$work/$1.html" 2>"$work/$1.console" || fail "chromium: $(tail -n 3 "$work/$1.console")"
  [ -s "$work/$1.png" ] && [ -s "$work/$1.html" ] || fail "chromium has drawn nothing"
  ! grep -E 'CONSOLE' "$work/$1.console" || fail "the browser complains"
  python3 "$here/page_shows.py" "$work/$1.html" "$work/$1.png" "$here/../../page/assets/page.css" >"$work/$1.json"
  if [ -n "${PAGE_SCREENSHOTS:-}" ]; then cp "$work/$1.png" "$PAGE_SCREENSHOTS/"; fi
}
came() {
  curl -sf "http://$control/stats" | jq .bytes_down
}

# A start, and what was counted on the way.
before=$(came)
starling pull "$image" >/dev/null
ctr run --rm --snapshotter stargz "$image" "page-1-$$" /bin/sh -c 'cat /*/script* /big1/3 /big1/4 /big2/7 | wc -c' >"$work/read"
expect "what was read" "$(cat "$work/read")" $((700000 + 3 * (2 << 20)))
counted=$(($(came) - before))
[ "$counted" -gt 0 ] || fail "nothing was counted on the link"
browse shown
starling status "$image" --json >"$work/status.json"
starling trace --start "$image" --json >"$work/start.json"
shown() {
  jq "$@" "$work/shown.json"
}
name="/$hostile/script>.txt"
expect "the title" "$(shown -r .title)" Starling
expect "scripts of the page" "$(shown -c .scripts)" '["page.js"]'
expect "images" "$(shown -c '.images | keys')" "[\"$image\"]"
for key in heldSize totalSize neededSize fetchedSize blobSize savedSize; do
  expect "$key, and the status" "$(shown ".images[\"$image\"].$key")" "$(jq ".images[0].$key" "$work/status.json")"
done
expect "reads that waited, and the status" "$(shown ".images[\"$image\"].stalledReads")" "$(jq '.images[0].stalls.reads' "$work/status.json")"
expect "layers, and the status" \
  "$(shown -c ".images[\"$image\"].layers | to_entries | map([.key, .value.heldSize, .value.neededSize, .value.fetchedSize]) | sort")" \
  "$(jq -c '[.images[0].layers[] | [.digest, .heldSize, .neededSize, .fetchedSize]] | sort' "$work/status.json")"
expect "parts add up to the layers" \
  "$(jq '[.images[0].layers[] | ([.parts.size, .parts.heldSize, .parts.neededSize] | map(add)) == [.totalSize, .heldSize, .neededSize]] | all' "$work/status.json")" true
expect_near "bytes of the page, and of the link" "$(shown ".images[\"$image\"].fetchedSize")" "$counted"
expect "bytes of the start, and the status" "$(shown .start.fetchedSize)" "$(jq '.images[0].fetchedSize' "$work/status.json")"
expect "requests of the start, and the status" "$(shown .start.requests)" "$(jq '[.images[0].fetched[].requests] | add' "$work/status.json")"
expect_near "bytes of its requests, and of the link" "$(shown '[.fetches[][1]] | add')" "$counted"
expect "the start, and the trace" "$(shown -c '.start | [.image, .neededFiles, .neededSize, .requests, .fetchedSize, .slowReads]')" \
  "$(jq -c '.starts[0] | [.image, .neededFiles, .neededSize, .requests, .fetchedSize, .slowReads]' "$work/start.json")"
expect "its files, and the trace" "$(shown '[.needs[].file] | length')" "$(jq '.starts[0].neededFiles' "$work/start.json")"
for file in /bin/busybox /big1/3 /big1/4 /big2/7; do
  expect "$file was needed" "$(shown --arg file "$file" '[.needs[] | select(.file == $file)] | length')" 1
done
expect "a hostile name was needed, and is text" "$(shown --arg file "$name" '[.needs[] | select(.file == $file)] | length')" 1
expect "files in the order of need" "$(jq -c '[.starts[0].needs[].file | select(startswith("/big"))]' "$work/start.json")" '["/big1/3","/big1/4","/big2/7"]'
[ "$(shown '[.needs[].waits] | add')" -gt 0 ] || fail "no read waited over a link of 20 ms"
for colour in needed held absent network demand index; do
  [ "$(shown ".colours.$colour // 0")" -gt 20 ] || fail "the picture has no $colour: $(shown -c .colours)"
done
expect_match "the same for people" "$(starling trace --start "$image")" $'ms  needs +2.0 MiB  /big1/3\n'
expect_refusal "the start of another image" "no start of none/such:1 was recorded" starling trace --start none/such:1

# Whose reads waited.
expect "the container by its name" "$(starling status "page-1-$$" --json | jq -c '[.images, [.containers[].container]]')" "[[],[\"page-1-$$\"]]"
expect_match "the same for people" "$(starling status "page-1-$$")" "container page-1-$$"$'\n +stalls +[0-9]+ reads waited'
expect "containers, and the trace" "$(shown -c '.containers | map_values(.reads)')" \
  "$(starling trace --json | jq -c '.containers | map({(.container): .reads}) | add')"
expect_refusal "a container that has not waited" "no read of a container of that name has waited" starling status page-0

# A read that waits is shown before it ends. The registry does not answer meanwhile.
kill -STOP "$REGISTRY_PID"
start_process "$work/reader.log" ctr run --rm --snapshotter stargz "$image" "page-2-$$" /bin/cat /big2/11
waits() {
  starling status "$image" --json | jq -e '[.images[0].longestWaits[] | select(.file == "/big2/11")] | length > 0'
}
wait_until 20 "a read that waits" waits
browse waiting
kill -CONT "$REGISTRY_PID"
expect "the file that is waited for" "$(jq -c '[.waits[] | select(. == "/big2/11")] | unique' "$work/waiting.json")" '["/big2/11"]'
expect "whose read it is" "$(jq -c --arg name "page-2-$$" '[.waits[] | select(. == $name)] | unique | length' "$work/waiting.json")" 1
[ "$(jq .summary.waitingReads "$work/waiting.json")" -gt 0 ] || fail "no read waits in the summary"

# Who may look, and how.
answers() {
  curl -s -o "$work/answer" -w '%{http_code}' "$@"
}
page=http://$(served_at)
expect "for another name" "$(answers -H 'Host: evil.example' "$page/status.json")" 403
expect "for another name, what" "$(grep -c "$LINK" "$work/answer" || true)" 0
expect "for localhost" "$(answers -H 'Host: localhost:1' "$page/status.json")" 200
expect "to change something" "$(answers -X POST -d x "$page/status.json")" 405
expect "something else" "$(answers "$page/etc/passwd")" 404
expect_match "the policy" "$(curl -sI "$page/")" "Content-Security-Policy: default-src 'none'; script-src 'self'"

# Every example of the documentation; after an upgrade, and on a unix socket.
examples=$(sed -n '/```sh/,/```/p' "$here/../../docs/page.md" | grep -E '^(curl|starling) ')
[ "$(wc -l <<<"$examples")" -ge 3 ] || fail "docs/page.md has few examples"
# try_examples tcp|unix
try_examples() {
  local example kind
  while read -r example; do
    kind=tcp
    [[ $example != *unix-socket* ]] || kind=unix
    [ "$kind" = "$1" ] || continue
    example=${example//\/run\/starling\/page.sock/$work/page.sock}
    example=${example//ghcr.io\/me\/app:1-esgz/$image}
    bash -c "${example//127.0.0.1:9101/$(served_at)}" >"$work/output" </dev/null || fail "$example"
    [ -s "$work/output" ] || fail "$example: nothing"
    echo "ok: $example"
  done <<<"$examples"
}
try_examples tcp
starling upgrade --root "$work/starling"
wait_until 20 "the page after an upgrade" curl -sf "http://$(served_at)/status.json"
stop_process "$STARLINGD_PID"
starlingd_settings="$quiet"$'[page]\naddress = "unix:'$work$'/page.sock"'
: >"$work/starlingd.log"
start_starlingd "$work"
wait_until 20 "the socket of the page" test -S "$work/page.sock"
expect "who may connect" "$(stat -c %a "$work/page.sock")" 600
try_examples unix
echo PASS
