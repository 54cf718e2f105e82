#!/bin/bash
# Promise: crictl pulls private images through starlingd's image service from containerd 2.3, with what `--creds` says and
# nothing else, from a registry with htpasswd and from one with a token server; their layers are lazy, a container reads the
# rest of them with the same credentials, also after the server was killed and after an upgrade; they count for that
# repository alone, a pull that fails leaves none; all other calls are containerd's; no secret is in a log, an argument of
# ours, or on the disk.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
bin=$("$here/tools.sh")
crictl=$("$here/go_program.sh" crictl sigs.k8s.io/cri-tools/cmd/crictl)
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
before_release() {
  [ -z "${pod:-}" ] || cri stopp "$pod" >/dev/null 2>&1
}
trap 'release_all "$work"' EXIT
password=recognisable-password
guarded_password=recognisable-guarded

make_image "$work"
starling convert "oci:$work/oci:plain" "oci:$work/oci:esgz" >/dev/null
size=$(du -sb "$work/oci/blobs" | cut -f1)
large=$(tar -xOf "$work/layer2.tar" ./odd/large | sha256sum | cut -d' ' -f1)
mkdir "$work/second"
make_image "$work/second"
starling convert "oci:$work/second/oci:plain" "oci:$work/second/oci:esgz" >/dev/null
second_large=$(tar -xOf "$work/second/layer2.tar" ./odd/large | sha256sum | cut -d' ' -f1)
umoci config --image "$work/oci:plain" --tag pause --config.cmd sleep --config.cmd infinity

password_file "$work/htpasswd" me "$password"
start_registry "$work" "$work/htpasswd"
mkdir "$work/publisher" "$work/home" "$work/logs"
for image in esgz:t/image:esgz esgz:t/other:esgz plain:t/pause:1; do
  export DOCKER_CONFIG=$work/publisher
  starling login "$REGISTRY" -u me --password-stdin --plaintext <<<"$password" >/dev/null
  from=${image%%:*} to=${image#*:}
  [ "$to" = t/pause:1 ] && from=pause
  starling convert "oci:$work/oci:$from" "docker://$REGISTRY/$to" >/dev/null
done
rm -rf "$work/publisher"
echo "$guarded_password" >"$work/password"
start_process "$work/guarded.log" python3 "$here/guarded_registry.py" "$work/second/oci" esgz "$work/password"
wait_until 20 "the guarded registry's start" test -s "$work/guarded.log"
guarded=$(head -n 1 "$work/guarded.log" | cut -d' ' -f1)
mkdir -p "$work/certs.d/$guarded"
echo "server = \"http://$guarded\"" >"$work/certs.d/$guarded/hosts.toml"

# The daemon has no other source.
export HOME=$work/home DOCKER_CONFIG=$work/home
starlingd_settings="
[fetch]
policy = \"lazy\"
prefetch = false
background = false
[registry]
read_deadline_sec = 5
[cri]
image_socket = \"$work/images.sock\"
backend = \"$work/containerd.sock\""
start_starlingd "$work"
wait_until 20 "the image service's socket" test -S "$work/images.sock"
expect "mode of the image service's socket" "$(stat -c %a "$work/images.sock")" 600
lazy=$REGISTRY/t/image:esgz
cri() {
  "$crictl" --timeout 60s --runtime-endpoint "unix://$work/containerd.sock" --image-endpoint "unix://$work/images.sock" "$@"
}
# A containerd that is not there is what the client is told.
if cri images >"$work/absent.log" 2>&1; then fail "images without containerd"; fi
expect_match "without containerd" "$(cat "$work/absent.log")" "Unavailable"
start_containerd "$work" "$bin" "$REGISTRY/t/pause:1"
wait_until 30 "containerd's image service" cri imagefsinfo

# Nothing, and something wrong.
for creds in "" "--creds me:recognisable-wrong"; do
  # shellcheck disable=SC2086
  if cri pull $creds "$lazy" >"$work/refused.log" 2>&1; then fail "a pull with '$creds'"; fi
done
prepared() {
  grep -c '"remote-snapshot-prepared":"true"' "$work/starlingd.log" || true
}
expect "layers of refused pulls" "$(prepared)" 0

mark=$(registry_mark "$work")
cri pull --creds "me:$password" "$lazy" >"$work/pull.log"
read -r requests bytes <<<"$(registry_cost "$work" "$mark")"
expect "lazily prepared layers" "$(prepared)" 3
[ "$bytes" -lt $((size / 4)) ] || fail "the pull took $bytes of $size bytes"
echo "ok: the pull took $bytes of $size bytes, $requests requests"
expect_match "the image is listed" "$(cri images)" "$REGISTRY/t/image +esgz"
expect "an image that is not there" "$(cri inspecti "$REGISTRY/t/nothing:1" >/dev/null 2>&1 || echo "$?")" 1
# Credentials of one repository are not another's, though its layers are the same.
if cri pull "$REGISTRY/t/other:esgz" >"$work/other.log" 2>&1; then fail "a pull of another repository"; fi

cri pull --auth "$(printf 'me:%s' "$password" | base64)" "$REGISTRY/t/pause:1" >>"$work/pull.log"
cat >"$work/pod.json" <<J
{"metadata": {"name": "p", "namespace": "default", "uid": "u1", "attempt": 1}, "log_directory": "$work/logs",
 "linux": {"security_context": {"namespace_options": {"network": 2}}}}
J
cat >"$work/container.json" <<J
{"metadata": {"name": "c"}, "image": {"image": "$lazy"}, "command": ["sleep", "600"], "log_path": "c.log", "linux": {}}
J
pod=$(cri runp "$work/pod.json")
container=$(cri create "$pod" "$work/container.json" "$work/pod.json")
cri start "$container" >/dev/null
server() {
  pgrep -P "$STARLINGD_PID"
}
in_container() {
  cri exec "$container" "$@"
}
expect "a file of the lazy image" "$(in_container cat /data/kept)" changed

# The next server has never seen the pull.
first=$(server)
kill -KILL "$first"
wait_until 30 "the next server" sh -c "pgrep -P $STARLINGD_PID | grep -vqx $first"
expect "bytes after the server's death" "$(in_container cat /deep/a/b/c/d/e/f/g/h/file)" deepest
starling upgrade --root "$work/starling" >"$work/upgrade.log"
mark=$(registry_mark "$work")
expect "bytes after an upgrade" "$(in_container sha256sum /odd/large)" "$large  /odd/large"
expect_match "which came from the registry" "$(registry_requests "$work" "$mark")" "blobs/sha256:[0-9a-f]+ 206"
expect_match "the image service after an upgrade" "$(cri images)" "$REGISTRY/t/image +esgz"

# A token server, whose tokens last 3 seconds.
before=$(prepared)
cri pull --creds "reader:$guarded_password" "$guarded/t/image:esgz" >>"$work/pull.log"
expect "lazily prepared layers behind a token server" "$(prepared)" $((before + 3))
sed "s|$lazy|$guarded/t/image:esgz|; s|\"c\"|\"d\"|; s|c.log|d.log|" "$work/container.json" >"$work/second.json"
second=$(cri create "$pod" "$work/second.json" "$work/pod.json")
cri start "$second" >/dev/null
expect "a file behind a token server" "$(cri exec "$second" cat /data/kept)" changed
tokens=$(grep -c 'GET /token 200' "$work/guarded.log")
sleep 4
expect "bytes when the token has ended" "$(cri exec "$second" sha256sum /odd/large)" "$second_large  /odd/large"
[ "$(grep -c 'GET /token 200' "$work/guarded.log")" -gt "$tokens" ] || fail "no new token was asked for"
echo "ok: a new token was asked for"

cri rmp -f "$pod" >/dev/null
pod=
cri rmi "$guarded/t/image:esgz" >/dev/null
expect "images that were removed" "$(cri images | grep -c "$guarded" || true)" 0

arguments() {
  local pid
  for pid in "${E2E_PIDS[@]}" $(server); do tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" || true; done
}
arguments >"$work/arguments.log"
starling cache ls --address "$work/starling.sock" --json >"$work/status.log"
for pid in "$STARLINGD_PID" $(server); do
  expect "the largest core file of $(cat "/proc/$pid/comm")" "$(awk '/^Max core file size/ { print $5, $6 }' "/proc/$pid/limits")" "0 0"
done
printf '%s\n' "$password" "$(printf 'me:%s' "$password" | base64)" "$guarded_password" \
  "$(printf 'reader:%s' "$guarded_password" | base64)" recognisable-wrong >"$work/needles"
found=$(grep -lFf "$work/needles" "$work"/starlingd.log "$work"/refused.log "$work"/arguments.log "$work"/status.log "$work"/upgrade.log || true)
expect "files with secrets" "$found" ""
expect "secrets on the disk" "$(grep -rlFf "$work/needles" "$work/starling" "$work/home" || true)" ""

stop_process "$STARLINGD_PID" || fail "starlingd did not stop"
test ! -e "$work/images.sock" || fail "the image service's socket stayed"
expect "mounts at the end" "$(mounts_below "$work/starling")" ""
echo PASS
