# Servers and checks for end-to-end scripts; to be sourced by bash. Every server keeps to one private
# directory and a port that it chose, is known by its process id, and ends in release_all.
# shellcheck shell=bash disable=SC2034

E2E_PIDS=()
# Of containerd, for every client: what runc and the kernel know a container by is of the machine, and has its name in it.
export CONTAINERD_NAMESPACE=e2e-$$
trap 'exit 143' TERM INT

fail() {
  echo "FAIL: $*" >&2
  exit 1
}

# expect WHAT ACTUAL WANTED
expect() {
  [ "$2" = "$3" ] || fail "$1: got '$2', want '$3'"
  echo "ok: $1"
}

# expect_match WHAT ACTUAL REGEX
expect_match() {
  [[ "$2" =~ $3 ]] || fail "$1: '$2' does not match '$3'"
  echo "ok: $1"
}

# expect_refusal WHAT REGEX COMMAND...: exit code 1 and one line of error that matches. Output in $work/output.
expect_refusal() {
  local what=$1 regex=$2 status=0
  shift 2
  "$@" >"$work/output" 2>"$work/error" || status=$?
  expect "$what: exit code" "$status" 1
  expect "$what: lines of error" "$(wc -l <"$work/error")" 1
  expect_match "$what: error" "$(cat "$work/error")" "$regex"
}

# expect_near WHAT ACTUAL WANTED: within 1 %, of something.
expect_near() {
  python3 -c 'import sys; a, b = map(float, sys.argv[1:]); sys.exit(b == 0 or abs(a - b) > b / 100)' "$2" "$3" ||
    fail "$1: got $2, want $3 within 1 %"
  echo "ok: $1: $2 of $3"
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_until SECONDS WHAT COMMAND...: polls, because the servers announce readiness by answering only.
wait_until() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt "$end" ] || fail "$what did not happen in time"
    sleep 0.05
  done
}

# start_process LOG COMMAND...: leaves its id in LAST_PID.
start_process() {
  local log=$1
  shift
  setsid "$@" >"$log" 2>&1 </dev/null &
  LAST_PID=$!
  E2E_PIDS+=("$LAST_PID")
}

# stop_process PID: SIGTERM, then waits for its end; fails when it needs SIGKILL.
stop_process() {
  kill -TERM "$1" 2>/dev/null || return 0
  local end=$((SECONDS + 20))
  while kill -0 "$1" 2>/dev/null; do
    if [ $SECONDS -ge "$end" ]; then
      kill -KILL "$1" 2>/dev/null
      echo "process $1 did not stop on SIGTERM" >&2
      return 1
    fi
    sleep 0.05
  done
  wait "$1" 2>/dev/null || true
}

# password_file FILE USER PASSWORD: who may log in to a registry.
password_file() {
  python3 -W ignore -c 'import crypt, sys
print(sys.argv[1] + ":" + crypt.crypt(sys.argv[2], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))' "$2" "$3" >"$1"
}

# start_registry DIR [PASSWORD_FILE]: sets REGISTRY to its host:port.
start_registry() {
  local port
  port=$(free_port)
  REGISTRY=127.0.0.1:$port
  cat >"$1/registry.yml" <<Y
version: 0.1
log: {accesslog: {disabled: true}, formatter: json}
storage: {filesystem: {rootdirectory: $1/registry}, delete: {enabled: true}}
http: {addr: $REGISTRY}
Y
  [ -z "${2:-}" ] || echo "auth: {htpasswd: {realm: test, path: $2}}" >>"$1/registry.yml"
  serve_registry "$1"
}

# serve_registry DIR: starts the registry of start_registry, once more when it was stopped: the same address, the same images.
serve_registry() {
  start_process "$1/registry.log" docker-registry serve "$1/registry.yml"
  REGISTRY_PID=$LAST_PID
  wait_until 20 "the registry's first answer" curl -s "http://$REGISTRY/v2/"
}

# registry_mark DIR: a place in the registry's log, for registry_cost and registry_requests.
registry_mark() {
  wc -l <"$1/registry.log"
}

# registry_requests DIR MARK: the answered requests since then, "METHOD URI STATUS BYTES" a line.
registry_requests() {
  tail -n "+$(($2 + 1))" "$1/registry.log" | python3 -c '
import json, sys
for line in sys.stdin:
    try:
        entry = json.loads(line)
    except ValueError:
        continue
    if entry.get("msg", "").startswith("response completed"):
        print(entry["http.request.method"], entry["http.request.uri"], entry["http.response.status"],
              entry.get("http.response.written", 0))'
}

# registry_cost DIR MARK: "REQUESTS BYTES" since then.
registry_cost() {
  registry_requests "$1" "$2" | awk '{ requests++; bytes += $4 } END { print requests + 0, bytes + 0 }'
}

# make_authority DIR: an authority of certificates, DIR/ca.pem.
make_authority() {
  mkdir -p "$1"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout "$1/ca.key" -out "$1/ca.pem" 2>/dev/null
}

# issue_certificate DIR NAME SAN: DIR/NAME.pem and DIR/NAME.key, of the authority in DIR.
issue_certificate() {
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$2" -keyout "$1/$2.key" -out "$1/$2.csr" 2>/dev/null
  openssl x509 -req -in "$1/$2.csr" -CA "$1/ca.pem" -CAkey "$1/ca.key" -CAcreateserial -days 2 \
    -extfile <(echo "subjectAltName=$3") -out "$1/$2.pem" 2>/dev/null
}

# as_the_unit: sets AS_THE_UNIT to words before a command that then has the privileges that systemd/starling.service leaves.
as_the_unit() {
  local capabilities
  capabilities=$(sed -n 's/^CapabilityBoundingSet=//p' "$(dirname "${BASH_SOURCE[0]}")/../../systemd/starling.service")
  capabilities=${capabilities//CAP_/+}
  capabilities=${capabilities// /,}
  AS_THE_UNIT=(setpriv --bounding-set "-all,${capabilities,,}" --inh-caps=-all --no-new-privs sh -c 'umask 077 && exec "$@"' sh)
}

# start_starlingd DIR [ARGUMENTS...]: as the unit does, socket $1/starling.sock, root $1/starling, log $1/starlingd.log. Layers are
# shown as STARLING_DATA_PLANE says, which `starling mount` knows by itself; $starlingd_settings is more TOML.
start_starlingd() {
  local directory=$1
  shift
  printf '[mount]\ndata_plane = "%s"\n%s\n' "${STARLING_DATA_PLANE:-auto}" "${starlingd_settings:-}" \
    >"$directory/starlingd.toml"
  as_the_unit
  start_process "$directory/starlingd.log" "${AS_THE_UNIT[@]}" starlingd --config "$directory/starlingd.toml" --address "$directory/starling.sock" \
    --root "$directory/starling" --log-level debug "$@"
  STARLINGD_PID=$LAST_PID
  wait_until 20 "starlingd's socket" test -S "$directory/starling.sock"
}

# served_address DIR MESSAGE: where the starlingd of DIR serves something over HTTP, as MESSAGE in its log says.
served_address() {
  jq -rR --arg message "$2" 'fromjson? | select(.msg == $message).address' "$1/starlingd.log" | tail -n 1
}

# start_containerd DIR [BIN [SANDBOX_IMAGE]]: Debian's containerd 1.6, or the containerd 2.3 in BIN; with the snapshotter as
# proxy plugin `stargz`. With an image for sandboxes also as the Container Runtime Interface, which pulls and runs with that
# snapshotter. Sets CONTAINERD_ADDRESS.
start_containerd() {
  local directory=$1 bin=${2:-} sandbox=${3:-} cri='"io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", '
  [ -z "$sandbox" ] || cri=
  export CONTAINERD_ADDRESS=$directory/containerd.sock
  {
    if [ -z "$bin" ]; then
      cat <<C
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
C
    else
      cat <<C
version = 3
disabled_plugins = [$cri"io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.nri.v1.nri"]
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "stargz"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "overlayfs"
C
    fi
    if [ -n "$sandbox" ]; then
      cat <<C
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "stargz"
  disable_snapshot_annotations = false
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "$directory/certs.d"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "$sandbox"
# Where the tests run nobody may be made safer from the OOM killer than they are.
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
C
    fi
    cat <<C
[proxy_plugins.stargz]
  type = "snapshot"
  address = "$directory/starling.sock"
C
    if [ -n "$bin" ]; then
      cat <<C
  capabilities = ["remap-ids"]
  [proxy_plugins.stargz.exports]
    root = "$directory/starling"
    enable_remote_snapshot_annotations = "true"
C
    fi
  } >"$directory/containerd.toml"
  # The top-level keys come first in TOML.
  sed -i "1a root = \"$directory/containerd-root\"\nstate = \"$directory/containerd-state\"" "$directory/containerd.toml"
  printf '[grpc]\n  address = "%s"\n[debug]\n  address = "%s"\n' "$CONTAINERD_ADDRESS" "$directory/debug.sock" \
    >>"$directory/containerd.toml"
  (
    [ -z "$bin" ] || PATH=$bin:$PATH
    cd "$directory"
    exec setsid "${bin:+$bin/}containerd" -c "$directory/containerd.toml" >"$directory/containerd.log" 2>&1 </dev/null
  ) &
  CONTAINERD_PID=$!
  E2E_PIDS+=("$CONTAINERD_PID")
  wait_until 30 "containerd's first answer" "${bin:+$bin/}ctr" -a "$CONTAINERD_ADDRESS" version
}

# await_snapshotter: after starlingd's socket was away, containerd dials it again after a pause that gRPC chooses, and
# fails whatever is asked meanwhile.
await_snapshotter() {
  wait_until 20 "containerd's return to the snapshotter" ctr snapshots --snapshotter stargz ls
}

# seconds NAME COMMAND...: runs it and sets NAME_seconds.
seconds() {
  local name=$1 start end
  shift
  start=$(date +%s%N)
  "$@"
  end=$(date +%s%N)
  printf -v "${name}_seconds" '%d.%02d' $(((end - start) / 1000000000)) $(((end - start) % 1000000000 / 10000000))
}

# mounts_below DIR: what is mounted there, deepest first.
mounts_below() {
  awk -v "directory=$1/" 'index($5 "/", directory) == 1 { print $5 }' /proc/self/mountinfo | sort -r
}

# release_all DIR: ends every server in reverse order and removes the directory. An exit trap: it keeps
# the exit code, and shows the ends of the logs when that is not 0. A script's own part is before_release.
release_all() {
  local code=$? index pid
  set +e
  if declare -F before_release >/dev/null; then before_release; fi
  if [ "$code" != 0 ]; then
    for log in "$1"/*.log; do
      [ -e "$log" ] && echo "--- $log" >&2 && tail -n 15 "$log" | cut -c 1-600 >&2
    done
  fi
  for pid in $(pgrep -f "containerd-shim-runc-v2 .*-address $1/" 2>/dev/null); do
    pkill -KILL -P "$pid" 2>/dev/null
    kill -KILL "$pid" 2>/dev/null
  done
  for ((index = ${#E2E_PIDS[@]} - 1; index >= 0; index--)); do
    stop_process "${E2E_PIDS[index]}"
  done
  mounts_below "$1" | while read -r mount; do umount -l "$mount" 2>/dev/null; done
  rm -rf "$1"
  exit "$code"
}

# ctr [-a ADDRESS] run ...: what the container has printed, after its end. By a file that the shim writes, since ctr may end before it
# has read all; who wants it sooner names a file of his own with --log-uri.
ctr() {
  local address=()
  if [ "${1:-}" = -a ]; then
    address=(-a "$2")
    shift 2
  fi
  if [ "${1:-}" != run ] || [[ " $* " == *" --log-uri "* || " $* " == *" -d "* ]]; then
    command ctr "${address[@]}" "$@"
    return
  fi
  shift
  local log status=0
  log=$(mktemp "${work:-/tmp}/output.XXXXXX")
  command ctr "${address[@]}" run --log-uri "file://$log" "$@" || status=$?
  cat "$log"
  rm -f "$log"
  [ "$status" = 0 ] || echo "ctr run: exit code $status" >&2
  return "$status"
}

# nerdctl_run WORD...: what the container prints. Again where that is nothing: nerdctl may lose what a program prints that ends at once (containerd/nerdctl#3877).
nerdctl_run() {
  local output
  for _ in 1 2 3 4 5; do
    output=$(nerdctl run --rm --net none "$@") || return
    [ -z "$output" ] || break
  done
  echo "$output"
}
