#!/bin/bash
# Promise: a secret that is named for one pull or build is enough for lazy reads: starlingd, which has no credentials of its
# own, reads that repository with it, after its server was killed and when tokens and passwords end, too; the secret
# is in no log, no argument and not on the disk.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT
old=recognisable-old new=recognisable-new

make_image "$work"
starling convert "oci:$work/oci:plain" "oci:$work/oci:esgz" >/dev/null
echo "$old" >"$work/password"
start_process "$work/registry.log" python3 "$here/guarded_registry.py" "$work/oci" esgz "$work/password"
wait_until 20 "the start of the registry" test -s "$work/registry.log"
image=$(head -n 1 "$work/registry.log" | cut -d' ' -f1)/t/image:esgz
large=$(tar -xOf "$work/layer2.tar" ./odd/large | sha256sum | cut -d' ' -f1)

mkdir -p "$work/home"
export HOME=$work/home DOCKER_CONFIG=$work/home
starlingd_settings='
[fetch]
policy = "lazy"
prefetch = false
background = false'
start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS STARLING_ADDRESS=$work/starling.sock
server() { pgrep -P "$STARLINGD_PID"; }
pull() {
  starling pull --json --secret env:LOGIN "$image" | tee -a "$work/pull.json" |
    jq -c '[.lazyLayers, .presentLayers, .downloadedLayers]'
}
run() {
  : >"$work/container.out"
  ctr run --rm --log-uri "file://$work/container.out" --snapshotter stargz "$image" c1 /bin/sh -c "$1" 2>>"$work/container.err"
  tail -n 1 "$work/container.out"
}

# A wrong one is no use to the daemon either.
! LOGIN=reader:recognisable-wrong starling pull --secret env:LOGIN "$image" >"$work/refused.log" 2>&1 || fail "a wrong secret was enough"
export LOGIN=reader:$old
expect "layers of the pull" "$(pull)" "[3,0,0]"
expect "a file" "$(run 'cat /data/kept')" changed
first=$(server)
kill -KILL "$first"
wait_until 30 "the next server" sh -c "pgrep -P $STARLINGD_PID | grep -vqx $first"
sleep 4
expect "a file after the server's death, with a new token" "$(run 'cat /deep/a/b/c/d/e/f/g/h/file')" deepest

# With another password the next pull's secret counts, also for what is in use.
echo "$new" >"$work/password"
export LOGIN=reader:$new
expect "layers that were there" "$(pull)" "[0,3,0]"
sleep 4
expect "the rest with the new password" "$(run 'sha256sum /odd/large')" "$large  /odd/large"
ctr images rm --sync "$image" >/dev/null

# A build whose base is private.
mkdir "$work/context"
printf 'FROM %s\nRUN cat /data/kept >/result\n' "$image" >"$work/context/Dockerfile"
starling build --registry-secret env:LOGIN --progress plain -t local/built:1 --state-dir "$work/build" "$work/context" >"$work/build.log" 2>&1 ||
  fail "the build: $(tail -n 5 "$work/build.log")"
expect "lazily prepared layers of the base" "$(grep -c '"remote-snapshot-prepared":"true"' "$work/starlingd.log")" 6
: >"$work/container.out"
ctr run --rm --log-uri "file://$work/container.out" --snapshotter stargz docker.io/local/built:1 c2 cat /result 2>>"$work/container.err"
expect "what was built" "$(cat "$work/container.out")" changed

arguments() {
  local pid
  for pid in "${E2E_PIDS[@]}" $(server); do tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" || true; done
}
arguments >"$work/arguments.log"
printf '%s\n' recognisable "$(printf 'reader:%s' "$old" | base64)" "$(printf 'reader:%s' "$new" | base64)" >"$work/needles"
found=$(grep -lFf "$work/needles" "$work"/starlingd.log "$work"/arguments.log "$work"/refused.log "$work"/pull.json "$work"/build.log "$work"/container.* || true)
expect "files with secrets" "$found" ""
expect "secrets on the disk" "$(grep -rlFf "$work/needles" "$work/starling" "$work/home" "$work/build" || true)" ""
echo PASS
