#!/bin/bash
# Promise: whoever reads a lazily mounted image notices nothing when starlingd's server is killed, again and again, or
# replaced by the program on the disk, also while the registry is away; calls of containerd fail at most when they are
# under way. STARLING_SOAK_SECONDS: how long it reads in all, 30 by itself.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT
seconds=$((${STARLING_SOAK_SECONDS:-30} / 4))

# With what is read in part before the registry goes away.
expected=$work/expected
make_layers_image "$work" 12
start_registry "$work"
image=$REGISTRY/t/image:esgz
starling convert "oci:$work/oci:plain" "oci:$work/lazy:esgz" >/dev/null
skopeo copy -q --dest-tls-verify=false "oci:$work/lazy:esgz" "docker://$image"

# A copy, which is then replaced.
mkdir "$work/bin"
cp "$(command -v starlingd)" "$work/bin/starlingd"
PATH=$work/bin:$PATH
starlingd_settings=$'[fetch]\nbackground = false'
start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS
starling pull --address "$CONTAINERD_ADDRESS" "$image" >/dev/null
expect "lazily prepared layers" "$(grep -c '"remote-snapshot-prepared":"true"' "$work/starlingd.log")" 12
top=$(ctr snapshots --snapshotter stargz ls | awk '/Committed/ { name[$1]; if (NF == 3) parent[$2] }
  END { for (n in name) if (!(n in parent)) print n }')
# A lease keeps what nothing refers to from containerd's collector.
ctr leases create --id kill >/dev/null
export CONTAINERD_LEASE=kill
ctr snapshots --snapshotter stargz prepare container "$top" >/dev/null
mkdir "$work/tree"
sh <<<"$(ctr snapshots --snapshotter stargz mounts "$work/tree" container)"
for file in "$expected"/warm-*; do cmp "$file" "$work/tree/$(basename "$file")"; done

# loop WHAT OPTIONS...: reads and calls for a quarter of the time.
loop() {
  local what=$1
  shift
  echo "$what:"
  python3 "$here/kill_loop.py" --tree "$work/tree" --expected "$expected" --lock-file "$work/starling/starlingd.lock" --seconds "$seconds" \
    --call "ctr --address $work/starling.sock snapshots --snapshotter stargz ls" \
    --call-through "ctr snapshots --snapshotter stargz ls" \
    --call-through "ctr snapshots --snapshotter stargz prepare c{} $top && ctr snapshots --snapshotter stargz mounts /x c{}; r=\$?; ctr snapshots --snapshotter stargz rm c{}; exit \$r" \
    "$@" || fail "$what"
}

loop "killed" &&
  [ "$(ctr snapshots --snapshotter stargz ls | grep -c Committed)" = 12 ] || fail "snapshots are lost"
# As a package manager replaces a program that runs.
cp "$work/bin/starlingd" "$work/bin/new" && mv "$work/bin/new" "$work/bin/starlingd"
loop "replaced" --reload --no-kill
starling upgrade --root "$work/starling" || fail "an upgrade"
expect "the program that runs" "$(readlink "/proc/$STARLINGD_PID/exe")" "$work/bin/starlingd"
loop "killed and replaced" --reload
head -c 100000 "$work/tree/half" | cmp - <(head -c 100000 "$expected/half")
stop_process "$REGISTRY_PID"
chroot "$work/tree" /bin/busybox sha256sum /half >"$work/sum" 2>"$work/sum.error" &
half=$!
loop "killed and replaced without a registry" --reload --held
kill -0 "$half" 2>/dev/null || fail "a program that needs the registry did not wait for it: $(cat "$work/sum" "$work/sum.error")"
serve_registry "$work"
wait "$half" || fail "a program that had waited for the registry failed: $(cat "$work/sum.error")"
expect "what it has read, in part before all of this" "$(cut -d ' ' -f 1 <"$work/sum")" "$(sha256sum <"$expected/half" | cut -d ' ' -f 1)"
expect "the keeper's threads" "$(ls "/proc/$STARLINGD_PID/task" | wc -l)" 1
echo "the keeper has $(awk '/VmRSS/ { print $2, $3 }' "/proc/$STARLINGD_PID/status") resident, $(ls "/proc/$STARLINGD_PID/fd" | wc -l) descriptors"

# What does not take over: the running program goes on.
printf '#!/bin/sh\nexit 1\n' >"$work/bin/new" && chmod +x "$work/bin/new" && mv "$work/bin/new" "$work/bin/starlingd"
expect_refusal "an upgrade to another program" 'goes on as before' starling upgrade --root "$work/starling" --timeout 1
expect_match "what the log says of it" "$(grep 'does not take over' "$work/starlingd.log")" 'refuses what is kept here'
ctr snapshots --snapshotter stargz ls >/dev/null || fail "the old server does not go on"

umount "$work/tree"
stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
expect "mounts of a stopped starlingd" "$(mounts_below "$work/starling")" ""
expect "files of sockets" "$(ls "$work"/starling.sock 2>/dev/null || true)" ""
echo PASS
