#!/bin/bash
# kubernetes_machine.sh WORK CRICTL REGISTRY: the part of kubernetes.sh that changes a machine, in a mount namespace of its
# own, for which the caller cares.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/machine.sh"
enter_machine "$@"
work=$1/inside crictl=$2 registry=$3
image=$1/image
mkdir "$work"
before_release() {
  [ -z "${pod:-}" ] || cri stopp "$pod" >/dev/null 2>&1
  systemctl stop containerd.service starling.service || true
  pkill -KILL -f "containerd-shim-runc-v2 -namespace k8s.io .*-address $work/" || true
}
trap 'release_all "$work"' EXIT

# A node whose containerd answers kubelet. Its socket's place is this test's own, as its shims are known by it.
mkdir -p "/etc/containerd/certs.d/$registry" "$work/logs"
echo "server = \"http://$registry\"" >"/etc/containerd/certs.d/$registry/hosts.toml"
cat >"/etc/containerd/config.toml" <<C
version = 2
# As the node's owner wrote it.
[grpc]
  address = "$work/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$registry/t/pause:1"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
C
cp "/etc/containerd/config.toml" "$work/config.before"
cri() {
  "$crictl" --timeout 60s --runtime-endpoint "unix://$work/containerd.sock" --image-endpoint "unix://$work/containerd.sock" "$@"
}
pid_of() {
  cat "/run/systemctl/$1.service"
}
server_of() {
  pgrep -P "$(pid_of starling)"
}
systemctl start containerd.service
wait_until 30 "containerd's image service" cri imagefsinfo

# The pod: the image's files, and the machine's below /host.
mkdir -p "$image/host" "$image/etc/starling-configuration" "$image/tmp"
mount --rbind / "$image/host"
mount --bind /proc "$image/proc"
mount --rbind /dev "$image/dev"
printf '[fetch]\nbackground = false\n' >"$image/etc/starling-configuration/config.toml"
node() {
  STARLING_CONFIGURATION=/etc/starling-configuration/config.toml CONTAINERD_ADDRESS=$work/containerd.sock \
    PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$image" node.sh "$@" >"$work/node.log" 2>&1
}
echo nothing >"$image/opt/broken.tar.gz"
if node install --archive /opt/broken.tar.gz; then fail "a broken archive was installed"; fi
expect_match "a broken archive" "$(tail -n 1 "$work/node.log")" 'node.sh: /opt/broken.tar.gz is no archive of make tarball'
expect "a service after that" "$(systemctl is-active starling.service || true)" inactive

first_containerd=$(pid_of containerd)
node install || fail "installing: $(cat "$work/node.log")"
expect "the service" "$(systemctl is-active starling.service)" active
expect "its program" "$(readlink "/proc/$(pid_of starling)/exe")" /opt/starling/bin/starlingd
expect_match "containerd's configuration" "$(cat "/etc/containerd/config.toml")" 'snapshotter = "stargz"'
[ "$(pid_of containerd)" != "$first_containerd" ] || fail "containerd was not restarted"
wait_until 30 "containerd's return" cri imagefsinfo

cri pull "$registry/t/pause:1" >/dev/null
cri pull "$registry/t/image:esgz" >/dev/null
[ -n "$(mounts_below "/var/lib/starling")" ] || fail "no layer is lazy"
cat >"$work/pod.json" <<J
{"metadata": {"name": "p", "namespace": "default", "uid": "u1", "attempt": 1}, "log_directory": "$work/logs",
 "linux": {"security_context": {"namespace_options": {"network": 2}}}}
J
cat >"$work/container.json" <<J
{"metadata": {"name": "c"}, "image": {"image": "$registry/t/image:esgz"}, "command": ["sleep", "600"], "log_path": "c.log", "linux": {}}
J
pod=$(cri runp "$work/pod.json")
container=$(cri create "$pod" "$work/container.json" "$work/pod.json")
cri start "$container" >/dev/null
expect "a file" "$(cri exec "$container" cat /data/kept)" changed

# The next version's pod.
keeper=$(pid_of starling) server=$(server_of) containerd=$(pid_of containerd)
node install || fail "upgrading: $(cat "$work/node.log")"
expect "the keeper after an upgrade" "$(pid_of starling)" "$keeper"
[ "$(server_of)" != "$server" ] || fail "the server is the old one"
expect "containerd after an upgrade" "$(pid_of containerd)" "$containerd"
expect "a file that was not read before" "$(cri exec "$container" cat /deep/a/b/c/d/e/f/g/h/file)" deepest

cri stopp "$pod" >/dev/null
cri rmp "$pod" >/dev/null
pod=
cri rmi "$registry/t/image:esgz" "$registry/t/pause:1" >/dev/null
node uninstall || fail "uninstalling: $(cat "$work/node.log")"
cmp "/etc/containerd/config.toml" "$work/config.before" || fail "containerd's configuration is another than before"
expect "what is left" "$(ls -d "/opt/starling" "/etc/systemd/system/starling.service" 2>/dev/null || true)" ""
expect "mounts that are left" "$(mounts_below "/var/lib/starling")" ""
expect "the service after that" "$(systemctl is-active starling.service || true)" inactive
