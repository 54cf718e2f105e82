#!/bin/bash
# Promise: containerd's certs.d holds for lazy layers, too: they come from a pull-through cache that wants a client
# certificate of its own authority, from the registry while that is away, and the other way round.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
bin=$("$here/tools.sh")
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
upstream=$REGISTRY upstream_pid=$REGISTRY_PID
starling convert "oci:$work/oci:plain" "docker://$upstream/t/image:esgz" >/dev/null

certs=$work/certs.d/registry.test
make_authority "$certs"
issue_certificate "$certs" mirror IP:127.0.0.1
issue_certificate "$certs" client DNS:client
mirror=127.0.0.1:$(free_port)
cat >"$work/mirror.yml" <<Y
version: 0.1
log: {accesslog: {disabled: true}, formatter: json}
storage: {filesystem: {rootdirectory: $work/mirror}}
proxy: {remoteurl: "http://$upstream"}
http: {addr: $mirror, tls: {certificate: $certs/mirror.pem, key: $certs/mirror.key, clientcas: [$certs/ca.pem]}}
Y
start_mirror() {
  start_process "$work/mirror.log" docker-registry serve "$work/mirror.yml"
  mirror_pid=$LAST_PID
  wait_until 20 "the mirror's first answer" curl -fs --cacert "$certs/ca.pem" --cert "$certs/client.pem" \
    --key "$certs/client.key" "https://$mirror/v2/"
}
start_mirror
! curl -fs --cacert "$certs/ca.pem" "https://$mirror/v2/" 2>/dev/null || fail "the mirror wants no client certificate"
cat >"$certs/hosts.toml" <<T
server = "http://$upstream"
[host."https://$mirror"]
  capabilities = ["pull", "resolve"]
  ca = "ca.pem"
  client = [["client.pem", "client.key"]]
T

starlingd_settings=$(printf '[registry]\nconfig_path = "%s"\n[fetch]\nprefetch = false\nbackground = false\n' "$work/certs.d")
start_starlingd "$work"
start_containerd "$work" "$bin"
mkdir -p "$work/nerdctl"
cat >"$work/nerdctl.toml" <<T
address = "$CONTAINERD_ADDRESS"
data_root = "$work/nerdctl"
cgroup_manager = "cgroupfs"
hosts_dir = ["$work/certs.d"]
snapshotter = "stargz"
T
export NERDCTL_TOML=$work/nerdctl.toml PATH=$bin:$PATH
# asked LOG: how often starlingd has asked that registry.
asked() {
  grep -c '"http.request.useragent":"starling/.*response completed' "$work/$1.log" || true
}
# in_container SCRIPT: what it prints; little, since nerdctl may wait for ever for the end of much.
in_container() {
  nerdctl_run registry.test/t/image:esgz sh -c "$1"
}

# The command line reads the same directory.
expect "layers that starling inspects by the mirror" \
  "$(starling inspect --json --hosts-dir "$work/certs.d" registry.test/t/image:esgz | jq '.layers | length')" 3
before=$(asked registry)
nerdctl pull -q registry.test/t/image:esgz
expect "layers that are lazy" "$(grep -c '"remote-snapshot-prepared":"true"' "$work/starlingd.log")" 3
expect "a file that comes by the mirror" "$(in_container "cat /data/kept")" changed
[ "$(asked mirror)" -gt 0 ] || fail "the mirror was not asked"
# A read that is late is asked for elsewhere, too, but seldom.
[ "$(asked registry)" -le $((before + 2)) ] || fail "the registry was asked $(($(asked registry) - before)) times"
before=$(asked registry)

stop_process "$mirror_pid"
expect "a file while the mirror is away" "$(in_container "cat /deep/a/b/c/d/e/f/g/h/file")" deepest
[ "$(asked registry)" -gt "$before" ] || fail "the registry was not asked"

start_mirror
stop_process "$upstream_pid"
expect "a large file while the registry is away" "$(in_container 'wc -c </odd/large')" 9000000

# A mirror that is configured while a mount waits for its registry answers what waits.
cp "$certs/hosts.toml" "$work/hosts.toml"
printf 'server = "http://%s"\n' "$upstream" >"$certs/hosts.toml"
serve_registry "$work"
upstream_pid=$REGISTRY_PID
mkdir "$work/shown"
start_process "$work/mount.log" starling mount --foreground --hosts-dir "$work/certs.d" --root "$work/mount" --gzip-indexes "$work/none" \
  registry.test/t/image:esgz "$work/shown"
mount_pid=$LAST_PID
wait_until 20 "the mount" mountpoint -q "$work/shown"
stop_process "$upstream_pid"
sha256sum "$work/shown/odd/large" >"$work/sum.txt" &
reader=$!
before=$(asked mirror)
sleep 2
kill -0 "$reader" || fail "the read did not wait: $(cat "$work/sum.txt")"
mv "$work/hosts.toml" "$certs/hosts.toml"
wait "$reader" || fail "the read failed"
expect "a file by a mirror that came later" "$(cut -d' ' -f1 <"$work/sum.txt")" "$(tar -xOf "$work/layer2.tar" ./odd/large | sha256sum | cut -d' ' -f1)"
[ "$(asked mirror)" -gt "$before" ] || fail "the mirror was not asked"
stop_process "$mount_pid" || fail "the mount did not end"
echo PASS
