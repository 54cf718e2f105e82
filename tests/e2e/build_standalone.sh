#!/bin/bash
# Promise: where there is no containerd, `starling build` builds on starlingd alone: the same image by digest, pushed from a lazy base,
# nothing twice, nothing left behind however it ends, and nothing of a containerd on the same starlingd is touched.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
starling convert "oci:$work/oci:plain" "docker://$REGISTRY/t/base:1" >/dev/null 2>&1
starlingd_settings='[fetch]
background = false'
start_starlingd "$work"
unset CONTAINERD_ADDRESS
export SOURCE_DATE_EPOCH=1700000000
mkdir "$work/context"
cd "$work/context"
app=$REGISTRY/t/app

# A machine may have a containerd of its own all the same.
alone=()
[ ! -e /run/containerd/containerd.sock ] || alone=(--address none)
# build ARGUMENTS...: what it prints; what it says is in $work/build.log.
build() {
  starling build "${alone[@]}" --progress plain --starlingd "$work/starling.sock" --state-dir "$work/state" "$@" 2>"$work/build.log" ||
    fail "starling build $*: $(tail -n 20 "$work/build.log")"
}
prune() {
  starling build prune "${alone[@]}" --starlingd "$work/starling.sock" --state-dir "$work/state" "$@"
}
# snapshots PREFIX: how many starlingd has with such names.
snapshots() {
  python3 -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("select count(*) from snapshot where name like ?", [sys.argv[2] + "%"]).fetchone()[0])' \
    "$work/starling/metadata.db" "$1"
}
# leftovers: snapshots under way, mounts of steps, leases, files of builds.
leftovers() {
  python3 -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("select count(*) from snapshot where kind != 3").fetchone()[0])' "$work/starling/metadata.db"
  grep -c starling-build /proc/self/mounts || true
  python3 -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("select count(*) from lease").fetchone()[0])' "$work/state/standalone/store.db"
  find "$work/state/sources" "$work/state/contexts" -mindepth 1 2>/dev/null | wc -l
}
blobs() {
  find "$work/state/standalone/blobs" -type f | wc -l
}

cat >Dockerfile <<D
FROM $REGISTRY/t/base:1 AS base
WORKDIR /app
RUN ls /data/kept && echo one >one
COPY hello.txt /app/

FROM base AS other
RUN echo other >/other

FROM base
COPY --from=other /other /app/other
CMD ["cat", "/app/one"]
D
echo hi >hello.txt

mark=$(registry_mark "$work")
digest=$(build -t "$app:1" --push --metadata-file "$work/metadata.json" .)
[ ${#alone[@]} != 0 ] ||
  expect "the line that says where" "$(grep -c "^no containerd at .*: building on starlingd at $work/starling.sock$" "$work/build.log")" 1
expect "the digest in the registry" "$(skopeo inspect --tls-verify=false "docker://$app:1" | jq -r .Digest)" "$digest"
expect "in the file for scripts" "$(jq -r '."containerimage.digest"' "$work/metadata.json")" "$digest"
expect "large blobs of the base that were read" \
  "$(registry_requests "$work" "$mark" | awk '$1 == "GET" && $3 == 200 && $4 > 100000' | wc -l)" 0
expect "blobs that were mounted" "$(registry_requests "$work" "$mark" | grep -c 'POST.*mount=sha256.* 201 ')" 3
expect "what is left behind" "$(leftovers | tr '\n' ' ')" "0 0 0 0 "

again=$(build -t "$app:1" --push .)
expect "the digest once more" "$again" "$digest"
expect "steps that ran again" "$(grep -c 'DONE.*s$' "$work/build.log" || true) $(grep -c CACHED "$work/build.log")" "0 5"
build -o "type=local,dest=$work/local" . >/dev/null
expect "the files" "$(cat "$work/local/app/one" "$work/local/app/hello.txt" "$work/local/app/other")" $'one\nhi\nother'
build -t "$app:1" -o "type=oci,dest=$work/archive.tar" . >/dev/null
expect "an OCI archive" "$(skopeo inspect "oci-archive:$work/archive.tar" | jq -r .Digest)" "$digest"

# A base in files, which no snapshotter can fetch: it is unpacked here.
printf 'FROM files\nRUN cat /data/kept >/copy\n' >Dockerfile.files
build -f Dockerfile.files --build-context "files=oci-layout://$work/oci:plain" -o "type=local,dest=$work/files" . >/dev/null
expect "on a base in files" "$(cat "$work/files/copy")" changed
expect "what its layers delete and hide" "$(cd "$work/files/data" && find removed old/* covered/* 2>/dev/null)" covered/second

# A recipe, and the image run here.
starling image from-registry "$REGISTRY/t/base:1" "${alone[@]}" --starlingd "$work/starling.sock" --state-dir "$work/state" --quiet \
  --run 'cat /data/kept >/by-a-recipe' -o "type=local,dest=$work/recipe" >/dev/null 2>"$work/build.log"
expect "by a recipe" "$(cat "$work/recipe/by-a-recipe")" changed
expect "the image, run" \
  "$(starling run "${alone[@]}" --starlingd "$work/starling.sock" --state-dir "$work/state" --quiet . 2>"$work/build.log")" one

# Other machines' results.
build --cache-to "type=registry,ref=$REGISTRY/t/cache:1,mode=max" . >/dev/null
starling build "${alone[@]}" --progress plain --starlingd "$work/starling.sock" --state-dir "$work/elsewhere" --cache-from "$REGISTRY/t/cache:1" . \
  >"$work/elsewhere.digest" 2>"$work/build.log"
expect "the digest by another state's cache" "$(cat "$work/elsewhere.digest")" "$digest"
expect "steps that it has from there" "$(grep -c CACHED "$work/build.log")" 5
starling build prune "${alone[@]}" --starlingd "$work/starling.sock" --state-dir "$work/elsewhere" >/dev/null

# Three at once, and one that prunes: none loses what it uses.
printf 'FROM %s/t/base:1\nARG WHICH\nRUN for i in 1 2 3; do echo "$WHICH" >"/$i"; done\nRUN cat /1 >/4\n' "$REGISTRY" >Dockerfile.many
many=()
for which in a b a; do
  starling build "${alone[@]}" --quiet --starlingd "$work/starling.sock" --state-dir "$work/state" --build-arg "WHICH=$which" \
    -t "$REGISTRY/t/many:$which" --push -f Dockerfile.many . >"$work/many.${#many[@]}" 2>"$work/many.${#many[@]}.log" &
  many+=($!)
done
prune >/dev/null
for ((n = 0; n < 3; n++)); do
  wait "${many[n]}" || fail "build $n of three: $(cat "$work/many.$n.log")"
done
expect "digests of equal builds" "$(cat "$work/many.2")" "$(cat "$work/many.0")"
expect "in the registry" "$(skopeo inspect --tls-verify=false "docker://$REGISTRY/t/many:b" | jq -r .Digest)" "$(cat "$work/many.1")"

# Killed in the middle: the process that is left removes what was begun.
printf 'FROM %s/t/base:1\nRUN echo begun >/begun\nRUN touch /state/running && sleep 600\n' "$REGISTRY" >Dockerfile.killed
sed -i "s|RUN touch /state|RUN --mount=type=cache,id=killed,target=/state touch /state|" Dockerfile.killed
start_process "$work/killed.log" starling build "${alone[@]}" --progress plain --starlingd "$work/starling.sock" --state-dir "$work/state" -f Dockerfile.killed .
guard=$LAST_PID
wait_until 20 "the step that is to be killed" sh -c "find $work/state/cache-mounts -name running | grep -q ."
kill -KILL "$(pgrep -P "$guard")"
wait_until 20 "the end of the other process" sh -c "! kill -0 $guard"
build -t "$app:1" . >/dev/null
expect "what a killed build leaves" "$(leftovers | tr '\n' ' ')" "0 0 0 0 "

# The same build through containerd, on the same starlingd, whose collector leaves ours alone.
bin=$("$here/tools.sh")
start_containerd "$work" "$bin"
alone=(--address none)
ours=$(snapshots standalone/)
expect "the digest by containerd" \
  "$(starling build -q --address "$CONTAINERD_ADDRESS" --state-dir "$work/by-containerd" -t "$app:2" .)" "$digest"
starling build prune --address "$CONTAINERD_ADDRESS" --state-dir "$work/by-containerd" >/dev/null
"$bin/ctr" images rm --sync "$app:2" >/dev/null 2>&1
expect "snapshots of its own and of ours, after its collector" \
  "$(snapshots "$CONTAINERD_NAMESPACE/") $(snapshots remote/) $(snapshots standalone/)" "0 0 $ours"
expect "the digest after that" "$(build -t "$app:1" .)" "$digest"

# Nothing is left in the end.
starling pull --address "$CONTAINERD_ADDRESS" "$REGISTRY/t/base:1" >/dev/null 2>&1
expect_match "what prune says" "$(prune)" '^[0-9]+ results of steps removed'
expect "our snapshots, blobs" "$(snapshots standalone/) $(blobs)" "0 0"
expect "those of containerd" "$(snapshots remote/)" 3

stop_process "$CONTAINERD_PID"
unset CONTAINERD_ADDRESS
stop_process "$STARLINGD_PID"
expect_refusal "with nothing to build on" "starlingd at $work/starling.sock.*systemctl start starling" \
  starling build "${alone[@]}" --quiet --starlingd "$work/starling.sock" --state-dir "$work/state" .
echo PASS
