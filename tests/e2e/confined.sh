#!/bin/bash
# Promise: starlingd needs no more privileges than its unit leaves it, and its server gives up system calls on top of
# that; the next server does, too, and the keeper does not. Credential helpers work within that, and get no descriptor
# of starlingd's. Nobody but root reaches the socket or the directories, or reads the processes' memory.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
starling convert "oci:$work/oci:plain" "oci:$work/oci:esgz" >/dev/null
echo recognisable-password >"$work/password"
start_process "$work/guarded.log" python3 "$here/guarded_registry.py" "$work/oci" esgz "$work/password"
wait_until 20 "the registry's start" test -s "$work/guarded.log"
read -r registry _ <"$work/guarded.log"
image=$registry/t/image:esgz
# Helpers come in several languages: this one is of two, and says what it got.
mkdir "$work/bin" "$work/docker"
cat >"$work/bin/docker-credential-test" <<H
#!/bin/sh
grep -e Seccomp: -e NoNewPrivs /proc/self/status >"$work/helper.status"
exec python3 -c '
import json, os, socket, ssl, subprocess, sys, threading
with open("$work/helper.fds", "w") as file:
    for fd in range(1000):
        if fd != file.fileno() and os.path.exists(f"/proc/self/fd/{fd}"):
            file.write(str(fd) + os.readlink(f"/proc/self/fd/{fd}").split(":")[0] + " ")
ssl.create_default_context()
socket.getaddrinfo("localhost", 443)
threading.Thread(target=print, kwargs={"file": sys.stderr}).start()
password = subprocess.run(["cat", "$work/password"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
print(json.dumps({"Username": "reader", "Secret": password}))'
H
chmod +x "$work/bin/docker-credential-test"
jq -n --arg host "$registry" '{credHelpers: {($host): "test"}}' >"$work/docker/config.json"
export DOCKER_CONFIG=$work/docker
starlingd_settings=$'[fetch]\nprefetch = false\nbackground = false'
PATH=$work/bin:$PATH start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS
PATH=$work/bin:$PATH starling pull "$image" >/dev/null
rm "$work"/helper.*  # `starling` has asked it, too

server() {
  sed -n 2p "$work/starling/starlingd.lock"
}
# confinement PID: what the kernel says of a process.
confinement() {
  awk '/^(NoNewPrivs|Seccomp|CapBnd):/ { printf "%s%s ", $1, $2 }' "/proc/$1/status"
}
bounding=$("${AS_THE_UNIT[@]}" awk '/^CapBnd:/ { print $2 }' /proc/self/status)
expect "starlingd maps IDs" "$(grep -c '"maps-ids":"true"' "$work/starlingd.log")" 1
expect "the keeper's confinement" "$(confinement "$STARLINGD_PID")" "CapBnd:$bounding NoNewPrivs:1 Seccomp:0 "
expect "the server's confinement" "$(confinement "$(server)")" "CapBnd:$bounding NoNewPrivs:1 Seccomp:2 "

first=$(server)
kill -KILL "$first"
wait_until 20 "the next server" sh -c "test \"\$(sed -n 2p '$work/starling/starlingd.lock')\" != $first"
expect "the next server's confinement" "$(confinement "$(server)")" "CapBnd:$bounding NoNewPrivs:1 Seccomp:2 "
starling upgrade --root "$work/starling" >/dev/null
expect "the upgraded server's confinement" "$(confinement "$(server)")" "CapBnd:$bounding NoNewPrivs:1 Seccomp:2 "
expect "a container that has the next server ask the registry" \
  "$(ctr run --rm --snapshotter stargz "$image" c1 /bin/sh -c 'cat /data/kept && wc -c </odd/large')" $'changed\n9000000'
expect "the helper's confinement" "$(tr '\n\t' ' ' <"$work/helper.status")" "NoNewPrivs: 1 Seccomp: 2 "
expect "the helper's descriptors" "$(cat "$work/helper.fds")" "0socket 1pipe 2/dev/null "

# open_to_children PID: descriptors that a program which it executes would get.
open_to_children() {
  local info
  for info in "/proc/$1/fdinfo"/*; do
    [ "${info##*/}" -le 2 ] || (($(awk '/^flags:/ { print $2 }' "$info") & 02000000)) || readlink "${info/fdinfo/fd}"
  done
}
expect "descriptors of the keeper for its children" "$(open_to_children "$STARLINGD_PID")" ""
# The pair with which libcurl wakes itself; helpers are kept from it otherwise.
expect "descriptors of the server for its children" "$(open_to_children "$(server)" | sed 's/:.*//' | tr '\n' ' ')" "socket socket "

# Root that may not trace everything can look into other processes of root; not into the daemon's, whose memory holds secrets.
"${AS_THE_UNIT[@]}" sleep 1000 &
other=$!
E2E_PIDS+=("$other")
wait_until 20 "another process" grep -qx sleep "/proc/$other/comm"
look_into() {
  setpriv --bounding-set -sys_ptrace --inh-caps -sys_ptrace readlink "/proc/$1/exe" >/dev/null && echo yes || echo no
}
expect "another process can be looked into" "$(look_into "$other")" yes
expect "the keeper cannot" "$(look_into "$STARLINGD_PID")" no
expect "the server cannot" "$(look_into "$(server)")" no

expect "modes of socket, root and database" "$(stat -c %a "$work/starling.sock" "$work/starling" "$work/starling/metadata.db" | tr '\n' ' ')" "600 700 600 "
status=0
setpriv --reuid 65534 --regid 65534 --clear-groups curl -s --unix-socket "$work/starling.sock" http://starling/ || status=$?
expect "exit code of another user's connection" "$status" 7
echo PASS
