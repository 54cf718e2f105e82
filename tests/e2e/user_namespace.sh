#!/bin/bash
# Promise: containers in user namespaces of their own see lazy layers with their own IDs, at once and
# without a copy of the image.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
bin=$("$here/tools.sh")
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT
chmod 0711 "$work" # root of a container is nobody here, and passes through

make_image "$work"
# Ten layers more, so that the chain is shown as one directory where the kernel can.
for layer in $(seq 10); do
  mkdir -p "$work/more$layer/more"
  echo "$layer" >"$work/more$layer/more/file-$layer"
  chown 7:8 "$work/more$layer/more/file-$layer"
  tar -C "$work/more$layer" -cf "$work/more$layer.tar" .
done
umoci tag --image "$work/oci:plain" deep
for layer in $(seq 10); do
  umoci raw add-layer --image "$work/oci:deep" "$work/more$layer.tar"
done
start_registry "$work"
lazy=$REGISTRY/t/image:esgz deep=$REGISTRY/t/image:deep
starling convert "oci:$work/oci:plain" "docker://$lazy" >/dev/null
starling convert "oci:$work/oci:deep" "docker://$deep" >/dev/null

start_starlingd "$work"
wait_until 20 "the start of starlingd" grep -q '"starlingd serves"' "$work/starlingd.log"
expect "starlingd maps IDs" "$(grep -c '"maps-ids":"true"' "$work/starlingd.log")" 1
start_containerd "$work" "$bin"
PATH=$bin:$PATH

# start ID BASE IMAGE [OPTION...] -- COMMAND...: as root of a namespace whose IDs begin at BASE.
start() {
  local id=$1 base=$2 image=$3
  shift 3
  local options=()
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  ctr -a "$CONTAINERD_ADDRESS" run "${options[@]}" --snapshotter stargz --uidmap "0:$base:65536" \
    --gidmap "0:$base:65536" --mount "type=bind,src=$work/out,dst=/out,options=rbind:rw" "$image" "$id" "$@"
}
# run ID BASE IMAGE [OPTION...] -- SCRIPT: what it prints. By a file, since ctr may end before it has printed all.
mkdir -m 0777 "$work/out"
run() {
  start "${@:1:$#-1}" /bin/sh -c "{ ${*: -1}; } >/out/$1 2>&1"
  cat "$work/out/$1"
}
snapshots() {
  ctr -a "$CONTAINERD_ADDRESS" snapshots --snapshotter stargz ls | sed 1d | wc -l
}
owners='cat /proc/self/uid_map | tr -s " "; stat -c "%n %u:%g %a" / /bin/busybox /odd/owned /odd/setuid; head -c 5 /odd/owned'
want_owners() {
  printf ' 0 %s 65536\n/ 0:0 755\n/bin/busybox 0:0 755\n/odd/owned 1234:4321 644\n/odd/setuid 0:0 4755\nowned' "$1"
}

starling pull --address "$CONTAINERD_ADDRESS" "$lazy" >/dev/null
before=$(snapshots)
for base in 100000 300000; do
  expect "owners in a namespace that begins at $base" \
    "$(run "one-$base" "$base" "$lazy" --rm --remap-labels -- "$owners")" "$(want_owners "$base")"
done
expect "snapshots that the namespaces have added" "$(snapshots)" "$before"

# What is written belongs to the container's IDs on the host, what is changed is copied up as its own.
start writer 100000 "$lazy" --remap-labels -d -- /bin/sleep 300
exec_in() {
  ctr -a "$CONTAINERD_ADDRESS" tasks exec --exec-id "e$RANDOM$RANDOM" writer /bin/sh -c "{ $1; } >/out/exec 2>&1"
  cat "$work/out/exec"
}
exec_in 'echo new >/data/new && chown 5:6 /data/new && echo more >>/odd/owned && mkdir /made && rm /data/kept'
expect "a file that was changed" "$(exec_in 'stat -c %u:%g /odd/owned; cat /odd/owned')" $'1234:4321\nowned\nmore'
upper=$(ctr -a "$CONTAINERD_ADDRESS" snapshots --snapshotter stargz mounts /x writer | grep -o 'upperdir=[^,]*')
upper=${upper#upperdir=}
expect "owners on the host" "$(stat -c %u:%g "$upper" "$upper/data/new" "$upper/made" "$upper/odd/owned")" \
  $'100000:100000\n100005:100006\n100000:100000\n101234:104321'
ctr -a "$CONTAINERD_ADDRESS" tasks kill -s KILL writer
wait_until 20 "the end of the container" sh -c \
  "ctr -a '$CONTAINERD_ADDRESS' tasks ls | grep -q 'writer.*STOPPED'"
ctr -a "$CONTAINERD_ADDRESS" tasks rm writer >/dev/null
ctr -a "$CONTAINERD_ADDRESS" containers rm writer

starling pull --address "$CONTAINERD_ADDRESS" "$deep" >/dev/null
expect "a chain of thirteen layers" \
  "$(run deep 100000 "$deep" --rm --remap-labels -- 'stat -c %u:%g /more/file-10 /odd/owned; cat /more/file-*' | tr '\n' ' ')" \
  '7:8 1234:4321 1 10 2 3 4 5 6 7 8 9 '

# A client that changes the owners of a copy itself gets what it means, too.
expect "owners in a copy that the client has made" \
  "$(run copy 200000 "$lazy" --rm -- "$owners" | grep -v setuid)" "$(want_owners 200000 | grep -v setuid)"
echo PASS
