#!/bin/bash
# Promise: on a node where containerd knows nothing of Starling, `starling doctor` names what is missing, `starling setup
# --apply` writes it, a pull is lazy then and the doctor is quiet; --undo puts every file back, byte for byte. With containerd
# 2.3 for ctr, nerdctl and the CRI, and with Debian's 1.6; every example of docs/doctor.md works.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
bin=$("$here/tools.sh")
crictl=$("$here/go_program.sh" crictl sigs.k8s.io/cri-tools/cmd/crictl)
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
open_registry=$REGISTRY
lazy=$REGISTRY/t/image:esgz
starling convert "oci:$work/oci:plain" "docker://$lazy" >/dev/null

# Where everything of this node is; no home of anybody's.
mkdir -p "$work/home"
export HOME=$work/home DOCKER_CONFIG=$work/home STARLING_ADDRESS=$work/starling.sock
places=(--config "$work/starlingd.toml" --containerd-config "$work/containerd.toml" --nerdctl-config "$work/nerdctl.toml")

# write_containerd VERSION LINES: a configuration with comments, as an administrator has it.
write_containerd() {
  cat >"$work/containerd.toml" <<C
version = $1          # of this file
root = "$work/containerd-root"
state = "$work/containerd-state"
disabled_plugins = [
$2
]

[grpc]
  address = "$work/containerd.sock" # a socket of its own
[debug]
  address = "$work/debug.sock"
C
  chmod 0640 "$work/containerd.toml"
  printf '# the end, without a line end' >>"$work/containerd.toml"
}

# run_containerd [BIN]: with that file.
run_containerd() {
  local directory=${1:-/usr/bin}
  [ -z "${CONTAINERD_PID:-}" ] || stop_process "$CONTAINERD_PID"
  start_process "$work/containerd.log" env PATH="$directory:$PATH" "$directory/containerd" -c "$work/containerd.toml"
  CONTAINERD_PID=$LAST_PID
  wait_until 30 "containerd's first answer" "$directory/ctr" -a "$work/containerd.sock" version
}

# findings [ARGUMENTS]: the names of the doctor's findings and its exit code.
findings() {
  local code=0
  starling doctor --json "${places[@]}" "$@" >"$work/findings.json" 2>"$work/findings.error" || code=$?
  [ ! -s "$work/findings.error" ] || fail "the doctor: $(cat "$work/findings.error")"
  echo "$(jq -r '[.findings[] | select(.severity != "note") | .check] | join(" ")' "$work/findings.json") $code"
}

lazy_layers() {
  grep -c '"remote-snapshot-prepared":"true"' "$work/starlingd.log" || true
}

two='  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", # not here
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.nri.v1.nri",'
no_cri='  "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri",'
write_containerd 3 "$two
$no_cri"
cp -p "$work/containerd.toml" "$work/before.toml"

expect "findings without anybody running" "$(findings --for containerd)" \
  "starlingd.answers containerd.answers containerd.plugin 4"
start_starlingd "$work"
run_containerd "$bin"
expect "findings before the setup" "$(findings --for containerd)" \
  "containerd.plugin containerd.annotations containerd.unpack-config 4"
! "$bin/ctr" -a "$work/containerd.sock" images pull --plain-http --snapshotter stargz "$lazy" >/dev/null 2>&1 ||
  fail "containerd knows the snapshotter already"

starling setup containerd "${places[@]}" >"$work/printed"
expect_match "what setup prints" "$(cat "$work/printed")" "at the end of $work/containerd.toml:"
cmp "$work/containerd.toml" "$work/before.toml"
starling setup containerd --apply "${places[@]}" >"$work/applied"
expect_match "what setup writes" "$(cat "$work/applied")" "what stood there is in $work/containerd.toml.before-starling-containerd"
cmp "$work/before.toml" "$work/containerd.toml.before-starling-containerd"
cmp "$work/before.toml" <(head -c "$(stat -c %s "$work/before.toml")" "$work/containerd.toml")
expect "permissions after it" "$(stat -c '%a %u' "$work/containerd.toml")" "640 0"
expect "findings before the restart" "$(findings --for containerd)" "containerd.loaded 4"
run_containerd "$bin"
expect "findings after it" "$(findings --for containerd "$lazy")" " 0"
expect "what the doctor says" "$(starling doctor --for containerd "${places[@]}" | tail -n 1 | sed 's/ (.*//')" \
  "$(jq .checks "$work/findings.json") checks, nothing found"
expect "a second setup" "$(starling setup containerd --apply "${places[@]}")" "nothing is missing"

mark=$(registry_mark "$work")
"$bin/ctr" -a "$work/containerd.sock" images pull --plain-http --snapshotter stargz "$lazy" >/dev/null
expect "lazy layers of ctr" "$(lazy_layers)" 3
expect "layers that were downloaded" "$(registry_requests "$work" "$mark" | grep -c "GET .*blobs/.* 200 [0-9]\{6\}" || true)" 0
expect "a container" "$(PATH=$bin:$PATH ctr -a "$work/containerd.sock" run --rm --snapshotter stargz "$lazy" c1 cat /data/kept)" changed

# nerdctl is told by a file that is not there yet.
expect "findings for nerdctl" "$(findings --for containerd,nerdctl)" "nerdctl.snapshotter 3"
starling setup nerdctl --apply "${places[@]}" >/dev/null
expect "the file of nerdctl" "$(cat "$work/nerdctl.toml")" 'snapshotter = "stargz"'
expect "findings for nerdctl then" "$(findings --for containerd,nerdctl)" " 0"
printf 'address = "%s"\ndata_root = "%s"\ncgroup_manager = "cgroupfs"\ninsecure_registry = true\n' \
  "$work/containerd.sock" "$work/nerdctl" >"$work/more.toml"
cat "$work/nerdctl.toml" >>"$work/more.toml"
(
  export NERDCTL_TOML=$work/more.toml PATH=$bin:$PATH
  nerdctl --namespace other pull -q "$lazy" >/dev/null
  expect "a container of nerdctl" "$(nerdctl --namespace other run --rm --net none "$lazy" cat /data/kept)" changed
)
starling setup nerdctl --undo "${places[@]}" >/dev/null
[ ! -e "$work/nerdctl.toml" ] || fail "the file of nerdctl is still there"

# Somebody changes the file: nothing is lost.
cp -p "$work/containerd.toml" "$work/written.toml"
echo "# mine" >>"$work/containerd.toml"
expect_refusal "an undo over a change" "$work/containerd.toml was changed since" starling setup containerd --undo "${places[@]}"
expect "the line that was added" "$(tail -n 1 "$work/containerd.toml")" "# mine"
cp -p "$work/written.toml" "$work/containerd.toml"
starling setup containerd --undo "${places[@]}" >/dev/null
cmp "$work/before.toml" "$work/containerd.toml"
expect "permissions after the undo" "$(stat -c %a "$work/containerd.toml")" 640
expect "files that are left" "$(find "$work" -maxdepth 1 -name '*before-starling*' | wc -l)" 0
expect_refusal "a second undo" "nothing was applied" starling setup containerd --undo "${places[@]}"

# kubelet: a value stands in the way, which is named and, when told to, replaced.
write_containerd 3 "$two"
cat >>"$work/containerd.toml" <<C

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs" # the default
# Where the tests run nobody may be made safer from the OOM killer than they are.
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
C
cp -p "$work/containerd.toml" "$work/before.toml"
expect_match "findings for kubelet" "$(findings --for containerd,cri)" "cri.snapshotter cri.annotations 4$"
code=0
starling setup cri --apply "${places[@]}" >"$work/output" 2>"$work/error" || code=$?
expect "a value in the way: exit code" "$code" 3
line=$(grep -n 'snapshotter = "overlayfs"' "$work/containerd.toml" | cut -d: -f1)
expect_match "a value in the way" "$(cat "$work/error")" "$work/containerd.toml:$line:[0-9]+: plugins.*snapshotter is \"overlayfs\", and has to be \"stargz\""
cmp "$work/before.toml" "$work/containerd.toml"
starling setup cri --apply --replace "${places[@]}" >/dev/null
expect "the line with its comment" "$(sed -n "$((line + 1))p" "$work/containerd.toml")" '  snapshotter = "stargz" # the default'
run_containerd "$bin"
expect "findings for kubelet then" "$(findings --for containerd,cri)" " 0"
mkdir -p "$work/second"
make_image "$work/second"
starling convert "oci:$work/second/oci:plain" "docker://$open_registry/t/second:esgz" >/dev/null
before=$(lazy_layers)
"$crictl" --timeout 60s --runtime-endpoint "unix://$work/containerd.sock" --image-endpoint "unix://$work/containerd.sock" \
  pull "$open_registry/t/second:esgz" >/dev/null 2>&1
[ "$(lazy_layers)" -gt "$before" ] || fail "a pull of crictl is not lazy"
starling setup cri --undo "${places[@]}" >/dev/null
cmp "$work/before.toml" "$work/containerd.toml"

# k3s: containerd's configuration is made of a template, whose CRI is told of another snapshotter than stargz, without annotations.
starling setup k3s "${places[@]}" >"$work/printed"
expect_match "what setup prints for k3s" "$(cat "$work/printed")" "config-v3.toml.tmpl:.*template \"base\" .*proxy_plugins.starling"
write_containerd 3 "$two"
{
  printf '\n[plugins."io.containerd.cri.v1.images"]\n  snapshotter = "starling"\n  disable_snapshot_annotations = true\n'
  printf '[plugins."io.containerd.cri.v1.runtime"]\n  restrict_oom_score_adj = true\n'
  sed -n '/^      \[proxy_plugins/,/^    in the new/p' "$work/printed" | grep '^      ' | sed "s|/var/lib/starling|$work/starling|"
} >>"$work/containerd.toml"
run_containerd "$bin"
expect "findings of what is printed for k3s" "$(findings --for containerd --snapshotter starling)" " 0"
starling convert "oci:$work/second/oci:plain" "docker://$open_registry/t/third:esgz" >/dev/null
before=$(lazy_layers)
"$crictl" --timeout 60s --runtime-endpoint "unix://$work/containerd.sock" --image-endpoint "unix://$work/containerd.sock" \
  pull "$open_registry/t/third:esgz" >/dev/null 2>&1
[ "$(lazy_layers)" -gt "$before" ] || fail "a pull by what is printed for k3s is not lazy"

# The files that containerd makes itself are understood, and understood by it afterwards.
for containerd in "$bin/containerd" /usr/bin/containerd; do
  "$containerd" config default >"$work/default.toml"
  cp "$work/default.toml" "$work/default.before"
  version=$("$containerd" --version | cut -d' ' -f3)
  starling setup cri --apply --replace --containerd-version "$version" "${places[@]}" --containerd-config "$work/default.toml" >/dev/null
  "$containerd" -c "$work/default.toml" config dump >"$work/dump.toml" 2>"$work/error" || fail "$version: $(cat "$work/error")"
  expect_match "the default file of $version" "$(cat "$work/dump.toml")" "snapshotter = .stargz."
  starling setup cri --undo "${places[@]}" --containerd-config "$work/default.toml" >/dev/null
  cmp "$work/default.before" "$work/default.toml"
done

# A registry that wants a login.
password_file "$work/htpasswd" me "a password"
mkdir "$work/closed"
start_registry "$work/closed" "$work/htpasswd"
write_containerd 3 "$two
$no_cri"
starling setup containerd --apply "${places[@]}" >/dev/null
run_containerd "$bin"
expect "findings without a login" "$(findings --for containerd "$REGISTRY/t/image:1")" "registry.login 4"
expect_match "its cure" "$(jq -r '.findings[].cure[] | select(.run).run' "$work/findings.json")" "starling login $REGISTRY"
starling login "$REGISTRY" -u me --password-stdin --plaintext <<<"a password" >/dev/null
expect "findings with one" "$(findings --for containerd "$REGISTRY/t/image:1")" "registry.name 4"
starling convert "oci:$work/oci:plain" "docker://$REGISTRY/t/image:1" >/dev/null
expect "findings with an image" "$(findings --for containerd "$REGISTRY/t/image:1")" " 0"

# Every example of the documentation, for this node.
mkdir "$work/theirs"
cat >"$work/theirs/config.toml" <<C
noprefetch = true
metrics_address = "127.0.0.1:8234"
[resolver]
request_timeout_sec = 20
C
starling setup containerd --undo "${places[@]}" >/dev/null
examples=$(sed -n '/^```sh$/,/^```$/p' "$here/../../docs/doctor.md" | grep '^starling ')
[ "$(wc -l <<<"$examples")" -ge 8 ] || fail "docs/doctor.md has few examples"
while read -r example; do
  example=${example//ghcr.io\/me\/app:1-esgz/$lazy}
  example=${example//\/etc\/containerd-stargz-grpc/$work/theirs}
  case $example in
  "starling doctor"*) example="$example ${places[*]}" ;;
  "starling setup"*) example="$example ${places[*]}" ;;
  esac
  code=0
  bash -c "$example" >"$work/output" 2>"$work/error" </dev/null || code=$?
  case $example in
  "starling doctor"*) [[ $code == [034] ]] || fail "$example: $code $(cat "$work/error")" ;;
  *) [ "$code" = 0 ] || fail "$example: $code $(cat "$work/error")" ;;
  esac
  echo "ok: $example"
done <<<"$examples"
for command in doctor setup "config import"; do
  # shellcheck disable=SC2086 # two words
  starling $command --help | grep -q "Example: starling $command" || fail "$command --help has no example"
done
starling config import "$work/theirs/config.toml" >"$work/imported.toml"
expect_match "an imported file" "$(cat "$work/imported.toml")" "request_timeout_sec = 20.*$work/theirs/config.toml:2: metrics_address"
expect "starlingd's file then" "$(findings --config "$work/imported.toml" --for nerdctl --nerdctl-config "$work/more.toml")" " 0"

# Debian's containerd 1.6 needs less.
stop_process "$CONTAINERD_PID"
CONTAINERD_PID=
rm -rf "$work/containerd-root" "$work/containerd-state"
write_containerd 2 '  "io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.devmapper",'
cp -p "$work/containerd.toml" "$work/before.toml"
run_containerd
expect "findings with containerd 1.6" "$(findings --for containerd)" "containerd.plugin 4"
starling setup containerd --apply "${places[@]}" >/dev/null
run_containerd
expect "findings after the setup" "$(findings --for containerd)" " 0"
starling pull --address "$work/containerd.sock" --json "$lazy" >"$work/pull.json"
expect "layers that containerd 1.6 downloaded" "$(jq .downloadedLayers "$work/pull.json")" 0
expect "a container of containerd 1.6" "$(ctr -a "$work/containerd.sock" run --rm --snapshotter stargz "$lazy" c2 cat /data/kept)" changed
starling setup containerd --undo "${places[@]}" >/dev/null
cmp "$work/before.toml" "$work/containerd.toml"
echo PASS
