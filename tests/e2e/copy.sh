#!/bin/bash
# Promise: `starling push` stores what containerd or a layout holds, `starling copy` moves an image between registries without a file:
# within a registry no byte of a blob, after a broken connection not again what has come, and the digest stays. The examples of
# docs/registries.md do what they say.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
bin=$("$here/tools.sh")
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
mkdir "$work/one" "$work/two"

# expect_failure WHAT CODE REGEX COMMAND...: that exit code and one line of error that matches.
expect_failure() {
  local what=$1 wanted_code=$2 regex=$3 status=0
  shift 3
  "$@" >"$work/output" 2>"$work/error" || status=$?
  grep '^starling ' "$work/error" >"$work/line" || true
  cat "$work/error" >>"$work/failures.txt"
  expect "$what: exit code" "$status" "$wanted_code"
  expect_match "$what: error" "$(cat "$work/line")" "$regex"
}
start_registry "$work/one"
one=$REGISTRY
start_registry "$work/two"
two=$REGISTRY

# bytes_of DIR MARK METHOD: the bytes of blobs that were answered with since then. uploads DIR MARK: requests with a blob's bytes.
blob_bytes() { registry_requests "$1" "$2" | awk '$1 == "GET" && $2 ~ "/blobs/" { bytes += $4 } END { print bytes + 0 }'; }
uploads() { registry_requests "$1" "$2" | grep -c -E '^(PATCH|PUT) [^ ]*/blobs/uploads/' || true; }

starling push --json "oci:$work/oci:plain" "$one/t/image:plain" >"$work/pushed.json"
expect "blobs sent" "$(jq .sentBlobs "$work/pushed.json")" 4
wanted=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$one/t/image:plain")
expect "the pushed digest" "$(jq -r .digest "$work/pushed.json")" "$wanted"
mark=$(registry_mark "$work/one")
starling push "oci:$work/oci:plain" "$one/t/image:again" >/dev/null 2>&1
expect "uploads of what is there" "$(uploads "$work/one" "$mark")" 0
expect "tags" "$(starling tags "$one/t/image" | tr '\n' ' ')" "again plain "

# Within a registry.
mark=$(registry_mark "$work/one")
starling copy --json "$one/t/image:plain" "$one/other/image:moved" >"$work/mounted.json"
expect "blobs mounted" "$(jq .mountedBlobs "$work/mounted.json")" 4
expect "the mounted digest" "$(jq -r .digest "$work/mounted.json")" "$wanted"
expect "blob bytes read for it" "$(blob_bytes "$work/one" "$mark")" 0
expect "blob uploads for it" "$(uploads "$work/one" "$mark")" 0

# Between registries; the connection to the first one breaks once, in the middle of the large layer.
python3 "$here/breaking_proxy.py" "$one" 4000000 >"$work/proxy.log" 2>"$work/proxy-errors.log" &
E2E_PIDS+=($!)
wait_until 20 "the proxy's port" test -s "$work/proxy.log"
proxy=$(head -n 1 "$work/proxy.log")
starling copy "$proxy/t/image:plain" "$two/t/image:plain" >"$work/copied.txt" 2>"$work/progress.txt"
expect_match "the copied digest" "$(head -n 1 "$work/copied.txt")" "@$wanted\$"
expect "broken connections" "$(grep -c '^broken' "$work/proxy.log")" 1
expect "requests that go on where it broke" "$(grep -c ' bytes=4000000-$' "$work/proxy.log")" 1
sizes=$(skopeo inspect --tls-verify=false --raw "docker://$one/t/image:plain" | jq '[.config.size, .layers[].size]')
large=$(jq max <<<"$sizes")
moved=$(awk '$1 == "sent" { bytes += $2 } END { print bytes + 0 }' "$work/proxy.log")
total=$(jq add <<<"$sizes")
[ "$moved" -lt $((total + large / 2)) ] || fail "$moved bytes were sent of $total"
echo "ok: $moved bytes for layers of $total"
expect "lines of progress" "$(grep -c ': sent, ' "$work/progress.txt")" 4
expect "escape codes in a file" "$(grep -c $'\x1b' "$work/progress.txt" || true)" 0
mark=$(registry_mark "$work/one")
starling copy "$one/t/image:plain" "$two/t/image:second" >/dev/null 2>&1
expect "blob bytes for what is there" "$(blob_bytes "$work/one" "$mark")" 0

# Into files and back.
starling copy "$one/t/image:plain" "oci:$work/files:plain" >/dev/null 2>&1
starling copy "oci:$work/files:plain" "oci-archive:$work/files.tar:plain" >/dev/null 2>&1
expect_match "back from an archive" "$(starling push "oci-archive:$work/files.tar:plain" "$two/t/image:files" 2>/dev/null | head -n 1)" \
  "@$wanted\$"

# What is attached goes with it, to a registry that keeps it under a tag.
starling index create --root "$work/node" "$one/t/image:plain" >/dev/null
attached=$(starling index push --root "$work/node" "$one/t/image:plain")
starling copy --referrers --json "$one/t/image:plain" "$two/t/image:whole" >"$work/whole.json"
expect "referrers" "$(jq .referrers "$work/whole.json")" 1
expect "the referrer at the other registry" \
  "$(curl -fs -H 'Accept: application/vnd.oci.image.index.v1+json' "http://$two/v2/t/image/manifests/${wanted/:/-}" | jq -r '.manifests[0].digest')" "$attached"

# Also by files.
starling copy --referrers --json "$one/t/image:plain" "oci:$work/whole:plain" >"$work/whole.json"
expect "referrers into files" "$(jq .referrers "$work/whole.json")" 1
starling copy --referrers "oci:$work/whole:plain" "oci-archive:$work/whole.tar" >/dev/null 2>&1
starling copy --referrers --json "oci-archive:$work/whole.tar" "$two/t/image:archived" >"$work/whole.json"
expect "referrers out of an archive" "$(jq .referrers "$work/whole.json")" 1
expect "its digest" "$(jq -r .digest "$work/whole.json")" "$wanted"

# An image of containerd, pushed from its content store; nerdctl pulls the copy on overlayfs.
start_containerd "$work" "$bin"
mkdir -p "$work/nerdctl"
cat >"$work/nerdctl.toml" <<T
address = "$CONTAINERD_ADDRESS"
data_root = "$work/nerdctl"
cgroup_manager = "cgroupfs"
insecure_registry = true
snapshotter = "overlayfs"
T
export NERDCTL_TOML=$work/nerdctl.toml PATH=$bin:$PATH
nerdctl pull -q "$two/t/image:plain"
expect "the digest that nerdctl pulled" "$(nerdctl image inspect --mode native "$two/t/image:plain" | jq -r '.[0].Image.Target.digest')" "$wanted"
expect "a file of it" "$(nerdctl_run "$two/t/image:plain" cat /data/kept)" changed
nerdctl tag "$two/t/image:plain" "$two/from/containerd:1"
mark=$(registry_mark "$work/two")
starling push --json "$two/from/containerd:1" >"$work/contained.json"
expect "the digest from containerd" "$(jq -r .digest "$work/contained.json")" "$wanted"
expect "blobs that its labels let mount" "$(jq .mountedBlobs "$work/contained.json")" 4
expect "blob uploads for it" "$(uploads "$work/two" "$mark")" 0
starling push --json "$two/from/containerd:1" "$one/from/containerd:1" >"$work/contained.json"
expect "the digest at the other registry" "$(jq -r .digest "$work/contained.json")" "$wanted"

# A registry with a password, TLS of its own authority, and client certificates.
guarded=127.0.0.1:$(free_port)
certs=$work/authority
make_authority "$certs"
issue_certificate "$certs" server IP:127.0.0.1
issue_certificate "$certs" client DNS:client
password_file "$work/htpasswd" user secret
mkdir -p "$work/guarded" "$work/certs.d/$guarded"
cat >"$work/guarded.yml" <<Y
version: 0.1
log: {accesslog: {disabled: true}, formatter: json}
storage: {filesystem: {rootdirectory: $work/guarded/registry}}
auth: {htpasswd: {realm: guarded, path: $work/htpasswd}}
http: {addr: $guarded, tls: {certificate: $certs/server.pem, key: $certs/server.key, clientcas: [$certs/ca.pem]}}
Y
start_process "$work/guarded.log" docker-registry serve "$work/guarded.yml"
wait_until 20 "the guarded registry's first answer" curl -sS --cacert "$certs/ca.pem" --cert "$certs/client.pem" \
  --key "$certs/client.key" "https://$guarded/v2/"
hosts() { printf 'server = "https://%s"\n%s\n' "$guarded" "$1" >"$work/certs.d/$guarded/hosts.toml"; }
to_guarded() {
  starling copy --hosts-dir "$work/certs.d" --dest-secret env:GUARDED "$one/t/image:plain" "$guarded/t/image:plain"
}
export GUARDED=user:secret DOCKER_CONFIG=$work/docker
hosts ''
expect_failure "an unknown authority" 4 "$guarded/t/image: .*authority into .*/certs.d/$guarded/ as ca.crt" to_guarded
hosts "ca = \"$certs/ca.pem\""
expect_failure "no client certificate" 5 'client certificate' to_guarded
hosts "ca = \"$certs/ca.pem\"
client = [[\"$certs/client.pem\", \"$certs/client.key\"]]"
GUARDED=user:wrong expect_failure "a wrong password" 4 "$guarded/t/image: .*401.*GUARDED.*log in to $guarded" to_guarded
to_guarded >"$work/output" 2>/dev/null
expect_match "the digest behind all that" "$(head -n 1 "$work/output")" "@$wanted\$"
expect "secrets in the messages" "$(grep -c -E 'user:|wrong' "$work"/failures.txt || true)" 0

# Deleting, and failures that a script can tell apart.
code() { local status=0; "$@" >"$work/output" 2>"$work/error" || status=$?; echo $status; }
expect "exit code of a tag that the registry does not delete" "$(code starling delete "$two/from/containerd:1")" 1
expect_match "what helps" "$(cat "$work/error")" "starling delete $two/from/containerd@$wanted"
expect "exit code of delete" "$(code starling delete "$two/from/containerd@$wanted")" 0
expect "exit code when it is gone" "$(code starling copy "$two/from/containerd:1" "oci:$work/none")" 3
expect "lines of error" "$(wc -l <"$work/error")" 1
stop_process "${E2E_PIDS[1]}"
expect "exit code when the registry is away" "$(code starling tags "$two/t/image")" 5

# The examples of the documentation, with our registries in the place of its.
sed -n '/<!-- examples -->/,/<!-- end of examples -->/p' "$here/../../docs/registries.md" | grep '^starling ' |
  sed "s|registry.example/app|$one/t/image|g; s|backup.example/|$one/backup/|g; s|oci:images|oci:$work/oci|g; s|:1\\b|:plain|g" >"$work/examples"
[ "$(wc -l <"$work/examples")" -ge 5 ] || fail "the examples were not found"
while read -r example; do
  DIGEST=$wanted bash -c "$example" >"$work/output" 2>"$work/error" || fail "$example: $(cat "$work/error")"
  echo "ok: $example"
done <"$work/examples"
echo PASS
