#!/bin/bash
# Promise: with containerd 2.3, nerdctl --snapshotter=stargz pulls, runs, commits and prunes lazily.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
bin=$("$here/tools.sh")
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
lazy=$REGISTRY/t/image:esgz
starling convert "oci:$work/oci:plain" "docker://$lazy" >/dev/null
mapfile -t layers < <(skopeo inspect --tls-verify=false "docker://$lazy" | jq -r '.Layers[]')

start_starlingd "$work"
start_containerd "$work" "$bin"
mkdir -p "$work/nerdctl"
cat >"$work/nerdctl.toml" <<T
address = "$CONTAINERD_ADDRESS"
data_root = "$work/nerdctl"
cgroup_manager = "cgroupfs"
insecure_registry = true
snapshotter = "stargz"
namespace = "k8s"
T
export NERDCTL_TOML=$work/nerdctl.toml PATH=$bin:$PATH

mark=$(registry_mark "$work")
nerdctl pull -q "$lazy"
requests=$(registry_requests "$work" "$mark")
for layer in "${layers[@]}"; do
  ! grep -q "GET .*blobs/$layer 200" <<<"$requests" || fail "layer $layer was downloaded"
done
expect "log lines of lazily prepared layers" \
  "$(grep -c '"remote-snapshot-prepared":"true"' "$work/starlingd.log")" 3
expect "layer blobs in containerd's content store" \
  "$(ctr -a "$CONTAINERD_ADDRESS" -n k8s content ls -q | grep -c -F -f <(printf '%s\n' "${layers[@]}") || true)" 0

expect "nerdctl run" "$(nerdctl_run "$lazy" cat /data/kept)" changed
nerdctl run -d --net none --name service "$lazy" sleep 300 >/dev/null
expect "nerdctl exec" "$(nerdctl exec service cat /deep/a/b/c/d/e/f/g/h/file)" deepest
nerdctl exec service sh -c 'echo written >/data/new; rm /data/kept'
expect "nerdctl ps" "$(nerdctl ps --format '{{.Names}}')" service

# The committed image has its new layer in the content store and its lower ones still in the registry.
nerdctl commit service committed:1 >/dev/null
expect "a container of the committed image" \
  "$(nerdctl_run committed:1 sh -c 'cat /data/new; test -e /data/kept || echo gone')" \
  $'written\ngone'

# A second namespace shares the snapshots and still sees the image.
expect "another namespace" \
  "$(nerdctl --namespace second run -q --rm --net none "$lazy" cat /data/kept)" changed

nerdctl rm -f service >/dev/null
nerdctl rmi -f committed:1 >/dev/null
nerdctl --namespace second rmi -f "$lazy" >/dev/null
nerdctl --namespace second system prune -af >/dev/null
expect "the image that stays" "$(nerdctl_run "$lazy" cat /data/many/file-9)" 9
nerdctl system prune -af >/dev/null
expect "images after system prune" "$(nerdctl images -q)" ""
# The collection after a prune is scheduled; a lease that is deleted in sync runs one now.
ctr -a "$CONTAINERD_ADDRESS" -n k8s leases create --id collect >/dev/null
ctr -a "$CONTAINERD_ADDRESS" -n k8s leases delete --sync collect >/dev/null
expect "snapshots after system prune" \
  "$(ctr -a "$CONTAINERD_ADDRESS" -n k8s snapshots --snapshotter stargz ls | tail -n +2)" ""

stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
expect "mounts at the end" "$(mounts_below "$work/starling")" ""
echo PASS
